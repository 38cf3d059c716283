"""The vault provider: pulumi-vault's resource types over Vault's API, which OpenBao serves."""

from sandbox.providers.vault.provider import VaultProvider

__all__ = ["VaultProvider"]
