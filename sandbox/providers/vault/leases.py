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
        prefix = f"{backend}/creds/{role}"
        try:
            client.write(f"sys/leases/revoke-prefix/{prefix}", {"sync": True})
        except VaultError as error:
            raise VaultError(
                f"connection {backend}/config/{connection} cannot be deleted: "
                f"{LeaseCount.below(client, prefix + '/')} cannot be revoked. {error}"
            ) from None
