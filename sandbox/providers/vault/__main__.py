"""``python -m sandbox.providers.vault``: serve the provider over gRPC."""

from sandbox.providers.serve import main
from sandbox.providers.vault.provider import VERSION, VaultProvider

if __name__ == "__main__":
    main(VaultProvider(), VERSION)
