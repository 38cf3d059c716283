"""Leases below a prefix: counting them, and revoking them before what they need goes away."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultApiError, VaultError


def _keys(client: VaultClient, prefix: str) -> list[str]:
    try:
        answer = client.request("LIST", f"sys/leases/lookup/{prefix}")
    except VaultApiError as error:
        if error.code in (403, 404):
            return []
        raise
    return list((answer.get("data") or {}).get("keys") or [])


@dataclass(frozen=True)
class LeaseCount:
    """How many leases there are below each issuing path."""

    by_path: dict[str, int]

    @classmethod
    def below(cls, client: VaultClient, prefix: str) -> LeaseCount:
        counts: dict[str, int] = {}
        folders = [prefix]
        while folders:
            folder = folders.pop()
            for key in _keys(client, folder):
                if key.endswith("/"):
                    folders.append(folder + key)
                else:
                    counts[folder] = counts.get(folder, 0) + 1
        return cls(counts)

    def __bool__(self) -> bool:
        return bool(self.by_path)

    def __str__(self) -> str:
        total = sum(self.by_path.values())
        paths = ", ".join(f"{count} of {path.rstrip('/')}" for path, count in sorted(self.by_path.items()))
        return f"{total} lease{'s' if total != 1 else ''} ({paths})"


def revoke_of_connection(client: VaultClient, backend: str, connection: str) -> None:
    """Revoke the leases that need a database connection, while it is there: without it they can never be revoked.

    These are the leases of every role of the connection, and of roles that are gone already.
    Raises VaultError naming the connection and the leases, with the server's message.
    """
    for key in _keys(client, f"{backend}/creds/"):
        role = key.strip("/")
        live = client.data(f"{backend}/roles/{role}")
        if live is not None and live.get("db_name") != connection:
            continue
        _revoke(client, f"{backend}/creds/{role}", f"connection {backend}/config/{connection}")


def revoke_of_role(client: VaultClient, backend: str, role: str) -> None:
    """Revoke the leases of a database role, while its statements are there. Raises VaultError naming role and leases."""
    if _keys(client, f"{backend}/creds/{role}/"):
        _revoke(client, f"{backend}/creds/{role}", f"role {backend}/roles/{role}")


def _revoke(client: VaultClient, prefix: str, what: str) -> None:
    try:
        client.write(f"sys/leases/revoke-prefix/{prefix}", {"sync": True})
    except VaultError as error:
        left = LeaseCount.below(client, f"{prefix}/")
        raise VaultError(
            f"{what} cannot be deleted: {left} cannot be revoked. {error}. Make the database reachable again and retry, "
            f"or give them up: bao lease revoke -force -prefix {prefix}"
        ) from None
