"""The vault provider against OpenBao."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.endpoints import Vault
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.values import plain
from sandbox.providers.vault import VaultProvider
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import VaultError
from tests.providers.driver import CheckFailed, Driven, Unknown, configure, invoke, secret
from tests.providers.vault import (
    AUDIT,
    AUTH,
    CONNECTION,
    CREATE,
    KUBERNETES_CONFIG,
    KUBERNETES_ROLE,
    KV,
    MOUNT,
    POLICY,
    ROLE,
    TOKEN,
    TRANSIT,
    Database,
    made,
    mount_exists,
    unique,
)


def test_a_mount_is_tuned_moved_and_removed(vault: VaultProvider, client: VaultClient) -> None:
    path = unique("kv")
    inputs: dict[str, Any] = {"path": path, "type": "kv", "options": {"version": "2"}, "description": "d"}
    mount = made(vault, MOUNT, **inputs)
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


def test_an_empty_engine_of_an_interrupted_run_is_taken_over_and_a_used_one_is_not(
    vault: VaultProvider, client: VaultClient
) -> None:
    path = unique("kv")
    inputs = {"path": path, "type": "kv", "options": {"version": "2"}}
    first = made(vault, MOUNT, **inputs)
    assert made(vault, MOUNT, **inputs).id == path
    client.write(f"{path}/data/x", {"data": {"a": "b"}})
    with pytest.raises(VaultError, match="import it"):
        Driven(vault, MOUNT).up(**inputs)
    first.delete()


def test_kubernetes_auth_hides_its_token_and_its_role_is_exact(
    vault: VaultProvider, client: VaultClient, openbao: Vault
) -> None:
    auth = made(vault, AUTH, type="kubernetes", path=unique("k8s"))
    token = ".".join(uuid.uuid4().hex for _ in range(3))
    inputs = {
        "backend": auth.id,
        "kubernetesHost": "https://127.0.0.1:6443",
        "kubernetesCaCert": Path(openbao.ca_file).read_text(encoding="utf-8"),
        "tokenReviewerJwt": secret(token),
    }
    config = made(vault, KUBERNETES_CONFIG, **inputs)
    assert config.state["tokenReviewerJwt"].is_secret
    assert config.read()  # the server tells no token; what is known stays, and stays secret
    assert config.state["tokenReviewerJwt"].is_secret
    assert config.up(**inputs) == "same"
    bound = {"boundServiceAccountNames": ["app"], "boundServiceAccountNamespaces": ["production"]}
    role_inputs = {"backend": auth.id, "roleName": "app", "audience": "vault", "tokenTtl": 600, **bound}
    role = made(vault, KUBERNETES_ROLE, **role_inputs, tokenPolicies=["b", "a"])
    assert role.id == f"auth/{auth.id}/role/app"
    assert role.up(**role_inputs, tokenPolicies=["a", "b"]) == "same"
    assert role.read()
    assert role.up(**role_inputs, tokenPolicies=["a"]) == "update"
    live = client.data(str(role.id))
    assert live is not None
    assert (live["audience"], live["token_policies"], live["token_ttl"]) == ("vault", ["a"], 600)
    again = Driven(vault, KUBERNETES_ROLE)
    assert again.imported(str(role.id))
    assert again.up(**role_inputs, tokenPolicies=["a"]) == "same"
    with pytest.raises(CheckFailed, match="needs one of boundServiceAccountNamespaces"):
        role.check(backend=auth.id, roleName="x", boundServiceAccountNames=["x"])
    role.delete()
    assert not again.read()
    config.delete()
    auth.delete()


def test_a_policy_drifts_and_is_put_right(vault: VaultProvider, client: VaultClient) -> None:
    rules = [{"path": "kv/data/app", "capabilities": ["read"]}]
    hcl = plain(invoke(vault, "vault:index/getPolicyDocument:getPolicyDocument", rules=rules)["hcl"])
    assert hcl == 'path "kv/data/app" {\n  capabilities = ["read"]\n}\n'
    name = unique("policy")
    policy = made(vault, POLICY, name=name, policy=hcl)
    client.write(f"sys/policies/acl/{name}", {"policy": 'path "*" { capabilities = ["sudo"] }'})
    assert policy.read()
    assert policy.diff(name=name, policy=hcl).diffs == ["policy"]
    assert policy.up(name=name, policy=hcl) == "update"
    client.delete(f"sys/policies/acl/{name}")
    assert not policy.read()
    with pytest.raises(CheckFailed, match="no capability 'reed'"):
        invoke(
            vault, "vault:index/getPolicyDocument:getPolicyDocument", rules=[{"path": "x", "capabilities": ["reed"]}]
        )


# -- KV, transit, tokens -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kv(vault: VaultProvider) -> Iterator[str]:
    mount = made(vault, MOUNT, path=unique("kv"), type="kv", options={"version": "2"})
    yield str(mount.id)
    mount.delete()


def test_a_kv_value_is_secret_and_its_drift_is_seen(vault: VaultProvider, client: VaultClient, kv: str) -> None:
    value = f"v-{uuid.uuid4()}"
    data = json.dumps({"key": value})
    found = made(vault, KV, mount=kv, name="app/x", dataJson=secret(data))
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


def test_a_write_only_kv_value_is_in_no_output(vault: VaultProvider, client: VaultClient, kv: str) -> None:
    value = f"v-{uuid.uuid4()}"
    inputs = {"mount": kv, "name": "app", "dataJsonWo": secret(json.dumps({"k": value})), "dataJsonWoVersion": 1}
    found = Driven(vault, KV)
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


def test_a_transit_key_and_a_token(vault: VaultProvider, client: VaultClient) -> None:
    mount = made(vault, MOUNT, path=unique("transit"), type="transit")
    key = made(vault, TRANSIT, backend=mount.id, name="sops", deletionAllowed=True)
    assert key.values["latestVersion"] == 1
    client.write(f"{mount.id}/keys/sops/rotate")
    assert key.read()
    assert key.values["latestVersion"] == 2
    assert key.up(backend=mount.id, name="sops", deletionAllowed=True) == "same"
    key.delete()
    mount.delete()
    token = made(vault, TOKEN, policies=["default"], ttl="1h")
    assert token.state["clientToken"].is_secret
    assert token.values["clientToken"] not in str(token.id)
    assert token.read()
    token.delete()
    assert not Driven(vault, TOKEN, id=None).imported("no-such-accessor")


def test_audit_devices(vault: VaultProvider, client: VaultClient, tmp_path: Any) -> None:
    inputs = {"type": "file", "path": unique("audit"), "options": {"file_path": str(tmp_path / "audit.log")}}
    try:
        device = made(vault, AUDIT, **inputs)
    except VaultError as error:
        assert "audit" in str(error)  # noqa: PT017 - a server may allow audit devices by its configuration only
        return
    assert device.up(**inputs) == "same"
    device.delete()


# -- all alike ---------------------------------------------------------------------------------------------------------------


def test_unknown_and_missing_properties_are_named(vault: VaultProvider) -> None:
    with pytest.raises(CheckFailed, match="has no property 'defaultTTL'; did you mean 'defaultTtl'"):
        Driven(vault, ROLE).check(backend="b", dbName="d", creationStatements=[], defaultTTL=1)
    with pytest.raises(CheckFailed, match="needs creationStatements"):
        Driven(vault, ROLE).check(backend="b", dbName="d")
    with pytest.raises(CheckFailed, match="no resource type"):
        Driven(vault, "vault:aws/secretBackend:SecretBackend").check()


def test_a_preview_touches_nothing_and_shows_unknowns(vault: VaultProvider, client: VaultClient) -> None:
    path = unique("never")
    shown = Driven(vault, MOUNT).preview(path=path, type="kv")
    assert plain(shown["accessor"]) == Unknown.value
    assert not mount_exists(client, path)
    role = Driven(vault, ROLE).preview(backend=Unknown, name="r", dbName="d", creationStatements=CREATE)
    assert plain(role["backend"]) == Unknown.value


def test_the_servers_own_message_is_told_without_the_secret(vault: VaultProvider, database: Database) -> None:
    wrong = f"wrong-{uuid.uuid4()}"
    inner = {**database.inputs["postgresql"], "password": secret(wrong)}
    with pytest.raises(VaultError, match="error verifying connection") as caught:
        Driven(vault, CONNECTION).up(**{**database.inputs, "name": "bad", "postgresql": inner})
    assert wrong not in str(caught.value)


def test_anything_but_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "x")
    found = VaultProvider()
    with pytest.raises(EndpointRefused):
        configure(found, address="https://vault.example.com")
    found.close()


def test_a_wrong_token_is_the_servers_permission_denied(vault: VaultProvider) -> None:
    configure(vault, token="s.not-a-token")
    with pytest.raises(VaultError, match="permission denied"):
        Driven(vault, POLICY).up(name=unique(), policy='path "x" { capabilities = ["read"] }')


def test_many_at_once(vault: VaultProvider, client: VaultClient) -> None:
    names = [unique("many") for _ in range(40)]

    def one(name: str) -> Driven:
        return made(vault, POLICY, name=name, policy='path "x" { capabilities = ["read"] }')

    with ThreadPoolExecutor(16) as pool:
        policies = list(pool.map(one, names))
    listed = client.request("LIST", "sys/policies/acl")["data"]["keys"]
    assert set(names) <= set(listed)
    for policy in policies:
        policy.delete()


def test_a_secret_is_read_by_a_function_and_secret(vault: VaultProvider, client: VaultClient, kv: str) -> None:
    client.write(f"{kv}/data/app", {"data": {"a": "b"}})
    found = invoke(vault, "vault:kv/getSecretV2:getSecretV2", mount=kv, name="app")
    assert found["data"].is_secret
    assert plain(found["data"]) == {"a": "b"}
    with pytest.raises(VaultError, match="there is no secret at"):
        invoke(vault, "vault:kv/getSecretV2:getSecretV2", mount=kv, name="nothing")


def test_the_server_is_checked_by_its_certificate(openbao: Vault) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{openbao.address}/v1/sys/health")
    found = VaultClient(openbao.address, openbao.token)
    with pytest.raises(VaultError, match="CERTIFICATE_VERIFY_FAILED"):
        found.read("sys/health")
    found.close()
