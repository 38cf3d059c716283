"""Vault's database secrets engine: dynamic roles (a user per lease) and static roles (a user whose password it changes)."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotation import _clock
from rotation._credential import Credential, Source
from rotation._vault_session import VaultAuth, VaultSession
from rotation.errors import InvalidArgument, SourceDenied, SourceMalformed

logger = logging.getLogger("rotation")


@dataclass(frozen=True)
class _Lease:
    id: str
    epoch: int
    duration: float  # that was granted at first, in seconds
    life: float  # how much of it its token left it
    renewable: bool


class _VaultSource(Source):
    def __init__(
        self,
        role: str,
        *,
        mount: str = "database",
        auth: VaultAuth | None = None,
        address: str | None = None,
        ca_file: str | Path | None = None,
        namespace: str | None = None,
    ) -> None:
        if not role or "/" in role:
            raise InvalidArgument(f"role is {role!r}; expected the name of one database role, without its path")
        self.role, self.mount = role, mount.strip("/")
        self.session = VaultSession(auth, address=address, ca_file=ca_file, namespace=namespace)

    def close(self) -> None:
        self.session.close()

    def _login(self, answer: dict[str, Any], path: str) -> tuple[str, str, dict[str, Any]]:
        data = answer.get("data") or {}
        if not data.get("username") or not data.get("password"):
            raise SourceMalformed(
                f"vault: {path} gave the keys {', '.join(sorted(data)) or 'none'}; expected username, password"
            )
        return data["username"], data["password"], data


class VaultDynamic(_VaultSource):
    """A database user of one's own, made by Vault for one lease.

    Name and password come from one read, so from one lease. It is renewed at about two thirds of its life and replaced
    by a new one when renewing cannot give most of a life any more (max TTL). Its end is the lease's or its token's,
    whichever comes first, as a lease dies with its token. While Vault is sealed or away the lease goes on until its end.
    A replaced lease is revoked when no connection holds it any more; on close every lease is (``sys/leases/revoke``,
    or the token of the own login with ``revoke-self`` where the policy does not allow the former).

    The role's revocation statements should end sessions (``pg_terminate_backend``): DROP ROLE alone leaves them alive.

    Args:
        role: the dynamic role's name.
        mount: the secrets engine's path; default "database".
        auth: VaultKubernetesAuth or VaultTokenAuth; default: the token in VAULT_TOKEN.
        address, ca_file, namespace: default VAULT_ADDR, VAULT_CACERT, VAULT_NAMESPACE.
    """

    name = "vault-dynamic"

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:  # noqa: ARG002 - a new lease is a new user
        path = f"{self.mount}/creds/{self.role}"
        answer = self.session.request("get", path)
        username, password, _ = self._login(answer, path)
        return self._leased(username, password, answer, None)

    def renew(self, credential: Credential) -> Credential | None:
        lease = credential.handle
        self.session.ensure()
        if not isinstance(lease, _Lease) or not lease.renewable or lease.epoch != self.session.epoch:
            return None
        body = {"lease_id": lease.id, "increment": int(lease.duration) or 1}
        renewed = self._leased(
            credential.username, credential.password, self.session.request("put", "sys/leases/renew", body), lease
        )
        left = renewed.seconds_left()
        return renewed if left is None or left >= lease.life * 2 / 3 else None

    def revoke(self, credential: Credential) -> None:
        if not isinstance(credential.handle, _Lease):
            return
        try:
            self.session.request("put", "sys/leases/revoke", {"lease_id": credential.handle.id, "sync": True})
        except SourceDenied as error:
            logger.info("%s: not revoked by lease, it ends by itself or with the token: %s", self.name, error)

    def _leased(self, username: str, password: str, answer: dict[str, Any], before: _Lease | None) -> Credential:
        moment = _clock.now()
        granted = float(answer.get("lease_duration") or 0)
        ends = moment + granted
        if self.session.token_ends is not None:
            ends = min(ends, self.session.token_ends)
        lease = _Lease(
            answer.get("lease_id") or (before.id if before else ""),
            self.session.epoch,
            before.duration if before else granted,
            before.life if before else ends - moment,
            bool(answer.get("renewable")),
        )
        return Credential(
            username=username,
            password=password,
            version=f"{self.mount}/creds/{self.role}",
            expires_at=ends,
            handle=lease,
        )


class VaultStatic(_VaultSource):
    """A database user whose password Vault changes on a schedule.

    It tells when Vault will change it next; shortly after that it is read again, spread over a tenth of the time left
    (60 s at most), or at once when a login is refused. Sessions outlive the change of a password.

    Args: those of VaultDynamic, for the static role, and
        poll_interval: seconds between two looks for a change that nobody announced; default 60.
    """

    name = "vault-static"

    def __init__(self, role: str, *, poll_interval: float | None = 60.0, **options: Any) -> None:
        super().__init__(role, **options)
        self.poll_interval = poll_interval

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:  # noqa: ARG002 - there is no other to give
        path = f"{self.mount}/static-creds/{self.role}"
        username, password, data = self._login(self.session.request("get", path), path)
        return Credential(
            username=username,
            password=password,
            version=str(data.get("last_vault_rotation") or ""),
            rotates_at=_clock.now() + float(data["ttl"]) if data.get("ttl") is not None else None,
        )
