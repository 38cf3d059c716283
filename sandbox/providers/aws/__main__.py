"""``python -m sandbox.providers.aws``: serve the provider over gRPC."""

from sandbox.providers.aws.provider import VERSION, AwsProvider
from sandbox.providers.serve import main

if __name__ == "__main__":
    main(AwsProvider(), VERSION)
