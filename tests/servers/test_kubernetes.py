"""The API server: who may read what, whose tokens it makes, and what survives."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox import servers
from sandbox.endpoints import Endpoints, Kubernetes
from sandbox.providers.kubernetes.api import Api, Kind
from sandbox.providers.kubernetes.errors import ApiError
from sandbox.providers.kubernetes.kubeconfig import Cluster, load
from tests.servers import own

SECRETS = Kind("v1", "Secret", "secrets", True)
ACCOUNTS = Kind("v1", "ServiceAccount", "serviceaccounts", True)
NAMESPACES = Kind("v1", "Namespace", "namespaces", False)


@pytest.fixture
def anyone(sandbox_endpoints: Endpoints) -> Iterator[httpx.Client]:
    """A client without a login."""
    kubernetes = sandbox_endpoints.kubernetes
    context = ssl.create_default_context(cafile=kubernetes.ca_file)
    with httpx.Client(base_url=kubernetes.server, verify=context, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def admin(sandbox_endpoints: Endpoints) -> Iterator[Api]:
    api = Api(load(sandbox_endpoints.kubernetes.kubeconfig))
    yield api
    api.close()


def token(admin: Api, account: str, audience: str | None = None) -> str:
    spec = {"expirationSeconds": 600, **({"audiences": [audience]} if audience else {})}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str(admin.request("POST", f"{ACCOUNTS.path('default', account)}/token", body=body)["status"]["token"])


def claims(text: str) -> dict[str, Any]:
    payload = text.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def as_token(kubernetes: Kubernetes, text: str) -> Api:
    ca = Path(kubernetes.ca_file).read_bytes()
    return Api(Cluster(server=kubernetes.server, namespace="default", ca=ca, token=text))


def test_the_issuers_documents_need_no_login(anyone: httpx.Client, sandbox_endpoints: Endpoints) -> None:
    issuer = sandbox_endpoints.kubernetes.issuer
    document = anyone.get("/.well-known/openid-configuration").raise_for_status().json()
    assert document["issuer"] == issuer
    assert document["jwks_uri"] == f"{issuer}/openid/v1/jwks"
    keys = anyone.get(document["jwks_uri"]).raise_for_status().json()["keys"]
    assert [key["alg"] for key in keys] == ["RS256"]


@pytest.mark.parametrize("path", ["/api", "/apis", "/version", "/metrics", "/api/v1/namespaces", "/openapi/v3"])
def test_everything_else_needs_a_login(anyone: httpx.Client, path: str) -> None:
    assert anyone.get(path).status_code == 401


def test_tokens_carry_issuer_subject_and_the_audience_asked_for(admin: Api, sandbox_endpoints: Endpoints) -> None:
    found = claims(token(admin, "default", "sts.amazonaws.com"))
    assert found["iss"] == sandbox_endpoints.kubernetes.issuer
    assert found["sub"] == "system:serviceaccount:default:default"
    assert found["aud"] == ["sts.amazonaws.com"]


def test_a_token_for_another_audience_is_no_login(admin: Api, sandbox_endpoints: Endpoints) -> None:
    stranger = as_token(sandbox_endpoints.kubernetes, token(admin, "default", "vault"))
    with pytest.raises(ApiError) as refused:
        stranger.list(SECRETS, "default")
    stranger.close()
    assert refused.value.code == 401


def test_a_service_account_may_do_what_it_was_granted_and_nothing_else(
    admin: Api, sandbox_endpoints: Endpoints
) -> None:
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": "reader", "namespace": "default"}
    role = {"apiGroup": rbac, "kind": "Role", "name": "reader"}
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
    admin.apply(ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, manager="test")
    for kind, extra in (("Role", {"rules": rules}), ("RoleBinding", {"roleRef": role, "subjects": [subject]})):
        body = {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": metadata, **extra}
        admin.apply(admin.kind(f"{rbac}/v1", kind), body, manager="test")
    reader = as_token(sandbox_endpoints.kubernetes, token(admin, "reader"))
    try:
        assert isinstance(reader.list(SECRETS, "default"), list)
        with pytest.raises(ApiError, match="cannot list resource") as refused:
            reader.list(SECRETS, "kube-system")
        assert refused.value.code == 403
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine", "namespace": "default"}}
        with pytest.raises(ApiError, match="cannot patch resource"):
            reader.apply(SECRETS, secret, manager="test")
    finally:
        reader.close()


def test_etcd_refuses_a_client_without_a_certificate(sandbox_endpoints: Endpoints) -> None:
    etcd = next(each for each in servers.status(Path(sandbox_endpoints.state_dir)) if each.name == "etcd")
    context = ssl.create_default_context(cafile=sandbox_endpoints.kubernetes.ca_file)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{etcd.address}/version", verify=context, trust_env=False)


def test_the_admin_kubeconfig_and_keys_are_private(sandbox_endpoints: Endpoints) -> None:
    kubeconfig = Path(sandbox_endpoints.kubernetes.kubeconfig)
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert load(str(kubeconfig)).client_certificate is not None


def test_objects_survive_that_the_supervisor_is_killed() -> None:
    with own.folder() as state_dir:
        first = own.start(state_dir, "kubernetes").kubernetes
        assert first is not None
        api = Api(load(first.kubeconfig))
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kept"}}
        api.apply(NAMESPACES, body, manager="test")
        old = token(api, "default")
        everyone = own.kill_supervisor(state_dir)
        second = own.start(state_dir, "kubernetes").kubernetes
        assert own.alive(everyone) == []
        assert second == first
        assert api.get(NAMESPACES, None, "kept") is not None
        # The signing key is the same too: a token from before the kill still logs in (and may not do this).
        survivor = as_token(first, old)
        with pytest.raises(ApiError, match="forbidden"):
            survivor.list(SECRETS, "default")
        survivor.close()
        api.close()
        everyone = own.family(state_dir)
        assert len(everyone) == 4
        servers.stop(state_dir)
        assert own.alive(everyone) == []


def test_a_failing_server_is_named_and_those_that_need_it_are_not_started() -> None:
    with own.folder() as state_dir:
        first = own.start(state_dir, "kubernetes").kubernetes
        assert first is not None
        servers.stop(state_dir, keep_files=True)
        (state_dir / "kubernetes" / "service-account.key").write_text("not a key")
        with pytest.raises(servers.ServerFailed, match=r"^kube-apiserver ended with code 1; the end of its log:"):
            own.start(state_dir, "kubernetes")
        states = {each.name: each.state for each in servers.status(state_dir)}
        assert states == {"etcd": "ready", "kube-apiserver": "failed"}


def test_missing_binaries_are_named_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRONGROOM_TOOLCHAIN", str(tmp_path))
    monkeypatch.setenv("STRONGROOM_CACHE", str(tmp_path))
    with own.folder() as state_dir, pytest.raises(servers.NotSupported, match="kube-apiserver is not built yet"):
        servers.start_parts(state_dir, ["kubernetes"], owner=os.getpid())
