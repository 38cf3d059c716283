"""The Vault Agent Injector: the webhook that gives annotated pods their agent, against a Vault outside of the cluster."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.errors import ArgumentError, UnsafeError

CHART = "vault"
CHART_VERSION = "0.34.1"
REPOSITORY = "https://helm.releases.hashicorp.com"
SERVICE_ACCOUNT = "vault-agent-injector"
EXEMPT = ("kube-system",)  # a webhook that fails closed must never hold back what it needs to start itself


class VaultAgentInjectorArgs(TypedDict):
    """Arguments of VaultAgentInjector."""

    vault_address: pulumi.Input[str]
    """Vault's URL, https; every agent's default."""
    vault_ca: NotRequired[pulumi.Input[str]]
    """PEM of the CA that signed Vault's certificate, given to every agent; default (or empty) what the agent's image trusts."""
    auth_path: NotRequired[str]
    """The Kubernetes auth mount, default `auth/kubernetes`."""
    namespace: NotRequired[str]
    """Where the injector runs, default `vault`; created."""
    namespaces: NotRequired[Sequence[str]]
    """Only pods in these namespaces are looked at; default all but kube-system and the injector's own."""
    replicas: NotRequired[int]
    """Webhook replicas, default 2: with one, a restart of it holds back every pod of the cluster."""
    allow_fail_open: NotRequired[bool]
    """Let pods start without their secrets while the webhook is away (failurePolicy Ignore); default false."""
    revoke_on_shutdown: NotRequired[bool]
    """Agents revoke their token, and its leases, when their pod ends; default true."""
    alert: NotRequired[bool]
    """Make a PrometheusRule for pods that are annotated but not injected; needs the Prometheus Operator's CRDs. Default false."""
    chart_version: NotRequired[str]
    """Version of the chart `vault`, default 0.34.1."""
    values: NotRequired[Mapping[str, Any]]
    """More values of the chart's `injector` part, e.g. `resources`; those that this component sets cannot be given."""


class VaultAgentInjector(pulumi.ComponentResource):
    """The injector alone, fail-closed and highly available.

    The chart's defaults are one replica and `failurePolicy: Ignore`, with which a pod that should have been injected starts
    without its secrets while the webhook is away. Here: Fail, two replicas with leader election, a disruption budget.
    Raises ArgumentError or UnsafeError. Source: https://developer.hashicorp.com/vault/docs/platform/k8s/helm/configuration.
    """

    namespace: pulumi.Output[str]
    """Where the injector runs."""
    address: pulumi.Output[str]
    """Vault's URL as agents get it."""

    def __init__(self, name: str, args: VaultAgentInjectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:VaultAgentInjector", name, {}, opts)
        namespace = args.get("namespace", "vault")
        address = pulumi.Output.from_input(args["vault_address"]).apply(_https)
        release = k8s.helm.v3.Release(
            f"{name}-release",
            name=CHART,
            chart=CHART,
            version=args.get("chart_version", CHART_VERSION),
            repository_opts={"repo": REPOSITORY},
            namespace=namespace,
            create_namespace=True,
            values={
                "global": {"externalVaultAddr": address},
                "server": {"enabled": "false"},
                "csi": {"enabled": False},
                "injector": injector_values(name, args),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        if args.get("alert", False):
            k8s.apiextensions.CustomResource(
                f"{name}-alert",
                api_version="monitoring.coreos.com/v1",
                kind="PrometheusRule",
                metadata={"name": "vault-agent-injector", "namespace": namespace},
                spec={"groups": [{"name": "vault-agent-injector", "rules": [uninjected_alert()]}]},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[release]),
            )
        self.namespace = release.status.apply(lambda _: namespace)
        self.address = address
        self.register_outputs({"namespace": self.namespace, "address": address})


def injector_values(name: str, args: VaultAgentInjectorArgs) -> dict[str, Any]:
    """The chart's `injector` values. Raises ArgumentError or UnsafeError."""
    replicas = args.get("replicas", 2)
    fail_open = args.get("allow_fail_open", False)
    if replicas < 1:
        raise ArgumentError(f"replicas: {name!r} has {replicas}; expected at least 1, 2 for a webhook that stays up")
    if replicas < 2 and not fail_open:
        raise UnsafeError(
            f"replicas: {name!r} has 1 and fails closed, so no pod starts while it restarts; "
            "give 2 or more, or say allow_fail_open=True"
        )
    auth_path = args.get("auth_path", "auth/kubernetes")
    if not auth_path.startswith("auth/"):
        raise ArgumentError(
            f'auth_path: {auth_path!r} is not an auth mount; expected "auth/..." such as "auth/kubernetes"'
        )
    values: dict[str, Any] = {
        "enabled": "true",
        "replicas": replicas,
        "leaderElector": {"enabled": True},
        "podDisruptionBudget": {"maxUnavailable": 1},
        "authPath": auth_path,
        "revokeOnShutdown": args.get("revoke_on_shutdown", True),
        "metrics": {"enabled": True},
        "webhook": {
            "failurePolicy": "Ignore" if fail_open else "Fail",
            "namespaceSelector": _selector(args.get("namespace", "vault"), args.get("namespaces")),
        },
    }
    if args.get("vault_ca"):
        ca = pulumi.Output.from_input(args["vault_ca"]).apply(lambda pem: base64.b64encode(pem.encode()).decode())
        values["extraEnvironmentVars"] = {"AGENT_INJECT_VAULT_CACERT_BYTES": ca}
    more = args.get("values", {})
    if taken := sorted(set(more) & set(values)):
        raise ArgumentError(f"values: {', '.join(taken)} of {name!r} are set by arguments of the component; use those")
    return {**more, **values}


def _selector(own: str, namespaces: Sequence[str] | None) -> dict[str, Any]:
    key = "kubernetes.io/metadata.name"
    if namespaces is None:
        return {"matchExpressions": [{"key": key, "operator": "NotIn", "values": sorted({*EXEMPT, own})}]}
    if not namespaces or any("*" in item for item in namespaces):
        raise ArgumentError(f"namespaces: expected names of namespaces, got {list(namespaces)}; leave it out for all")
    if exempt := sorted({*EXEMPT, own} & set(namespaces)):
        raise UnsafeError(
            f"namespaces: {', '.join(exempt)} must start without the webhook, which fails closed; take it out of the list"
        )
    return {"matchExpressions": [{"key": key, "operator": "In", "values": sorted(namespaces)}]}


def uninjected_alert() -> dict[str, Any]:
    """A Prometheus rule for pods that ask for an agent and have none.

    Needs kube-state-metrics with ``--metric-annotations-allowlist=pods=[vault.hashicorp.com/agent-inject,
    vault.hashicorp.com/agent-inject-status]``. The injector marks what it changed with the status ``injected``.
    """
    annotated = (
        'kube_pod_annotations{annotation_vault_hashicorp_com_agent_inject="true",'
        'annotation_vault_hashicorp_com_agent_inject_status!="injected"}'
    )
    alive = 'max by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Running"}) == 1'
    return {
        "alert": "VaultAgentNotInjected",
        "expr": f"max by (namespace, pod) ({annotated}) and on (namespace, pod) ({alive})",
        "for": "5m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "Pod {{ $labels.namespace }}/{{ $labels.pod }} asks for Vault secrets and runs without its agent",
            "description": "The webhook was away or passed over it. Its files under /vault/secrets are missing. "
            "See the injector's log, then delete the pod.",
        },
    }


def _https(address: str) -> str:
    if not address.startswith("https://"):
        raise ArgumentError(
            f"vault_address: expected an https:// URL, got {address!r}; tokens and secrets travel over it"
        )
    return address.rstrip("/")
