"""The database engine by the vault provider, against OpenBao and PostgreSQL."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from sandbox.providers.vault import VaultProvider
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultError
from tests.providers.driver import CheckFailed, secret
from tests.providers.vault import CONNECTION, STATIC_ROLE, Database, made, mount_exists


def test_a_dynamic_role_makes_users_that_can_log_in(database: Database, client: VaultClient) -> None:
    user = database.credentials(client)
    assert database.sql("SELECT current_user", **user) == [(user["user"],)]
    assert database.role.read()
    assert database.role.up(**database.role_inputs) == "same"
    assert database.connection.read()
    assert database.connection.up(**database.inputs) == "same"


def test_a_rotated_root_is_never_overwritten_by_a_later_update(database: Database, client: VaultClient) -> None:
    client.write(f"{database.backend}/rotate-root/pg")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        database.sql("SELECT 1", user=database.user, password=database.password)
    assert database.connection.up(**{**database.inputs, "allowedRoles": ["app", "other"]}) == "update"
    assert database.credentials(client)  # Vault's own password still works
    changed = {**database.inputs["postgresql"], "maxOpenConnections": 3}
    assert database.connection.up(**{**database.inputs, "postgresql": changed}) == "update"
    assert database.connection.read()
    assert database.connection.up(**{**database.inputs, "postgresql": changed}) == "same"
    user = database.credentials(client)
    assert database.sql("SELECT 1", **user) == [(1,)]
    assert client.data(f"{database.backend}/config/pg")["connection_details"]["max_open_connections"] == 3  # type: ignore[index]


def test_a_write_only_password_is_sent_when_its_version_changes_and_is_in_no_output(
    vault: VaultProvider, database: Database, client: VaultClient
) -> None:
    inner = {name: value for name, value in database.inputs["postgresql"].items() if name != "password"}
    inputs = {**database.inputs, "name": "wo", "allowedRoles": ["*"]}
    inputs["postgresql"] = {**inner, "passwordWo": secret(database.password), "passwordWoVersion": 1}
    connection = made(vault, CONNECTION, "wo", **inputs)
    assert database.password not in str(connection.state)
    client.write(f"{database.backend}/rotate-root/wo")
    assert connection.up(**{**inputs, "allowedRoles": ["x"]}) == "update"
    assert connection.read()
    assert database.password not in str(connection.state)
    assert connection.up(**{**inputs, "allowedRoles": ["x"]}) == "same"
    database.sql(f"ALTER ROLE {database.user} PASSWORD '{database.password}'")
    again = {**inputs["postgresql"], "passwordWoVersion": 2}
    assert connection.up(**{**inputs, "allowedRoles": ["x"], "postgresql": again}) == "update"
    connection.delete()


def test_destroying_a_role_ends_its_users_first(database: Database, client: VaultClient) -> None:
    for _ in range(3):
        database.credentials(client)
    assert len(database.users()) == 3
    database.role.delete()
    assert database.users() == []


def test_destroying_a_connection_with_leases_of_a_role_that_is_gone_never_sticks(
    database: Database, client: VaultClient
) -> None:
    database.credentials(client)
    client.delete(f"{database.backend}/roles/app")  # by another hand: the lease outlives the role
    assert len(database.users()) == 1
    database.connection.delete()
    assert database.users() == []
    database.mount.delete()


def test_destroying_the_engine_ends_all_of_it(database: Database, client: VaultClient) -> None:
    database.credentials(client)
    database.mount.delete()
    assert database.users() == []
    database.role.id = database.connection.id = None
    assert not mount_exists(client, database.backend)


def test_leases_that_cannot_be_revoked_are_named_with_the_way_out(database: Database, client: VaultClient) -> None:
    database.credentials(client)
    database.sql(f"ALTER ROLE {database.user} NOLOGIN")
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "
    database.sql(f"{kill}'{database.user}'")
    try:
        with pytest.raises(
            VaultError, match=r"(?s)1 lease \(.*/creds/app\) cannot be revoked.*-force -prefix"
        ) as caught:
            database.role.delete()
        assert database.password not in str(caught.value)
        assert database.role.read()
    finally:
        database.sql(f"ALTER ROLE {database.user} LOGIN")
    database.role.delete()
    assert database.users() == []


def test_a_changed_ttl_updates_the_role_in_place(database: Database, client: VaultClient) -> None:
    diff = database.role.diff(**{**database.role_inputs, "defaultTtl": 900})
    assert list(diff.detailed_diff or {}) == ["defaultTtl"]
    assert not diff.replaces
    assert database.role.up(**{**database.role_inputs, "defaultTtl": 900}) == "update"
    live = client.data(f"{database.backend}/roles/app")
    assert live is not None
    assert (live["default_ttl"], live["max_ttl"]) == (900, 3600)
    with pytest.raises(CheckFailed, match=r"defaultTtl \(7200 s\) must not be above maxTtl \(3600 s\)"):
        database.role.check(**{**database.role_inputs, "defaultTtl": 7200})
    moved = database.role.diff(**{**database.role_inputs, "dbName": "other"})
    assert moved.replaces == ["dbName"]
    assert moved.delete_before_replace


def test_a_static_role_rotates_its_users_password(
    vault: VaultProvider, database: Database, client: VaultClient
) -> None:
    user = f"static_{uuid.uuid4().hex[:8]}"
    database.sql(f"CREATE ROLE {user} LOGIN PASSWORD 'first'")
    database.connection.up(**{**database.inputs, "allowedRoles": ["app", "fixed"]})
    inputs = {"backend": database.backend, "name": "fixed", "dbName": "pg", "username": user, "rotationPeriod": 86400}
    role = made(vault, STATIC_ROLE, **inputs)
    found = client.data(f"{database.backend}/static-creds/fixed")
    assert found is not None
    assert database.sql("SELECT current_user", user=user, password=found["password"]) == [(user,)]
    assert role.read()
    assert role.up(**inputs) == "same"
    assert role.up(**{**inputs, "rotationPeriod": 43200}) == "update"
    assert role.diff(**{**inputs, "username": "other"}).replaces == ["username"]
    role.delete()
    database.sql(f"DROP ROLE {user}")
