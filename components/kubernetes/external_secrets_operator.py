"""External Secrets Operator as a Helm release, with the rights that it needs and not those that are easily given."""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.errors import ArgumentError
from components.names import dns_label, dns_name

CHART = "external-secrets"
CHART_VERSION = "2.9.0"
REPOSITORY = "https://charts.external-secrets.io"
WEBHOOK_PORT, METRICS_PORT = 10250, 8080  # the chart's


class ExternalSecretsOperatorArgs(TypedDict):
    """Arguments of ExternalSecretsOperator."""

    namespace: NotRequired[str]
    """Where the operator runs; created; default `external-secrets`."""
    service_account: NotRequired[str]
    """Its service account; default `external-secrets`."""
    replicas: NotRequired[int]
    """Of the controller (one leads) and of the webhook; default 2."""
    only_namespace: NotRequired[str]
    """Watch this one namespace, with a Role there in place of a ClusterRole; default all namespaces."""
    allow_cluster_stores: NotRequired[bool]
    """Process ClusterSecretStore and ClusterExternalSecret, which reach across namespaces; default false."""
    allow_push_secrets: NotRequired[bool]
    """Process PushSecret, which writes to the stores; default false."""
    allow_any_service_account_token: NotRequired[bool]
    """Let the operator make tokens of every service account of the cluster, as the chart does by default; default false."""
    service_monitor: NotRequired[bool]
    """Make a ServiceMonitor, for which the Prometheus Operator must be there; default false, metrics are served anyway."""
    no_network_policy: NotRequired[bool]
    """Leave out the NetworkPolicy that lets in webhook calls and scrapes of metrics only; default false."""
    chart_version: NotRequired[str]
    """Default the newest that this kit was tested with; must serve `external-secrets.io/v1`, so 0.17 or later."""


class ExternalSecretsOperator(pulumi.ComponentResource):
    """The operator that turns ExternalSecrets into Secrets: highly available, without rights over all service accounts.

    It may not create tokens cluster-wide (`rbac.serviceAccountTokenCreate: false`): for each service account that a store
    names, a Role of its own grants that (`ServiceAccountTokenGrant`). Raises ArgumentError.
    Source: https://external-secrets.io/latest/guides/security-best-practices/
    """

    namespace: str
    """Where it runs."""
    service_account: str
    """Its service account."""

    def __init__(
        self, name: str, args: ExternalSecretsOperatorArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("strongroom:kubernetes:ExternalSecretsOperator", name, {}, opts)
        self.namespace = dns_label(args.get("namespace", "external-secrets"), "namespace")
        self.service_account = dns_name(args.get("service_account", "external-secrets"), "service_account")
        # To depend on: the operator's CRDs are there when it is. No output, so not declared as one above.
        self.release: pulumi.Resource = k8s.helm.v3.Release(
            f"{name}-release",
            name="external-secrets",
            namespace=self.namespace,
            create_namespace=True,
            chart=CHART,
            version=args.get("chart_version", CHART_VERSION),
            repository_opts={"repo": REPOSITORY},
            values=chart_values(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        if not args.get("no_network_policy", False):
            _network_policy(name, self.namespace, pulumi.ResourceOptions(parent=self, depends_on=[self.release]))
        self.register_outputs({"namespace": self.namespace, "serviceAccount": self.service_account})


def _network_policy(name: str, namespace: str, opts: pulumi.ResourceOptions) -> None:
    """Nothing reaches the operator's pods but the API server's calls of the webhook and the scraping of metrics.

    What they reach is left open: where Vault and AWS are is not the cluster's to say.
    """
    k8s.networking.v1.NetworkPolicy(
        f"{name}-network-policy",
        metadata={"name": "external-secrets-ingress", "namespace": namespace},
        spec={
            "pod_selector": {},
            "policy_types": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in (WEBHOOK_PORT, METRICS_PORT)]}],
        },
        opts=opts,
    )


def chart_values(args: ExternalSecretsOperatorArgs) -> dict[str, Any]:
    """The chart's values. Raises ArgumentError."""
    replicas = args.get("replicas", 2)
    if replicas < 1:
        raise ArgumentError(f"replicas: {replicas} runs nothing; expected at least 1, 2 for high availability")
    several = replicas > 1
    budget = {"enabled": several, "minAvailable": 1}
    across = args.get("allow_cluster_stores", False)
    push = args.get("allow_push_secrets", False)
    scope: dict[str, Any] = {}
    if "only_namespace" in args:
        if across:
            raise ArgumentError(
                "only_namespace, allow_cluster_stores: an operator of one namespace cannot serve cluster-wide stores; "
                "leave one of them out"
            )
        scope = {"scopedNamespace": dns_label(args["only_namespace"], "only_namespace"), "scopedRBAC": True}
    return {
        "fullnameOverride": "external-secrets",
        "installCRDs": True,
        "replicaCount": replicas,
        "leaderElect": several,
        "podDisruptionBudget": budget,
        "serviceAccount": {"create": True, "name": args.get("service_account", "external-secrets")},
        "rbac": {
            "create": True,
            "serviceAccountTokenCreate": args.get("allow_any_service_account_token", False),
        },
        "processClusterStore": across,
        "processClusterExternalSecret": across,
        "processPushSecret": push,
        "processClusterPushSecret": push and across,
        "metrics": {"service": {"enabled": True}},
        "serviceMonitor": {"enabled": args.get("service_monitor", False)},
        # Fails closed: an ExternalSecret that the webhook did not check is not accepted.
        "webhook": {"replicaCount": replicas, "podDisruptionBudget": budget, "failurePolicy": "Fail"},
        "certController": {"replicaCount": 1},
        **scope,
    }


class ServiceAccountTokenGrantArgs(TypedDict):
    """Arguments of ServiceAccountTokenGrant."""

    namespace: pulumi.Input[str]
    """The service account's namespace."""
    service_account: str
    """The service account whose tokens may be created."""
    operator_namespace: str
    """The operator's namespace."""
    operator_service_account: str
    """The operator's service account."""


class ServiceAccountTokenGrant(pulumi.ComponentResource):
    """The operator may create tokens of exactly one service account."""

    def __init__(
        self, name: str, args: ServiceAccountTokenGrantArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("strongroom:kubernetes:ServiceAccountTokenGrant", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = dns_name(args["service_account"], "service_account")
        metadata = {"name": f"{account}-token-creator", "namespace": args["namespace"]}
        role = k8s.rbac.v1.Role(
            f"{name}-role",
            metadata=metadata,
            rules=[
                {
                    "apiGroups": [""],
                    "resources": ["serviceaccounts/token"],
                    "resourceNames": [account],
                    "verbs": ["create"],
                }
            ],
            opts=child,
        )
        # To depend on. No output, so not declared as one above.
        self.binding: pulumi.Resource = k8s.rbac.v1.RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role.metadata["name"]},
            subjects=[
                {
                    "kind": "ServiceAccount",
                    "name": args["operator_service_account"],
                    "namespace": args["operator_namespace"],
                }
            ],
            opts=child,
        )
        self.register_outputs({})
