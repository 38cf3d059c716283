"""Any kind of object against the real API server: what an engine would ask of the provider."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.endpoints import Endpoints
from sandbox.providers.errors import EndpointRefused, InitializationFailed
from sandbox.providers.kubernetes import KubernetesProvider
from sandbox.providers.kubernetes.api import Kind
from sandbox.providers.kubernetes.errors import KubernetesError
from sandbox.providers.values import plain_map
from sandbox.toolchain.paths import wheel_binary
from tests.providers.driver import CheckFailed, Driven, Unknown, configure, secret

CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
SECRET = "kubernetes:core/v1:Secret"
NAMESPACE = "kubernetes:core/v1:Namespace"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
CRD = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"


@pytest.fixture(scope="module")
def provider(sandbox_endpoints: Endpoints) -> Iterator[KubernetesProvider]:
    made = KubernetesProvider()
    configure(made, kubeconfig=sandbox_endpoints.kubernetes.kubeconfig)
    yield made
    made.close()


@pytest.fixture
def namespace(provider: KubernetesProvider) -> Iterator[str]:
    """A namespace; its end is not waited for, which takes the API server five seconds at least."""
    api, kind = provider.cluster().api, Kind("v1", "Namespace", "namespaces", False)
    name = f"test-{uuid.uuid4().hex[:8]}"
    api.apply(kind, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, manager="test")
    yield name
    api.delete(kind, None, name, propagation="Background", uid=None)


def kubectl(endpoints: Endpoints, *arguments: str, stdin: str | None = None) -> str:
    command = [str(wheel_binary("kubectl")), f"--cache-dir={endpoints.state_dir}/kube-cache", *arguments]
    environment = {"KUBECONFIG": endpoints.kubernetes.kubeconfig}
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=True).stdout


def live(endpoints: Endpoints, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl(endpoints, "get", *names, "-o", "json"))
    return found


def test_create_same_update_delete(provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str) -> None:
    job = Driven(provider, DEPLOYMENT)

    def inputs(replicas: int) -> dict[str, Any]:
        labels = {"app": "web"}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
        return {"metadata": {"name": "web", "namespace": namespace}, "spec": spec}

    assert job.up(**inputs(1)) == "create"
    assert job.id == f"{namespace}/web"
    assert job.up(**inputs(1)) == "same"
    assert list(job.diff(**inputs(2)).detailed_diff) == ["spec.replicas"]
    assert job.up(**inputs(2)) == "update"
    assert live(sandbox_endpoints, "deploy", "web", "-n", namespace)["spec"]["replicas"] == 2
    assert job.values["metadata"]["uid"]
    job.delete()
    assert kubectl(sandbox_endpoints, "get", "deploy", "-n", namespace, "-o", "name") == ""


def test_a_name_is_made_of_the_logical_name_and_kept(provider: KubernetesProvider, namespace: str) -> None:
    made = Driven(provider, CONFIG_MAP, "settings")
    made.up(metadata={"namespace": namespace}, data={"a": "1"})
    name = made.values["metadata"]["name"]
    assert name.startswith("settings-")
    assert made.up(metadata={"namespace": namespace}, data={"a": "1"}) == "same"
    assert made.values["metadata"]["name"] == name
    made.delete()


def test_changed_data_of_a_config_map_replaces_it(provider: KubernetesProvider, namespace: str) -> None:
    made = Driven(provider, CONFIG_MAP, "settings")
    made.up(metadata={"namespace": namespace}, data={"a": "1"})
    first = made.id
    assert made.up(metadata={"namespace": namespace}, data={"a": "2"}) == "replace"
    assert made.values["data"] == {"a": "2"}
    assert made.id is not None
    assert first is not None
    made.delete()


def test_an_immutable_field_replaces_the_object_old_one_first(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    binding = Driven(provider, "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding")

    def inputs(role: str) -> dict[str, Any]:
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        return {"metadata": {"name": "b", "namespace": namespace}, "roleRef": reference, "subjects": []}

    binding.up(**inputs("one"))
    difference = binding.diff(**inputs("two"))
    assert difference.replaces == ["roleRef.name"]
    assert difference.delete_before_replace
    assert binding.up(**inputs("two")) == "replace"
    assert live(sandbox_endpoints, "rolebinding", "b", "-n", namespace)["roleRef"]["name"] == "two"


def test_an_object_that_somebody_else_made_is_not_taken_over(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    kubectl(sandbox_endpoints, "create", "configmap", "theirs", "-n", namespace, "--from-literal=a=1")
    ours = Driven(provider, CONFIG_MAP)
    with pytest.raises(KubernetesError, match=r"already exists, and this resource did not make it: import it"):
        ours.up(metadata={"name": "theirs", "namespace": namespace}, data={"a": "2"})
    assert live(sandbox_endpoints, "cm", "theirs", "-n", namespace)["data"] == {"a": "1"}


def test_a_field_that_another_manager_has_is_a_conflict_unless_forced(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    ours = Driven(provider, NAMESPACE)
    name = f"{namespace}-x"
    ours.up(metadata={"name": name, "labels": {"team": "ours"}})
    theirs = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "theirs"}}}
    apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=them", "-f", "-")
    kubectl(sandbox_endpoints, *apply, stdin=json.dumps(theirs))
    with pytest.raises(
        KubernetesError, match=r'conflict with "them".*metadata.labels.team[\s\S]*pulumi.com/patchForce'
    ):
        ours.up(metadata={"name": name, "labels": {"team": "ours", "more": "1"}})
    forced = {"name": name, "labels": {"team": "ours", "more": "1"}, "annotations": {"pulumi.com/patchForce": "true"}}
    assert ours.up(metadata=forced) == "update"
    assert live(sandbox_endpoints, "ns", name)["metadata"]["labels"]["team"] == "ours"
    ours.delete()


def test_what_an_interrupted_run_made_is_recognised_as_our_own(provider: KubernetesProvider, namespace: str) -> None:
    inputs = {"metadata": {"name": "ours", "namespace": namespace}, "data": {"a": "1"}}
    Driven(provider, CONFIG_MAP, "same-urn").up(**inputs)
    assert Driven(provider, CONFIG_MAP, "same-urn").up(**inputs) == "create"


def test_a_custom_kind_can_be_used_as_soon_as_its_definition_is_made(
    provider: KubernetesProvider, namespace: str
) -> None:
    group = f"{namespace}.example.com"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 3}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    definition = Driven(provider, CRD)
    widget = Driven(provider, f"kubernetes:{group}/v1:Widget")
    # The garbage collector learns of a new kind within 30 seconds; a deletion in the background does not wait for it.
    at_once = {"pulumi.com/deletionPropagationPolicy": "background"}
    place = {"name": "w", "namespace": namespace, "annotations": at_once}
    # Before the definition is there: nothing to check against, nothing to preview.
    assert widget.check(metadata=place, spec={"size": 9})
    definition.up(
        metadata={"name": f"widgets.{group}"},
        spec={"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    )
    with pytest.raises(CheckFailed) as refused:
        widget.check(metadata=place, spec={"size": 9})
    assert refused.value.failures[0][0] == "spec.size"
    assert "less than or equal to 3" in refused.value.failures[0][1]
    with pytest.raises(CheckFailed, match="unknown field"):
        widget.check(metadata=place, spec={"sizes": 1})
    assert widget.up(metadata=place, spec={"size": 2}) == "create"
    widget.delete()
    definition.delete()


def test_a_kind_that_is_not_served_is_refused_with_what_is(provider: KubernetesProvider) -> None:
    with pytest.raises(CheckFailed, match="Deployment in 'apps/v1': change apiVersion"):
        Driven(provider, "kubernetes:apps/v1beta1:Deployment").check(metadata={"name": "x"})


def test_refresh_shows_what_was_changed_by_hand_and_what_is_gone(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    ours = Driven(provider, CONFIG_MAP)
    inputs = {"metadata": {"name": "ours", "namespace": namespace}, "data": {"a": "1"}}
    ours.up(**inputs)
    assert ours.read()
    assert ours.up(**inputs) == "same"
    patch = json.dumps({"data": {"a": "changed"}})
    kubectl(sandbox_endpoints, "patch", "cm", "ours", "-n", namespace, "-p", patch)
    assert ours.read()
    assert ours.values["data"] == {"a": "changed"}
    assert [str(path) for path in ours.diff(**inputs).detailed_diff] == ["data.a"]
    kubectl(sandbox_endpoints, "delete", "cm", "ours", "-n", namespace)
    assert not ours.read()


def test_import_takes_the_live_object(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    kubectl(sandbox_endpoints, "create", "configmap", "there", "-n", namespace, "--from-literal=a=1")
    ours = Driven(provider, CONFIG_MAP)
    assert ours.imported(f"{namespace}/there")
    assert ours.up(metadata={"name": "there", "namespace": namespace}, data={"a": "1"}) == "same"
    assert not Driven(provider, CONFIG_MAP).imported(f"{namespace}/absent")


def test_a_secrets_values_are_secret_in_state_and_absent_from_errors(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    value = f"s3cret-{uuid.uuid4().hex}"
    ours = Driven(provider, SECRET)
    place = {"name": "ours", "namespace": namespace}
    ours.up(metadata=place, stringData={"password": secret(value)})
    encoded = base64.b64encode(value.encode()).decode()
    assert live(sandbox_endpoints, "secret", "ours", "-n", namespace)["data"] == {"password": encoded}
    assert ours.state["data"].is_secret
    assert ours.state["stringData"].is_secret
    assert value not in repr(ours.state["metadata"])
    with pytest.raises((CheckFailed, KubernetesError)) as refused:
        Driven(provider, SECRET).up(metadata={"name": "x", "namespace": namespace}, data={"password": secret(value)})
    assert value not in str(refused.value)
    assert encoded not in str(refused.value)
    assert ours.read()
    assert ours.state["data"].is_secret


def test_waiting_for_a_condition_ends_with_the_objects_own_account(
    provider: KubernetesProvider, namespace: str
) -> None:
    annotations = {"pulumi.com/waitFor": "jsonpath={.data.ready}=yes"}
    waiting = Driven(provider, CONFIG_MAP)
    place = {"name": "waiting", "namespace": namespace, "annotations": annotations}
    with pytest.raises(InitializationFailed, match=r"did not reach jsonpath \{.data.ready\}=yes within 1 s"):
        waiting.up(1, metadata=place, data={"ready": "no"})
    assert waiting.up(1, metadata={**place, "name": "ready"}, data={"ready": "yes"}) == "create"


def test_deleting_waits_until_the_object_is_gone_and_names_what_holds_it(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    held = Driven(provider, CONFIG_MAP)
    held.up(metadata={"name": "held", "namespace": namespace, "finalizers": ["example.com/hold"]})
    with pytest.raises(KubernetesError, match=r"still there after 1 s. Finalizers that hold it: .*example.com/hold"):
        held.delete(1)
    patch = json.dumps({"metadata": {"finalizers": None}})
    kubectl(sandbox_endpoints, "patch", "cm", "held", "-n", namespace, "--type=merge", "-p", patch)


def test_preview_shows_the_servers_defaults_and_changes_nothing(
    provider: KubernetesProvider, sandbox_endpoints: Endpoints, namespace: str
) -> None:
    service = Driven(provider, "kubernetes:core/v1:Service")
    shown = service.preview(
        metadata={"name": "s", "namespace": namespace}, spec={"selector": {"a": "b"}, "ports": [{"port": 80}]}
    )
    assert shown["spec"].value["type"].value == "ClusterIP"
    assert kubectl(sandbox_endpoints, "get", "svc", "-n", namespace, "-o", "name") == ""
    assert service.preview(metadata={"name": "s", "namespace": namespace}, spec=Unknown)


def test_a_preview_of_an_update_keeps_what_the_server_gave_once_for_all(
    provider: KubernetesProvider, namespace: str
) -> None:
    made = Driven(provider, CONFIG_MAP)
    made.up(metadata={"name": "c", "namespace": namespace}, data={"a": "1"})
    for data in ({"a": "2"}, {"a": Unknown}):
        shown = plain_map(made.preview(metadata={"name": "c", "namespace": namespace}, data=data))
        assert shown["metadata"]["uid"] == made.values["metadata"]["uid"]
    made.delete()


def test_a_provider_that_was_cancelled_waits_again_once_it_is_configured(
    sandbox_endpoints: Endpoints, namespace: str
) -> None:
    """The real engine ends its preview so, and goes on with the same process."""
    own = KubernetesProvider()
    for reason in ("cancelled while waiting", "within 1 s"):
        configure(own, kubeconfig=sandbox_endpoints.kubernetes.kubeconfig)
        if reason.startswith("cancelled"):
            asyncio.run(own.cancel())
        metadata: dict[str, Any] = {"name": f"w{len(reason)}", "namespace": namespace}
        metadata["annotations"] = {"pulumi.com/waitFor": "jsonpath={.data.b}"}
        with pytest.raises(InitializationFailed, match=reason):
            Driven(own, CONFIG_MAP).up(1, metadata=metadata, data={"a": "1"})
    own.close()


def test_an_address_beyond_loopback_is_refused() -> None:
    remote = KubernetesProvider()
    text = json.dumps(
        {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1:6443"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        }
    )
    configure(remote, kubeconfig=text)
    with pytest.raises(EndpointRefused, match=r"192\.0\.2\.1"):
        Driven(remote, CONFIG_MAP).up(metadata={"name": "x"})
    remote.close()
