"""Helm releases: the upstream controllers really run, with their own rights, and do what they are for."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hvac
import pytest

from sandbox import servers
from sandbox.endpoints import Endpoints
from sandbox.providers.kubernetes import KubernetesProvider
from sandbox.providers.kubernetes.errors import KubernetesError
from sandbox.toolchain import go
from sandbox.toolchain.paths import wheel_binary
from tests.providers.driver import CheckFailed, Driven, Unknown, configure
from tests.servers import own
from tests.waiting import until

RELEASE = "kubernetes:helm.sh/v3:Release"
OPERATOR: dict[str, Any] = {
    "name": "external-secrets",
    "namespace": "external-secrets",
    "createNamespace": True,
    "chart": "external-secrets",
    "version": "2.9.0",
    "repositoryOpts": {"repo": "https://charts.external-secrets.io"},
    "values": {
        "fullnameOverride": "external-secrets",
        "serviceAccount": {"annotations": {"team": "platform"}},
        "rbac": {"serviceAccountTokenCreate": False},
        "processClusterStore": False,
        "processClusterExternalSecret": False,
        "processPushSecret": False,
        "processClusterPushSecret": False,
    },
}
SEALED: dict[str, Any] = {
    "name": "sealed-secrets",
    "namespace": "kube-system",
    "chart": "sealed-secrets",
    "version": "2.18.5",
    "values": {"fullnameOverride": "sealed-secrets-controller", "keyrenewperiod": "720h", "keyttl": "87600h"},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Endpoints]:
    """A sandbox of its own: other tests look at the shared one's CRDs and controllers."""
    with own.folder() as state_dir:
        yield servers.start(state_dir, owner=os.getpid())


@pytest.fixture(scope="module")
def provider(cluster: Endpoints) -> Iterator[KubernetesProvider]:
    before = os.environ.get("STRONGROOM_SANDBOX")
    os.environ["STRONGROOM_SANDBOX"] = cluster.state_dir
    made = KubernetesProvider()
    configure(made, kubeconfig=cluster.kubernetes.kubeconfig)
    yield made
    made.close()
    if before is None:
        del os.environ["STRONGROOM_SANDBOX"]
    else:
        os.environ["STRONGROOM_SANDBOX"] = before


@pytest.fixture(scope="module")
def operator(provider: KubernetesProvider) -> Driven:
    made = Driven(provider, RELEASE, "operator")
    assert made.up(**OPERATOR) == "create"
    return made


@pytest.fixture(scope="module")
def sealed(provider: KubernetesProvider) -> Driven:
    made = Driven(provider, RELEASE, "sealed")
    assert made.up(**SEALED) == "create"
    return made


def kubectl(cluster: Endpoints, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    command = [str(wheel_binary("kubectl")), f"--cache-dir={cluster.state_dir}/kube-cache", *arguments]
    environment = {"KUBECONFIG": cluster.kubernetes.kubeconfig}
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=check).stdout


def apply(cluster: Endpoints, *objects: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(listed))


def secret(cluster: Endpoints, namespace: str, name: str) -> dict[str, str]:
    text = kubectl(cluster, "get", "secret", name, "-n", namespace, "-o", "json", "--ignore-not-found")
    data = json.loads(text).get("data", {}) if text.strip() else {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def status(cluster: Endpoints, name: str) -> servers.ServerStatus | None:
    return next((each for each in servers.status(Path(cluster.state_dir)) if each.name == name), None)


def may(cluster: Endpoints, account: str, *what: str) -> bool:
    return (
        kubectl(cluster, "auth", "can-i", *what, f"--as=system:serviceaccount:{account}", check=False).strip() == "yes"
    )


# -- external-secrets ------------------------------------------------------------------------------------------------


def test_outputs_are_those_of_a_deployed_release(operator: Driven) -> None:
    assert operator.id == "external-secrets/external-secrets"
    found = operator.values
    assert found["status"]["status"] == "deployed"
    assert found["status"]["version"] == "2.9.0"
    assert "external-secrets/external-secrets" in found["resourceNames"]["ServiceAccount/v1"]
    crds = found["resourceNames"]["CustomResourceDefinition.apiextensions.k8s.io/v1"]
    assert "externalsecrets.external-secrets.io" in crds
    assert operator.up(**OPERATOR) == "same"


def test_the_controller_runs_as_its_own_service_account(operator: Driven, cluster: Endpoints) -> None:
    found = status(cluster, "external-secrets.external-secrets")
    assert found is not None
    assert found.state == "ready"
    kubeconfig = Path(cluster.state_dir) / "controllers" / found.name / "kubeconfig"
    whoami = subprocess.run(
        [str(wheel_binary("kubectl")), f"--kubeconfig={kubeconfig}", "auth", "whoami", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={"KUBECACHEDIR": f"{cluster.state_dir}/kube-cache"},
    ).stdout
    user = json.loads(whoami)["status"]["userInfo"]["username"]
    assert user == "system:serviceaccount:external-secrets:external-secrets"
    account = json.loads(kubectl(cluster, "get", "sa", "external-secrets", "-n", "external-secrets", "-o", "json"))
    assert account["metadata"]["annotations"]["team"] == "platform"


def test_rights_follow_the_values(operator: Driven, cluster: Endpoints) -> None:
    account = "external-secrets:external-secrets"
    assert may(cluster, account, "list", "secrets", "-A")
    assert may(cluster, account, "list", "externalsecrets.external-secrets.io", "-A")
    assert not may(cluster, account, "create", "serviceaccounts/token", "-A")
    assert not may(cluster, account, "list", "clustersecretstores.external-secrets.io")
    assert not may(cluster, account, "list", "pushsecrets.external-secrets.io", "-A")
    assert not may(cluster, account, "create", "pods", "-A")


def test_the_deployment_that_it_stands_in_for_is_available(operator: Driven, cluster: Endpoints) -> None:
    found = json.loads(kubectl(cluster, "get", "deploy", "external-secrets", "-n", "external-secrets", "-o", "json"))
    assert found["status"]["availableReplicas"] == 1
    assert found["spec"]["template"]["spec"]["serviceAccountName"] == "external-secrets"


def test_an_external_secret_is_read_from_vault_with_the_workloads_own_identity(
    operator: Driven, cluster: Endpoints
) -> None:
    name, value = f"app-{uuid.uuid4().hex[:6]}", uuid.uuid4().hex
    vault = hvac.Client(url=cluster.vault.address, token=cluster.vault.token, verify=cluster.vault.ca_file, timeout=60)
    vault.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})

    def prepared() -> bool:
        try:
            vault.secrets.kv.v2.read_configuration(mount_point="kv")
        except hvac.exceptions.InvalidRequest:  # "Upgrading from non-versioned to versioned data"
            return False
        return True

    until("the engine is prepared", prepared)
    vault.secrets.kv.v2.create_or_update_secret(name, {"password": value}, mount_point="kv")
    vault.sys.create_or_update_policy(name, f'path "kv/data/{name}" {{ capabilities = ["read"] }}')
    vault.sys.enable_auth_method("kubernetes")
    ca = Path(cluster.kubernetes.ca_file).read_text()
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "app", "namespace": name}
    eso = {"kind": "ServiceAccount", "name": "external-secrets", "namespace": "external-secrets"}
    creator = [
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": ["app"], "verbs": ["create"]}
    ]
    apply(
        cluster,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": name}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"}, "subjects": [subject]},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "token", "namespace": name}, "rules": creator},
        {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": {"name": "token", "namespace": name},
         "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "token"}, "subjects": [eso]},
    )  # fmt: skip
    vault.write("auth/kubernetes/config", kubernetes_host=cluster.kubernetes.server, kubernetes_ca_cert=ca)
    vault.write(
        f"auth/kubernetes/role/{name}",
        bound_service_account_names="app",
        bound_service_account_namespaces=name,
        token_policies=name,
        token_ttl="10m",
    )
    auth = {"kubernetes": {"mountPath": "kubernetes", "role": name, "serviceAccountRef": {"name": "app"}}}
    bundle = base64.b64encode(Path(cluster.vault.ca_file).read_bytes()).decode()
    provider = {"server": cluster.vault.address, "path": "kv", "version": "v2", "caBundle": bundle, "auth": auth}
    place = {"name": "app", "namespace": name}
    group = "external-secrets.io/v1"
    apply(
        cluster,
        {"apiVersion": group, "kind": "SecretStore", "metadata": place, "spec": {"provider": {"vault": provider}}},
        {"apiVersion": group, "kind": "ExternalSecret", "metadata": place, "spec": {
            "refreshInterval": "1h", "secretStoreRef": {"name": "app"},
            "data": [{"secretKey": "password", "remoteRef": {"key": name, "property": "password"}}]}},
    )  # fmt: skip
    until("the Secret is there", lambda: secret(cluster, name, "app") == {"password": value})
    # Without the Role that lets the operator make a token of this one account, nothing more is delivered.
    kubectl(cluster, "delete", "rolebinding", "token", "-n", name)
    kubectl(cluster, "delete", "secret", "app", "-n", name)
    kubectl(cluster, "annotate", "externalsecret", "app", "-n", name, f"force-sync={time.time()}")

    def why() -> str:
        return kubectl(cluster, "get", "events", "-n", name)

    refused = 'cannot request Kubernetes service account token for service account "app"'
    until("the operator is refused a token", lambda: refused in why())
    assert secret(cluster, name, "app") == {}


def test_changed_values_restart_the_controller_with_the_new_options(operator: Driven, cluster: Endpoints) -> None:
    before = status(cluster, "external-secrets.external-secrets")
    assert before is not None
    changed = {**OPERATOR, "values": {**OPERATOR["values"], "concurrent": 4}}
    assert list(operator.diff(**changed).detailed_diff) == ["values.concurrent"]
    assert operator.up(**changed) == "update"
    after = status(cluster, "external-secrets.external-secrets")
    assert after is not None
    assert after.pid != before.pid
    assert operator.values["status"]["revision"] == 2
    assert "--concurrent=4" in Path(f"/proc/{after.pid}/cmdline").read_text().split("\0")
    assert operator.up(**OPERATOR) == "update"


def test_a_crashed_controller_is_reported_and_comes_back_by_itself(operator: Driven, cluster: Endpoints) -> None:
    before = status(cluster, "external-secrets.external-secrets")
    assert before is not None
    assert before.pid is not None
    os.kill(before.pid, 9)

    def back() -> bool:
        now = status(cluster, "external-secrets.external-secrets")
        return now is not None and now.state == "ready" and now.pid != before.pid

    until("it runs again", back)
    log = servers.logs(Path(cluster.state_dir), "supervisor")
    assert "external-secrets.external-secrets was ended by SIGKILL" in log


def test_refresh_tells_what_helm_would_have_changed(operator: Driven) -> None:
    assert operator.read()
    assert operator.up(**OPERATOR) == "same"
    assert Driven(operator.provider, RELEASE).imported("external-secrets/external-secrets")
    assert not Driven(operator.provider, RELEASE).imported("external-secrets/absent")


def test_another_resource_does_not_take_a_release_over(operator: Driven) -> None:
    with pytest.raises(KubernetesError, match="already exists, and this resource did not make it"):
        Driven(operator.provider, RELEASE, "other").up(**OPERATOR)
    with pytest.raises(KubernetesError, match="belongs to release 'external-secrets'"):
        Driven(operator.provider, RELEASE, "third").up(**{**OPERATOR, "name": "second"})


# -- sealed-secrets --------------------------------------------------------------------------------------------------


def test_a_sealed_secret_is_opened(sealed: Driven, cluster: Endpoints) -> None:
    url = cluster.sealed_secrets_url
    assert url is not None
    assert cluster.env()["SEALED_SECRETS_URL"] == url
    service = json.loads(kubectl(cluster, "get", "svc", "sealed-secrets-controller", "-n", "kube-system", "-o", "json"))
    assert service["metadata"]["annotations"]["strongroom.sandbox/url"] == url
    certificate = Path(cluster.state_dir) / "certificate.pem"
    certificate.write_bytes(httpx.get(f"{url}/v1/cert.pem", timeout=60).raise_for_status().content)
    value = uuid.uuid4().hex
    metadata = {"name": "opened", "namespace": "default"}
    plain = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"k": value}}
    done = subprocess.run(
        [str(go.binary("kubeseal")), f"--cert={certificate}", "--format=json"],
        input=json.dumps(plain), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert value not in done.stdout
    kubectl(cluster, "apply", "-f", "-", stdin=done.stdout)
    until("the Secret is there", lambda: secret(cluster, "default", "opened") == {"k": value})


def test_sealing_options_reach_the_controller(sealed: Driven, cluster: Endpoints) -> None:
    found = status(cluster, "kube-system.sealed-secrets")
    assert found is not None
    arguments = Path(f"/proc/{found.pid}/cmdline").read_text().split("\0")
    assert "--key-renew-period=720h" in arguments
    assert "--key-ttl=87600h" in arguments
    assert may(cluster, "kube-system:sealed-secrets-controller", "create", "secrets", "-A")
    assert not may(cluster, "kube-system:sealed-secrets-controller", "list", "configmaps", "-A")


# -- both, over a restart --------------------------------------------------------------------------------------------


def test_releases_come_back_with_the_sandbox(operator: Driven, sealed: Driven, cluster: Endpoints) -> None:
    state_dir = Path(cluster.state_dir)
    everyone = own.kill_supervisor(state_dir)
    again = servers.start(state_dir, owner=os.getpid())
    assert own.alive(everyone) == []
    assert again == cluster
    states = {each.name: each.state for each in servers.status(state_dir)}
    assert states["external-secrets.external-secrets"] == "ready"
    assert states["kube-system.sealed-secrets"] == "ready"
    assert operator.up(**OPERATOR) == "same"


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "place", "reason"),
    [
        ({"chart": "nginx"}, "chart", "does not know the chart 'nginx'; it knows external-secrets, sealed-secrets, vault"),
        ({"chart": "stakater/reloader"}, "chart", "Reloader is in no package registry"),
        ({"chart": "./charts/mine"}, "chart", "renders no charts"),
        ({"chart": "external-secrets", "valueYamlFiles": ["a"]}, "valueYamlFiles", "give the files' content"),
        ({"chart": "external-secrets", "postrender": "x"}, "postrender", "renders no chart"),
        ({"chart": "external-secrets", "valuez": {}}, "valuez", "a Release has no property 'valuez'"),
        ({"chart": "external-secrets", "version": "0.9.20"}, "values", "0.17 or later"),
        ({"chart": "external-secrets", "values": {"scopedRbac": True}}, "values.scopedRbac", "did you mean 'scopedRBAC'?"),
        ({"chart": "external-secrets", "values": {"concurrent": "x"}}, "values.concurrent", "expected a whole number"),
        ({"chart": "external-secrets", "values": {"scopedRBAC": True}}, "values.scopedRBAC", "needs scopedNamespace"),
        ({"chart": "external-secrets", "values": {"extraObjects": [{}]}}, "values.extraObjects", "renders no templates"),
        (
            {"chart": "vault", "values": {"global": {"externalVaultAddr": "https://127.0.0.1:8200"}}},
            "values.server.enabled",
            "set it to false",
        ),
        (
            {"chart": "vault", "values": {"server": {"enabled": False}, "global": {"externalVaultAddr": "https://v.example"}}},
            "values.global.externalVaultAddr",
            "https://v.example",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(
    provider: KubernetesProvider, inputs: dict[str, Any], place: str, reason: str
) -> None:
    with pytest.raises(CheckFailed) as refused:
        Driven(provider, RELEASE).check(**inputs)
    assert [name for name, _ in refused.value.failures] == [place]
    assert reason in refused.value.failures[0][1]


def test_values_that_are_not_known_yet_pass_the_check_and_the_preview(provider: KubernetesProvider) -> None:
    values = {"server": {"enabled": False}, "global": {"externalVaultAddr": Unknown}}
    shown = Driven(provider, RELEASE).preview(chart="vault", namespace="v", values=values)
    assert shown["chart"].value == "vault"


def test_a_missing_namespace_is_named_with_the_fix(provider: KubernetesProvider) -> None:
    with pytest.raises(KubernetesError, match="namespace 'absent' is not there: set createNamespace"):
        Driven(provider, RELEASE).up(name="x", namespace="absent", chart="sealed-secrets")


def test_an_atomic_release_that_fails_leaves_nothing(provider: KubernetesProvider, cluster: Endpoints) -> None:
    bad = {"extraArgs": {"no-such-flag": "1"}, "installCRDs": False, "fullnameOverride": "atomic"}
    release = Driven(provider, RELEASE, "atomic")
    with pytest.raises(KubernetesError, match=r"atomic.atomic ended with code 1[\s\S]*no-such-flag"):
        release.up(
            name="atomic", namespace="atomic", createNamespace=True, chart="external-secrets", values=bad, atomic=True
        )
    assert "atomic" not in kubectl(cluster, "get", "ns,clusterrole,clusterrolebinding", "-o", "name")
    assert status(cluster, "atomic.atomic") is None


# -- the end ---------------------------------------------------------------------------------------------------------


def test_z_deleting_leaves_no_object_and_no_process(operator: Driven, sealed: Driven, cluster: Endpoints) -> None:
    kubectl(cluster, "delete", "sealedsecrets", "--all", "-A")
    pids = [each.pid for each in servers.status(Path(cluster.state_dir)) if "." in each.name]
    assert len(pids) == 2
    sealed.delete()
    operator.delete()
    assert [each.name for each in servers.status(Path(cluster.state_dir)) if "." in each.name] == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert kubectl(cluster, "get", "crd", "-o", "name") == ""
    assert "external-secrets" not in kubectl(cluster, "get", "ns,clusterrole,clusterrolebinding", "-o", "name")
    assert "sealed" not in kubectl(cluster, "get", "sa,deploy,svc,role,rolebinding", "-n", "kube-system", "-o", "name")
    assert "sh.helm.release" not in kubectl(cluster, "get", "secrets", "-A", "-o", "name")
    assert cluster.sealed_secrets_url is None
