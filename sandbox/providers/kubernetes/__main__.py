"""``python -m sandbox.providers.kubernetes``: serve the provider over gRPC."""

from sandbox.providers.kubernetes.provider import VERSION, KubernetesProvider
from sandbox.providers.serve import main

if __name__ == "__main__":
    main(KubernetesProvider(), VERSION)
