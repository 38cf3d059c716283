"""The chart ``external-secrets``: the operator, its RBAC and its CRDs.

Left out: the validating webhook and its certificate controller (a webhook would have to be reached from the API server by a
Service), PodDisruptionBudgets, ServiceMonitors, dashboards. Leader election is off: one process runs, whatever replicaCount says.
Source of names, arguments and rules: the chart in https://github.com/external-secrets/external-secrets, deploy/charts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.providers.kubernetes.helm.chart import Chart, Naming, Plan, Release, rule
from sandbox.providers.kubernetes.helm.values import Values
from sandbox.servers.controllers import ControllerSpec
from sandbox.toolchain import go

APP_VERSION = "v0.20.4"  # of the controller that runs here, whatever version the release names
OLDEST = (0, 17)  # the first that serves external-secrets.io/v1
GROUP, GENERATORS = "external-secrets.io", "generators.external-secrets.io"
READ, WRITE = "get list watch", "create delete deletecollection patch update"
_GENERATORS = (
    "acraccesstokens", "cloudsmithaccesstokens", "ecrauthorizationtokens", "fakes", "gcraccesstokens", "githubaccesstokens",
    "grafanas", "mfas", "passwords", "quayaccesstokens", "sshkeys", "stssessiontokens", "uuids", "vaultdynamicsecrets", "webhooks",
)  # fmt: skip
# A CRD that a flag of `crds` leaves out.
_OPTIONAL_CRDS = {
    "createClusterExternalSecret": f"clusterexternalsecrets.{GROUP}",
    "createClusterGenerator": f"clustergenerators.{GENERATORS}",
    "createClusterPushSecret": f"clusterpushsecrets.{GROUP}",
    "createClusterSecretStore": f"clustersecretstores.{GROUP}",
    "createPushSecret": f"pushsecrets.{GROUP}",
}
# Arguments that the sandbox sets itself, or that have no meaning outside of a Pod.
_OWN_ARGUMENTS = frozenset(
    {"metrics-addr", "live-addr", "enable-leader-election", "namespace", "metrics-secure", "metrics-cert-dir"}
)


@dataclass(frozen=True)
class Scope:
    """Which kinds the operator processes, and where."""

    namespace: str  # "" for all
    own_role: bool  # a Role in that namespace in place of a ClusterRole
    cluster_store: bool
    cluster_external_secret: bool
    push_secret: bool
    cluster_push_secret: bool
    cluster_generator: bool

    @classmethod
    def of(cls, values: Values) -> Scope:
        namespace = values.text("scopedNamespace")
        own_role = values.flag("scopedRBAC", False) and bool(namespace)
        if values.flag("scopedRBAC", False) and not namespace and values.raw("scopedNamespace") is None:
            values.problem("scopedRBAC", "needs scopedNamespace: the namespace in which the Role is made")
        push, cluster_push = values.flag("processPushSecret", True), values.flag("processClusterPushSecret", True)
        if cluster_push and not push:
            values.problem("processClusterPushSecret", "needs processPushSecret; set both to false, or both to true")
        return cls(
            namespace,
            own_role,
            values.flag("processClusterStore", True),
            values.flag("processClusterExternalSecret", True),
            push,
            cluster_push,
            values.flag("processClusterGenerator", True),
        )

    def kinds(self) -> list[str]:
        found = ["secretstores", "externalsecrets"]
        found += ["clustersecretstores"] * self.cluster_store
        found += ["clusterexternalsecrets"] * self.cluster_external_secret
        found += ["pushsecrets"] * self.push_secret
        found += ["clusterpushsecrets"] * self.cluster_push_secret
        return found

    def generators(self) -> list[str]:
        return [*_GENERATORS, *(["clustergenerators"] * self.cluster_generator)]


def plan(release: Release, values: Values) -> Plan:
    naming = Naming.of(release, values, APP_VERSION)
    scope = Scope.of(values)
    _check(release, values)
    create_account = values.flag("serviceAccount.create", True)
    account = values.text("serviceAccount.name", naming.fullname if create_account else "default")
    annotations = values.texts("serviceAccount.annotations")
    arguments = _arguments(values, scope)
    objects = []
    if create_account:
        objects.append(naming.service_account(account, annotations, values.texts("serviceAccount.extraLabels")))
    if values.flag("rbac.create", True):
        objects += _rbac(naming, values, scope, account)
    if values.flag("systemAuthDelegator", False):
        name = f"{naming.fullname}-auth-delegator"
        objects.append(naming.binding(name, None, "system:auth-delegator", [naming.account(account)]))
    deployment = controller = None
    if values.flag("createOperator", True):
        image = f"oci.external-secrets.io/external-secrets/external-secrets:{APP_VERSION}"
        replicas = values.number("replicaCount", 1)
        deployment = naming.deployment(naming.fullname, account, image, arguments, replicas)
        objects.append(deployment)
        controller = ControllerSpec(
            name=f"{release.namespace}.{release.name}",
            program="external-secrets",
            namespace=release.namespace,
            service_account=account,
            arguments=arguments,
            environment=_environment(values),
            annotations=annotations,
        )
    values.misspelt()
    return Plan(
        objects=objects,
        controller=controller,
        deployment=deployment,
        crds=_crds(values) if values.flag("installCRDs", True) and not release.skip_crds else [],
        crds_from="external-secrets",
    )


def _check(release: Release, values: Values) -> None:
    numbers = release.version.lstrip("v").split(".")[:2]
    if len(numbers) == 2 and all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) < OLDEST:
        values.problem("", f"chart version {release.version} has no external-secrets.io/v1; take 0.17 or later")
    values.refuse("namespaceOverride", "set the release's own namespace in its place")
    values.refuse("extraObjects", "the sandbox renders no templates: declare the objects as resources of their own")
    values.refuse("bitwarden-sdk-server.enabled", "the sandbox has no Bitwarden server")
    values.refuse("crds.conversion.enabled", "the sandbox runs no conversion webhook")


def _arguments(values: Values, scope: Scope) -> list[str]:
    found = [f"--namespace={scope.namespace}"] if scope.namespace else []
    cluster = {
        "--enable-cluster-store-reconciler": scope.cluster_store,
        "--enable-cluster-external-secret-reconciler": scope.cluster_external_secret,
        "--enable-cluster-push-secret-reconciler": scope.cluster_push_secret,
    }
    found += [f"{name}=false" for name, wanted in cluster.items() if scope.own_role or not wanted]
    if not scope.push_secret:
        found.append("--enable-push-secret-reconciler=false")
    if controller_class := values.text("controllerClass"):
        found.append(f"--controller-class={controller_class}")
    if values.flag("extendedMetricLabels", False):
        found.append("--enable-extended-metric-labels=true")
    found.append(f"--concurrent={values.number('concurrent', 1) or 1}")
    found.append(f"--loglevel={values.text('log.level', 'info')}")
    found.append(f"--zap-time-encoding={values.text('log.timeEncoding', 'epoch')}")
    extra = values.raw("extraArgs") or {}
    if not isinstance(extra, Mapping):
        values.problem("extraArgs", "expected a map from an argument's name to its value")
        return found
    for name, value in extra.items():
        if name in _OWN_ARGUMENTS:
            values.problem(f"extraArgs.{name}", "the sandbox sets this itself; leave it out")
        else:
            found.append(f"--{name}={_go(value)}" if value not in (None, "") else f"--{name}")
    return found


def _go(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(values: Values) -> dict[str, str]:
    found = {}
    for index, entry in enumerate(values.list("extraEnv")):
        if not isinstance(entry, Mapping) or "name" not in entry:
            values.problem(f"extraEnv[{index}]", "expected a map with name and value")
        elif "valueFrom" in entry:
            values.problem(f"extraEnv[{index}].valueFrom", "not offered outside of a Pod: give a value")
        else:
            found[str(entry["name"])] = str(entry.get("value", ""))
    return found


def _crds(values: Values) -> list[str]:
    left_out = {name for flag, name in _OPTIONAL_CRDS.items() if not values.flag(f"crds.{flag}", True)}
    found = []
    for file in sorted(go.crds("external-secrets").glob("*.yaml")):
        group, _, plural = file.stem.partition("_")
        if f"{plural}.{group}" not in left_out:
            found.append(f"{plural}.{group}")
    return found


def _rbac(naming: Naming, values: Values, scope: Scope, account: str) -> list[dict[str, Any]]:
    where = scope.namespace if scope.own_role else None
    full, subject = naming.fullname, [naming.account(account)]
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    edit = {f"{aggregate}admin": "true"}
    if values.flag("rbac.aggregateToEdit", True):
        edit[f"{aggregate}edit"] = "true"
    view = {**edit, **({f"{aggregate}view": "true"} if values.flag("rbac.aggregateToView", True) else {})}
    shown = [*scope.generators(), "generatorstates"]
    leader = [
        rule("", ["configmaps"], "get update patch", ["external-secrets-controller"]),
        rule("", ["configmaps"], "create"),
        rule("coordination.k8s.io", ["leases"], "get create update patch"),
    ]
    own = naming.release.namespace
    found = [
        naming.role(f"{full}-controller", where, _controller_rules(values, scope)),
        naming.role(f"{full}-view", where, [rule(GROUP, scope.kinds(), READ), rule(GENERATORS, shown, READ)], view),
        naming.role(f"{full}-edit", where, [rule(GROUP, scope.kinds(), WRITE), rule(GENERATORS, shown, WRITE)], edit),
        naming.binding(f"{full}-controller", where, f"{full}-controller", subject),
        naming.role(f"{full}-leaderelection", own, leader),
        naming.binding(f"{full}-leaderelection", own, f"{full}-leaderelection", subject),
    ]
    if values.flag("rbac.servicebindings.create", True):
        bindable = ["externalsecrets", *(["pushsecrets"] * scope.push_secret)]
        label = {"servicebinding.io/controller": "true"}
        found.append(naming.role(f"{full}-servicebindings", None, [rule(GROUP, bindable, READ)], label))
    return found


def _controller_rules(values: Values, scope: Scope) -> list[dict[str, Any]]:
    parts = ["", "/status", *(["/finalizers"] if values.flag("openshiftFinalizers", True) else [])]
    changed = [f"{kind}{part}" for kind in scope.kinds() for part in parts]
    found = [
        rule(GROUP, scope.kinds(), READ),
        rule(GROUP, changed, "get update patch"),
        rule(GENERATORS, ["generatorstates"], f"{READ} {WRITE}"),
        rule(GENERATORS, scope.generators(), READ),
        rule("", ["serviceaccounts", "namespaces", "configmaps"], READ),
        rule("", ["secrets"], f"{READ} create update delete patch"),
        rule("", ["events"], "create patch"),
        rule(GROUP, ["externalsecrets", *(["pushsecrets"] * scope.push_secret)], "create update delete"),
    ]
    if scope.cluster_external_secret:
        found.append(rule("", ["namespaces"], "update patch"))
    if values.flag("rbac.serviceAccountTokenCreate", True):
        found.append(rule("", ["serviceaccounts/token"], "create"))
    return found


CHART = Chart(name="external-secrets", plan=plan)
