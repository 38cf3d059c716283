"""The Vault sources on a real OpenBao and PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from rotation import (
    Credentials,
    InvalidArgument,
    SourceDenied,
    VaultDynamic,
    VaultStatic,
    VaultTokenAuth,
)
from rotation._vault_session import VaultAuth
from tests.rotation.conftest import MOUNT, Database, VaultDatabase

Eventually = Callable[..., None]


def dynamic(vault: VaultDatabase, role: str, token: str | None = None) -> VaultDynamic:
    auth = {"auth": VaultTokenAuth(token=token)} if token else {}
    return VaultDynamic(role, **vault.options | auth)


def test_name_and_password_are_of_one_lease_and_log_in(vault: VaultDatabase, database: Database) -> None:
    with Credentials(dynamic(vault, vault.dynamic_role("5m", "1h"))) as credentials:
        credential = credentials.current()
        with psycopg.connect(database.conninfo, user=credential.username, password=credential.password):
            pass
        assert 290 < (credential.seconds_left() or 0) <= 300


def test_a_lease_is_renewed_at_two_thirds_and_replaced_before_its_maximum(
    vault: VaultDatabase, eventually: Eventually
) -> None:
    role = vault.dynamic_role("9s", "22s")
    with Credentials(dynamic(vault, role)) as credentials:
        first = credentials.current()
        began = time.monotonic()
        while credentials.generation == 1:
            current = credentials.current()
            assert current.username == first.username
            assert (current.seconds_left() or 0) > 0.2  # never near its end
            assert time.monotonic() - began < 22
            time.sleep(0.05)
        assert time.monotonic() - began > 9.5  # it outlived its first nine seconds: it was renewed
        assert credentials.counters.refreshes >= 3
    assert vault.leases(role) == []
    assert vault.database.users_like(f"v-%{role}%") == []


def test_a_lease_ends_with_its_token_and_says_so(vault: VaultDatabase) -> None:
    role = vault.dynamic_role("10m", "1h")
    token = vault.token(ttl="30s", explicit_max_ttl="30s")
    with Credentials(dynamic(vault, role, token)) as credentials:
        assert (credentials.current().seconds_left() or 0) <= 30


def test_a_token_is_renewed_as_long_as_it_can_be(vault: VaultDatabase) -> None:
    role = vault.dynamic_role("10m", "1h")
    token = vault.token(ttl="9s", period="9s")
    with Credentials(dynamic(vault, role, token)) as credentials:
        first = credentials.current()
        time.sleep(14)
        assert credentials.current().username == first.username  # the same lease, alive with its token
        assert credentials.generation == 1
        assert credentials.health().usable


class LoginByToken(VaultAuth):
    """A login of its own, as Kubernetes' is: a new token each time, which comes to its maximum."""

    def __init__(self, vault: VaultDatabase, policy: str, seconds: int) -> None:
        self.vault, self.policy, self.seconds = vault, policy, seconds
        self.logins = 0

    def login(self, client: object) -> dict[str, object]:
        self.logins += 1
        body = {"policies": [self.policy], "ttl": f"{self.seconds}s", "explicit_max_ttl": f"{self.seconds}s"}
        auth: dict[str, object] = self.vault.call("POST", "auth/token/create", **body)["auth"]
        return auth


@pytest.fixture
def policy(vault: VaultDatabase) -> str:
    """What a workload gets: its own paths; no sys/leases/revoke."""
    rules = f'path "{MOUNT}/creds/*" {{ capabilities = ["read"] }}'
    vault.call("PUT", "sys/policies/acl/rotation-test", policy=rules)
    return "rotation-test"


def test_a_token_at_its_maximum_is_replaced_and_the_lease_with_it(
    vault: VaultDatabase, policy: str, eventually: Eventually
) -> None:
    role = vault.dynamic_role("10m", "1h")
    login = LoginByToken(vault, policy, 15)
    source = VaultDynamic(role, **vault.options | {"auth": login})
    with Credentials(source) as credentials:
        first = credentials.current()
        eventually(lambda: credentials.generation == 2)
        assert not first.expired
        assert login.logins == 2
        assert credentials.current().username != first.username
    assert vault.leases(role) == []


def test_close_leaves_nothing_where_the_policy_does_not_allow_to_revoke_leases(
    vault: VaultDatabase, policy: str, eventually: Eventually
) -> None:
    role = vault.dynamic_role("10m", "1h")
    source = VaultDynamic(role, **vault.options | {"auth": LoginByToken(vault, policy, 600)})
    with Credentials(source) as credentials:
        credentials.current()
        credentials.refresh()
        assert len(vault.leases(role)) == 2
    eventually(lambda: vault.leases(role) == [] and vault.database.users_like(f"v-%{role}%") == [])


def test_a_role_that_is_not_granted_is_a_denial(vault: VaultDatabase) -> None:
    token = vault.token(policies=["default"])
    source = dynamic(vault, vault.dynamic_role("1m", "1h"), token)
    with Credentials(source) as credentials, pytest.raises(SourceDenied, match="permission denied"):
        credentials.current()


def test_an_operator_who_revokes_a_lease_costs_one_refused_login(vault: VaultDatabase, database: Database) -> None:
    from rotation import RotatingConnectionPool

    role = vault.dynamic_role("10m", "1h")
    with RotatingConnectionPool(
        database.conninfo, credentials=dynamic(vault, role), min_size=2, open=True, timeout=10
    ) as pool:
        pool.wait()
        held = [pool.getconn() for _ in range(2)]
        vault.call("PUT", f"sys/leases/revoke-prefix/{MOUNT}/creds/{role}", sync=True)
        for connection in held:  # the two sessions were cut: each fails one request
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
            pool.putconn(connection)
        with pool.connection() as connection:
            connection.execute("SELECT 1")
        assert pool.credentials.generation == 2


def test_a_static_role_is_read_again_after_its_change(
    vault: VaultDatabase, user: tuple[str, str], eventually: Eventually
) -> None:
    role = vault.static_role(user[0], period="5s")
    with Credentials(VaultStatic(role, poll_interval=None, **vault.options)) as credentials:
        first = credentials.current()
        assert 0 < (credentials.health().rotates_in_seconds or 0) <= 5
        eventually(lambda: credentials.generation == 2)  # OpenBao looks every five seconds
        assert credentials.current().username == first.username
    vault.call("DELETE", f"{MOUNT}/static-roles/{role}")


def test_the_environment_names_vault_as_for_vaults_own_tools(
    vault: VaultDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_ADDR", vault.endpoint.address)
    monkeypatch.setenv("VAULT_CACERT", vault.endpoint.ca_file)
    monkeypatch.setenv("VAULT_TOKEN", vault.endpoint.token)
    with Credentials(VaultDynamic(vault.dynamic_role("1m", "1h"), mount=MOUNT)) as credentials:
        assert credentials.current().username.startswith("v-")


def test_arguments_that_contradict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="role is 'database/creds/app'"):
        VaultDynamic("database/creds/app")
    with pytest.raises(InvalidArgument, match="give one"):
        VaultTokenAuth(token="x", token_file=tmp_path)
    assert "s3cr" not in repr(VaultTokenAuth(token="s3cr" + "et"))
