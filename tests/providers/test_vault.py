"""The vault provider against OpenBao and PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from sandbox.endpoints import Postgres, Vault
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.values import plain
from sandbox.providers.vault import VaultProvider
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultError
from tests.providers.driver import CheckFailed, Driven, Unknown, configure, invoke, secret

MOUNT, AUTH, AUDIT = "vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:index/audit:Audit"
POLICY = "vault:index/policy:Policy"
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
ROLE, STATIC_ROLE = (
    "vault:database/secretBackendRole:SecretBackendRole",
    "vault:database/secretBackendStaticRole:SecretBackendStaticRole",
)
KUBERNETES_CONFIG = "vault:kubernetes/authBackendConfig:AuthBackendConfig"
KUBERNETES_ROLE = "vault:kubernetes/authBackendRole:AuthBackendRole"
KV, KV_CONFIG = "vault:kv/secretV2:SecretV2", "vault:kv/secretBackendV2:SecretBackendV2"
TRANSIT, TOKEN = "vault:transit/secretBackendKey:SecretBackendKey", "vault:index/token:Token"
CREATE = [
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
    'GRANT pg_read_all_data TO "{{name}}"',
]


def unique(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def provider(openbao: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultProvider]:
    monkeypatch.setenv("VAULT_ADDR", openbao.address)
    monkeypatch.setenv("VAULT_CACERT", openbao.ca_file)
    monkeypatch.setenv("VAULT_TOKEN", openbao.token)
    made = VaultProvider()
    yield made
    made.close()


@pytest.fixture
def client(openbao: Vault) -> Iterator[VaultClient]:
    made = VaultClient(openbao.address, openbao.token, ca_file=openbao.ca_file)
    yield made
    made.close()


def made(provider: VaultProvider, kind: str, logical: str = "it", /, **inputs: Any) -> Driven:
    found = Driven(provider, kind, logical)
    assert found.up(**inputs) == "create"
    return found


class Database:
    """A database engine with a connection of its own PostgreSQL user, whose password Vault may rotate."""

    def __init__(self, provider: VaultProvider, postgres: Postgres) -> None:
        self.postgres = postgres
        self.user, self.password = f"admin_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        self.sql(f"CREATE ROLE {self.user} LOGIN SUPERUSER PASSWORD '{self.password}'")
        self.mount = made(provider, MOUNT, path=unique("db"), type="database")
        self.backend = str(self.mount.id)
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@{postgres.host}:{postgres.port}/{postgres.database}"
        self.inputs: dict[str, Any] = {
            "backend": self.backend,
            "name": "pg",
            "allowedRoles": ["app"],
            "postgresql": {"connectionUrl": url, "username": self.user, "password": secret(self.password)},
        }
        self.connection = made(provider, CONNECTION, **self.inputs)
        self.role_inputs: dict[str, Any] = {
            "backend": self.backend,
            "name": "app",
            "dbName": "pg",
            "creationStatements": CREATE,
            "defaultTtl": 600,
            "maxTtl": 3600,
        }
        self.role = made(provider, ROLE, **self.role_inputs)

    def sql(self, statement: str, **credentials: str) -> list[tuple[Any, ...]]:
        who = credentials or {"user": self.postgres.superuser, "password": self.postgres.superuser_password}
        place = {"host": self.postgres.host, "port": self.postgres.port, "dbname": self.postgres.database}
        with psycopg.connect(**place, **who, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def users(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%app%'")]

    def credentials(self, client: VaultClient) -> dict[str, str]:
        found = client.data(f"{self.backend}/creds/app")
        assert found is not None
        return {"user": found["username"], "password": found["password"]}

    def close(self) -> None:
        for resource in (self.role, self.connection, self.mount):
            if resource.id is not None:
                resource.delete()
        self.sql(f"DROP ROLE IF EXISTS {self.user}")


@pytest.fixture
def database(provider: VaultProvider, postgres: Postgres) -> Iterator[Database]:
    found = Database(provider, postgres)
    yield found
    found.close()


# -- the database engine -----------------------------------------------------------------------------------------------------


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
    provider: VaultProvider, database: Database, client: VaultClient
) -> None:
    inner = {name: value for name, value in database.inputs["postgresql"].items() if name != "password"}
    inputs = {**database.inputs, "name": "wo", "allowedRoles": ["*"]}
    inputs["postgresql"] = {**inner, "passwordWo": secret(database.password), "passwordWoVersion": 1}
    connection = made(provider, CONNECTION, "wo", **inputs)
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
    provider: VaultProvider, database: Database, client: VaultClient
) -> None:
    user = f"static_{uuid.uuid4().hex[:8]}"
    database.sql(f"CREATE ROLE {user} LOGIN PASSWORD 'first'")
    database.connection.up(**{**database.inputs, "allowedRoles": ["app", "fixed"]})
    inputs = {"backend": database.backend, "name": "fixed", "dbName": "pg", "username": user, "rotationPeriod": 86400}
    role = made(provider, STATIC_ROLE, **inputs)
    found = client.data(f"{database.backend}/static-creds/fixed")
    assert found is not None
    assert database.sql("SELECT current_user", user=user, password=found["password"]) == [(user,)]
    assert role.read()
    assert role.up(**inputs) == "same"
    assert role.up(**{**inputs, "rotationPeriod": 43200}) == "update"
    assert role.diff(**{**inputs, "username": "other"}).replaces == ["username"]
    role.delete()
    database.sql(f"DROP ROLE {user}")


# -- mounts, auth, policies --------------------------------------------------------------------------------------------------


def test_a_mount_is_tuned_moved_and_removed(provider: VaultProvider, client: VaultClient) -> None:
    path = unique("kv")
    inputs: dict[str, Any] = {"path": path, "type": "kv", "options": {"version": "2"}, "description": "d"}
    mount = made(provider, MOUNT, **inputs)
    assert mount.values["accessor"].startswith("kv_")
    assert mount.read()
    assert mount.up(**inputs) == "same"
    assert mount.up(**{**inputs, "maxLeaseTtlSeconds": 7200, "description": "e"}) == "update"
    live = client.data(f"sys/mounts/{path}")
    assert live is not None
    assert (live["config"]["max_lease_ttl"], live["description"]) == (7200, "e")
    assert mount.up(**{**inputs, "path": path + "-moved"}) == "update"
    assert mount.diff(**{**inputs, "type": "transit"}).replaces == ["type"]
    mount.delete()
    assert not mount_exists(client, path + "-moved")


def mount_exists(client: VaultClient, path: str) -> bool:
    mounts = client.read("sys/mounts") or {}
    return f"{path}/" in (mounts.get("data") or {})


def test_an_empty_engine_of_an_interrupted_run_is_taken_over_and_a_used_one_is_not(
    provider: VaultProvider, client: VaultClient
) -> None:
    path = unique("kv")
    inputs = {"path": path, "type": "kv", "options": {"version": "2"}}
    first = made(provider, MOUNT, **inputs)
    assert made(provider, MOUNT, **inputs).id == path
    client.write(f"{path}/data/x", {"data": {"a": "b"}})
    with pytest.raises(VaultError, match="import it"):
        Driven(provider, MOUNT).up(**inputs)
    first.delete()


def test_kubernetes_auth_hides_its_token_and_its_role_is_exact(
    provider: VaultProvider, client: VaultClient, openbao: Vault
) -> None:
    auth = made(provider, AUTH, type="kubernetes", path=unique("k8s"))
    token = ".".join(uuid.uuid4().hex for _ in range(3))
    inputs = {
        "backend": auth.id,
        "kubernetesHost": "https://127.0.0.1:6443",
        "kubernetesCaCert": Path(openbao.ca_file).read_text(encoding="utf-8"),
        "tokenReviewerJwt": secret(token),
    }
    config = made(provider, KUBERNETES_CONFIG, **inputs)
    assert config.state["tokenReviewerJwt"].is_secret
    assert config.read()  # the server tells no token; what is known stays, and stays secret
    assert config.state["tokenReviewerJwt"].is_secret
    assert config.up(**inputs) == "same"
    bound = {"boundServiceAccountNames": ["app"], "boundServiceAccountNamespaces": ["production"]}
    role_inputs = {"backend": auth.id, "roleName": "app", "audience": "vault", "tokenTtl": 600, **bound}
    role = made(provider, KUBERNETES_ROLE, **role_inputs, tokenPolicies=["b", "a"])
    assert role.id == f"auth/{auth.id}/role/app"
    assert role.up(**role_inputs, tokenPolicies=["a", "b"]) == "same"
    assert role.read()
    assert role.up(**role_inputs, tokenPolicies=["a"]) == "update"
    live = client.data(str(role.id))
    assert live is not None
    assert (live["audience"], live["token_policies"], live["token_ttl"]) == ("vault", ["a"], 600)
    again = Driven(provider, KUBERNETES_ROLE)
    assert again.imported(str(role.id))
    assert again.up(**role_inputs, tokenPolicies=["a"]) == "same"
    with pytest.raises(CheckFailed, match="needs one of boundServiceAccountNamespaces"):
        role.check(backend=auth.id, roleName="x", boundServiceAccountNames=["x"])
    role.delete()
    assert not again.read()
    config.delete()
    auth.delete()


def test_a_policy_drifts_and_is_put_right(provider: VaultProvider, client: VaultClient) -> None:
    rules = [{"path": "kv/data/app", "capabilities": ["read"]}]
    hcl = plain(invoke(provider, "vault:index/getPolicyDocument:getPolicyDocument", rules=rules)["hcl"])
    assert hcl == 'path "kv/data/app" {\n  capabilities = ["read"]\n}\n'
    name = unique("policy")
    policy = made(provider, POLICY, name=name, policy=hcl)
    client.write(f"sys/policies/acl/{name}", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    assert policy.read()
    assert policy.diff(name=name, policy=hcl).diffs == ["policy"]
    assert policy.up(name=name, policy=hcl) == "update"
    client.delete(f"sys/policies/acl/{name}")
    assert not policy.read()
    with pytest.raises(CheckFailed, match="no capability 'reed'"):
        invoke(
            provider, "vault:index/getPolicyDocument:getPolicyDocument", rules=[{"path": "x", "capabilities": ["reed"]}]
        )


# -- KV, transit, tokens -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kv(provider: VaultProvider) -> Iterator[str]:
    mount = made(provider, MOUNT, path=unique("kv"), type="kv", options={"version": "2"})
    yield str(mount.id)
    mount.delete()


def test_a_kv_value_is_secret_and_its_drift_is_seen(provider: VaultProvider, client: VaultClient, kv: str) -> None:
    value = f"v-{uuid.uuid4()}"
    data = json.dumps({"key": value})
    found = made(provider, KV, mount=kv, name="app/x", dataJson=secret(data))
    assert found.id == f"{kv}/data/app/x"
    assert found.state["dataJson"].is_secret
    assert found.state["data"].is_secret
    assert found.up(mount=kv, name="app/x", dataJson=json.dumps({"key": value})) == "same"
    client.write(f"{kv}/data/app/x", {"data": {"key": "theirs"}})
    assert found.read()
    assert found.diff(mount=kv, name="app/x", dataJson=data).diffs == ["dataJson"]
    with pytest.raises(CheckFailed, match="must be a JSON object") as caught:
        found.check(mount=kv, name="app/x", dataJson=value)
    assert value not in str(caught.value)
    found.delete()


def test_a_write_only_kv_value_is_in_no_output(provider: VaultProvider, client: VaultClient, kv: str) -> None:
    value = f"v-{uuid.uuid4()}"
    inputs = {"mount": kv, "name": "app", "dataJsonWo": secret(json.dumps({"k": value})), "dataJsonWoVersion": 1}
    found = Driven(provider, KV)
    assert value not in str(found.preview(**inputs))
    found.up(**inputs)
    assert value not in str(found.state)
    assert client.data(f"{kv}/data/app")["data"] == {"k": value}  # type: ignore[index]
    assert found.read()
    assert value not in str(found.state)
    changed = {**inputs, "dataJsonWo": secret(json.dumps({"k": "new"}))}
    assert found.up(**changed) == "same"
    assert found.up(**{**changed, "dataJsonWoVersion": 2}) == "update"
    assert client.data(f"{kv}/data/app")["data"] == {"k": "new"}  # type: ignore[index]
    found.delete()


def test_a_transit_key_and_a_token(provider: VaultProvider, client: VaultClient) -> None:
    mount = made(provider, MOUNT, path=unique("transit"), type="transit")
    key = made(provider, TRANSIT, backend=mount.id, name="sops", deletionAllowed=True)
    assert key.values["latestVersion"] == 1
    client.write(f"{mount.id}/keys/sops/rotate")
    assert key.read()
    assert key.values["latestVersion"] == 2
    assert key.up(backend=mount.id, name="sops", deletionAllowed=True) == "same"
    key.delete()
    mount.delete()
    token = made(provider, TOKEN, policies=["default"], ttl="1h")
    assert token.state["clientToken"].is_secret
    assert token.values["clientToken"] not in str(token.id)
    assert token.read()
    token.delete()
    assert not Driven(provider, TOKEN, id=None).imported("no-such-accessor")


def test_audit_devices(provider: VaultProvider, client: VaultClient, tmp_path: Any) -> None:
    inputs = {"type": "file", "path": unique("audit"), "options": {"file_path": str(tmp_path / "audit.log")}}
    try:
        device = made(provider, AUDIT, **inputs)
    except VaultError as error:
        assert "audit" in str(error)  # noqa: PT017 - a server may allow audit devices by its configuration only
        return
    assert device.up(**inputs) == "same"
    device.delete()


# -- all alike ---------------------------------------------------------------------------------------------------------------


def test_unknown_and_missing_properties_are_named(provider: VaultProvider) -> None:
    with pytest.raises(CheckFailed, match="has no property 'defaultTTL'; did you mean 'defaultTtl'"):
        Driven(provider, ROLE).check(backend="b", dbName="d", creationStatements=[], defaultTTL=1)
    with pytest.raises(CheckFailed, match="needs creationStatements"):
        Driven(provider, ROLE).check(backend="b", dbName="d")
    with pytest.raises(CheckFailed, match="no resource type"):
        Driven(provider, "vault:aws/secretBackend:SecretBackend").check()


def test_a_preview_touches_nothing_and_shows_unknowns(provider: VaultProvider, client: VaultClient) -> None:
    path = unique("never")
    shown = Driven(provider, MOUNT).preview(path=path, type="kv")
    assert plain(shown["accessor"]) == Unknown.value
    assert not mount_exists(client, path)
    role = Driven(provider, ROLE).preview(backend=Unknown, name="r", dbName="d", creationStatements=CREATE)
    assert plain(role["backend"]) == Unknown.value


def test_the_servers_own_message_is_told_without_the_secret(provider: VaultProvider, database: Database) -> None:
    wrong = f"wrong-{uuid.uuid4()}"
    inner = {**database.inputs["postgresql"], "password": secret(wrong)}
    with pytest.raises(VaultError, match="error verifying connection") as caught:
        Driven(provider, CONNECTION).up(**{**database.inputs, "name": "bad", "postgresql": inner})
    assert wrong not in str(caught.value)


def test_anything_but_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "x")
    found = VaultProvider()
    with pytest.raises(EndpointRefused):
        configure(found, address="https://vault.example.com")
    found.close()


def test_a_wrong_token_is_the_servers_permission_denied(provider: VaultProvider) -> None:
    configure(provider, token="s.not-a-token")
    with pytest.raises(VaultError, match="permission denied"):
        Driven(provider, POLICY).up(name=unique(), policy='path "x" { capabilities = ["read"] }')


def test_many_at_once(provider: VaultProvider, client: VaultClient) -> None:
    names = [unique("many") for _ in range(40)]

    def one(name: str) -> Driven:
        return made(provider, POLICY, name=name, policy='path "x" { capabilities = ["read"] }')

    with ThreadPoolExecutor(16) as pool:
        policies = list(pool.map(one, names))
    listed = client.request("LIST", "sys/policies/acl")["data"]["keys"]
    assert set(names) <= set(listed)
    for policy in policies:
        policy.delete()


def test_a_secret_is_read_by_a_function_and_secret(provider: VaultProvider, client: VaultClient, kv: str) -> None:
    client.write(f"{kv}/data/app", {"data": {"a": "b"}})
    found = invoke(provider, "vault:kv/getSecretV2:getSecretV2", mount=kv, name="app")
    assert found["data"].is_secret
    assert plain(found["data"]) == {"a": "b"}
    with pytest.raises(VaultError, match="there is no secret at"):
        invoke(provider, "vault:kv/getSecretV2:getSecretV2", mount=kv, name="nothing")


def test_the_server_is_checked_by_its_certificate(openbao: Vault) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{openbao.address}/v1/sys/health")
    found = VaultClient(openbao.address, openbao.token)
    with pytest.raises(VaultError, match="CERTIFICATE_VERIFY_FAILED"):
        found.read("sys/health")
    found.close()
