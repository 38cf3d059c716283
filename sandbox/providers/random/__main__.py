"""``python -m sandbox.providers.random``: serve the provider over gRPC."""

from sandbox.providers.random.provider import VERSION, RandomProvider
from sandbox.providers.serve import main

if __name__ == "__main__":
    main(RandomProvider(), VERSION)
