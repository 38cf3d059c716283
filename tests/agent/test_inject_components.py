"""The transform over a team's own workloads, the injector's release and the controller's, as Pulumi registers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest

from components.kubernetes.sealed_secrets_controller import SealedSecretsController, controller_values
from components.vault.agent_injection import PREFIX, Injection, inject
from components.vault.agent_injector import VaultAgentInjector, injector_values, uninjected_alert
from components.vault.inject_transform import inject_transform

ANNOTATION = f"{PREFIX}agent-inject"


INJECTION = (
    inject("payment-api", audience="vault")
    .database("db-creds", role="app-readwrite", host="postgres.internal", database="myapp")
    .kv("app-config", path="production/payment-api")
)


def deployment(
    name: str,
    *,
    account: Any = "payment-api",
    annotations: Any = None,
    injections: Sequence[Injection] = (INJECTION,),
    match: str | None = None,
    **pod: Any,
) -> None:
    spec: dict[str, Any] = {"containers": [{"name": "app", "image": "registry.example.com/app:1"}], **pod}
    if account:
        spec["service_account_name"] = account
    template: Any = {"metadata": {"labels": {"app": name}, "annotations": annotations or {"team": "pay"}}, "spec": spec}
    transforms = [inject_transform(injection, match=match) for injection in injections]
    k8s.apps.v1.Deployment(
        name,
        spec={"selector": {"match_labels": {"app": name}}, "template": template},
        opts=pulumi.ResourceOptions(transformations=transforms),
    )


def test_a_team_s_own_deployment_gets_annotations_and_volume(registered: Any) -> None:
    template = registered(lambda: deployment("payment-api"))["payment-api"]["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["team"] == "pay"
    assert {key: annotations[key] for key in INJECTION.annotations()} == INJECTION.annotations()
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["vault-token"]
    assert template["spec"]["containers"][0]["name"] == "app"


def test_argument_objects_and_outputs_are_changed_as_dictionaries_are(
    registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Besides: a CronJob with a sidecar, which would not end, is warned of."""
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)

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
    assert "nightly: the agent's sidecar does not end, so this CronJob never completes" in warnings[0]
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
    for account in (None, "default"):
        with pytest.raises(
            ValueError, match="serviceAccountName: the pods of 'lonely' run under the namespace's default"
        ):
            registered(lambda account=account: deployment("lonely", account=account))


def test_a_deployment_that_has_all_of_it_already_is_left_as_it_is(registered: Any) -> None:
    once = registered(lambda: deployment("api"))["api"]
    twice = registered(lambda: deployment("api", injections=[INJECTION, INJECTION]))["api"]
    assert twice == once


def test_a_service_account_and_annotations_that_are_not_known_yet_are_kept(registered: Any) -> None:
    def program() -> None:
        account = pulumi.Output.from_input("payment-api")
        deployment("api", account=account, annotations=pulumi.Output.from_input({"team": "pay"}))

    template = registered(program)["api"]["spec"]["template"]
    assert template["spec"]["serviceAccountName"] == "payment-api"
    assert template["metadata"]["annotations"]["team"] == "pay"
    assert template["metadata"]["annotations"][ANNOTATION] == "true"


def test_what_turns_out_to_contradict_is_refused_then(registered: Any) -> None:
    with pytest.raises(ValueError, match="role: workload 'api' says 'other' already"):
        registered(lambda: deployment("api", annotations=pulumi.Output.from_input({f"{PREFIX}role": "other"})))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"annotations": {f"{PREFIX}agent-inject-status": "injected"}}, "agent-inject-status: workload 'api' says it"),
        ({"annotations": {ANNOTATION: "false"}}, "agent-inject: workload 'api' says 'false' already"),
        ({"annotations": {f"{PREFIX}role": "other"}}, "role: workload 'api' says 'other' already"),
        ({"volumes": [{"name": "vault-token", "empty_dir": {}}]}, "volumes: workload 'api' has another one named"),
        (
            {"injections": [inject("r").kv("c", path="a/b")], "automount_service_account_token": False},
            "automountServiceAccountToken: the pods of 'api' take no token",
        ),
        ({"injections": [inject("r", same_user=True).kv("c", path="a/b")]}, "runAsUser: the first container of 'api'"),
    ],
)
def test_what_contradicts_the_deployment_is_refused(registered: Any, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registered(lambda: deployment("api", **options))


def test_an_agent_runs_as_the_application_where_that_says_its_user(registered: Any) -> None:
    container = {"name": "app", "image": "registry.example.com/app:1", "security_context": {"run_as_user": 1001}}
    injection = inject("r", share_processes=True).kv("c", path="a/b", command="pkill -HUP app")
    template = registered(lambda: deployment("api", injections=[injection], containers=[container]))["api"]["spec"][
        "template"
    ]
    assert template["metadata"]["annotations"][f"{PREFIX}agent-share-process-namespace"] == "true"


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_what_ends_by_itself_may_go_without_a_sidecar(registered: Any, kind: str) -> None:
    def program() -> None:
        pod = {"metadata": {}, "spec": {"service_account_name": "once", "containers": [], "restart_policy": "Never"}}
        opts = pulumi.ResourceOptions(transformations=[inject_transform(INJECTION.init_only(workload_kind=kind))])
        if kind == "Job":
            k8s.batch.v1.Job("once", spec={"template": pod}, opts=opts)
        else:
            k8s.batch.v1.CronJob(
                "once", spec={"schedule": "@daily", "job_template": {"spec": {"template": pod}}}, opts=opts
            )

    spec = registered(program)["once"]["spec"]
    template = spec["template"] if kind == "Job" else spec["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["annotations"][f"{PREFIX}agent-pre-populate-only"] == "true"


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
