"""The transform over a team's own workloads, the injector's release and the controller's, as Pulumi registers them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.kubernetes.sealed_secrets_controller import SealedSecretsController, controller_values
from components.vault.agent_injection import PREFIX, inject
from components.vault.agent_injector import VaultAgentInjector, injector_values, uninjected_alert
from components.vault.inject_transform import inject_transform

ANNOTATION = f"{PREFIX}agent-inject"


class Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.name] = args.inputs
        return f"{args.name}-id", {**args.inputs, "status": {"name": args.name}}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


@pytest.fixture
def registered(
    mocks_loop: asyncio.AbstractEventLoop,
) -> Iterator[Callable[[Callable[[], object]], dict[str, dict[str, Any]]]]:
    """Runs a program and gives the inputs of what it registered, by name."""
    asyncio.set_event_loop(mocks_loop)

    def run(program: Callable[[], object]) -> dict[str, dict[str, Any]]:
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder, project="strongroom", stack="dev")

        @pulumi.runtime.test
        def inside() -> None:
            program()

        inside()
        return recorder.resources

    yield run
    pulumi.runtime.set_mocks(Recorder())


INJECTION = (
    inject("payment-api", audience="vault")
    .database("db-creds", role="app-readwrite", host="postgres.internal", database="myapp")
    .kv("app-config", path="production/payment-api")
)


def deployment(name: str, *, account: str | None = "payment-api", **options: Any) -> None:
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": "registry.example.com/app:1"}]}
    if account:
        spec["service_account_name"] = account
    template: Any = {"metadata": {"labels": {"app": name}, "annotations": {"team": "pay"}}, "spec": spec}
    k8s.apps.v1.Deployment(
        name,
        spec={"selector": {"match_labels": {"app": name}}, "template": template},
        opts=pulumi.ResourceOptions(transformations=[inject_transform(INJECTION, **options)]),
    )


def test_a_team_s_own_deployment_gets_annotations_and_volume(registered: Any) -> None:
    template = registered(lambda: deployment("payment-api"))["payment-api"]["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["team"] == "pay"
    assert {key: annotations[key] for key in INJECTION.annotations()} == INJECTION.annotations()
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["vault-token"]
    assert template["spec"]["containers"][0]["name"] == "app"


def test_argument_objects_and_outputs_are_changed_as_dictionaries_are(registered: Any) -> None:
    def program() -> None:
        k8s.batch.v1.CronJob(
            "nightly",
            spec=k8s.batch.v1.CronJobSpecArgs(
                schedule="0 3 * * *",
                job_template=k8s.batch.v1.JobTemplateSpecArgs(
                    spec=k8s.batch.v1.JobSpecArgs(
                        template=k8s.core.v1.PodTemplateSpecArgs(
                            metadata={"labels": pulumi.Output.from_input({"a": "b"})},
                            spec=pulumi.Output.from_input({"serviceAccountName": "nightly", "containers": []}),
                        )
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(transformations=[inject_transform(INJECTION)]),
        )

    template = registered(program)["nightly"]["spec"]["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["annotations"][ANNOTATION] == "true"
    assert template["metadata"]["labels"] == {"a": "b"}
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["vault-token"]


def test_only_the_workload_that_matches_is_changed(registered: Any) -> None:
    def program() -> None:
        deployment("other", match="payment-api")
        k8s.core.v1.ConfigMap(
            "config", data={"a": "b"}, opts=pulumi.ResourceOptions(transformations=[inject_transform(INJECTION)])
        )

    found = registered(program)
    assert ANNOTATION not in found["other"]["spec"]["template"]["metadata"]["annotations"]
    assert found["config"]["data"] == {"a": "b"}


def test_a_pod_without_an_account_of_its_own_is_refused(registered: Any) -> None:
    with pytest.raises(ValueError, match="serviceAccountName: the pods of 'lonely' run under the namespace's default"):
        registered(lambda: deployment("lonely", account=None))


def test_a_deployment_cannot_go_without_renewal_by_the_back_door(registered: Any) -> None:
    def program() -> None:
        k8s.apps.v1.Deployment(
            "web",
            spec={},
            opts=pulumi.ResourceOptions(transformations=[inject_transform(INJECTION.init_only(workload_kind="Job"))]),
        )

    with pytest.raises(ValueError, match="workload_kind: a Deployment outlives its lease"):
        registered(program)


def test_the_injector_fails_closed_and_survives_the_loss_of_a_replica(registered: Any) -> None:
    found = registered(lambda: VaultAgentInjector("injector", {"vault_address": "https://vault.internal:8200/"}))
    release = found["injector-release"]
    assert (release["chart"], release["version"], release["namespace"]) == ("vault", "0.34.1", "vault")
    values = release["values"]
    assert values["global"]["externalVaultAddr"] == "https://vault.internal:8200"
    assert values["server"]["enabled"] == "false"
    injector = values["injector"]
    assert injector["webhook"]["failurePolicy"] == "Fail"
    assert injector["replicas"] == 2
    assert injector["leaderElector"] == {"enabled": True}
    assert injector["podDisruptionBudget"] == {"maxUnavailable": 1}
    exempt = injector["webhook"]["namespaceSelector"]["matchExpressions"][0]
    assert exempt == {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "vault"]}
    assert "injector-alert" not in found


def test_the_alert_is_made_only_when_asked_for_and_finds_what_was_passed_over(registered: Any) -> None:
    found = registered(
        lambda: VaultAgentInjector("injector", {"vault_address": "https://vault.internal:8200", "alert": True})
    )
    (group,) = found["injector-alert"]["spec"]["groups"]
    assert group["rules"][0]["expr"] == uninjected_alert()["expr"]
    assert 'agent_inject="true"' in uninjected_alert()["expr"]
    assert 'agent_inject_status!="injected"' in uninjected_alert()["expr"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"replicas": 1}, "allow_fail_open=True"),
        ({"replicas": 0}, "replicas: 'i' has 0"),
        ({"auth_path": "kubernetes"}, "auth_path: 'kubernetes'"),
        ({"namespaces": []}, "namespaces: expected names"),
        ({"namespaces": ["kube-system"]}, "namespaces: kube-system must start without the webhook"),
        ({"values": {"replicas": 3}}, "values: replicas of 'i'"),
    ],
)
def test_what_would_leave_the_webhook_unsafe_is_refused(args: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        injector_values("i", {"vault_address": "https://v", **args})


def test_failing_open_is_asked_for_by_name() -> None:
    values = injector_values("i", {"vault_address": "https://v", "replicas": 1, "allow_fail_open": True})
    assert values["webhook"]["failurePolicy"] == "Ignore"


def test_the_controller_is_where_kubeseal_looks_for_it_and_renews_its_key(registered: Any) -> None:
    release = registered(lambda: SealedSecretsController("sealed", {}))["sealed-release"]
    assert (release["chart"], release["version"], release["namespace"]) == ("sealed-secrets", "2.18.5", "kube-system")
    assert release["values"] == {
        "fullnameOverride": "sealed-secrets-controller",
        "keyrenewperiod": "720h",
        "keyttl": "87600h",
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"key_period": "0s"}, "key_period: '0s' is no time at all"),
        ({"key_period": "20d", "key_ttl": "10d"}, "key_period: 's' makes a new key every 480h"),
        ({"key_period": "1d", "allow_no_renewal": True}, "key_period, allow_no_renewal: 's' has both"),
        ({"key_cutoff": "yesterday"}, "key_cutoff: 's' has 'yesterday'"),
        ({"key_cutoff": "Tue, 24 Nov 2026 21:00:00 GMT"}, "a numeric zone"),
        ({"values": {"keyttl": "1h"}}, "values: keyttl of 's'"),
    ],
)
def test_contradictory_key_settings_are_refused(args: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        controller_values("s", args)


def test_a_cutoff_and_no_renewal_reach_the_chart() -> None:
    cutoff = "Tue, 24 Nov 2026 21:00:00 +0000"
    assert controller_values("s", {"key_cutoff": cutoff})["keycutofftime"] == cutoff
    assert controller_values("s", {"allow_no_renewal": True})["keyrenewperiod"] == "0"
