"""The chart ``sealed-secrets``: the controller, its RBAC, its Service and its CRD.

The API server cannot forward to a host process, so ``kubeseal --fetch-cert`` by the Service does not work here: the Service
carries the controller's URL as an annotation, and the sandbox's environment as SEALED_SECRETS_URL. Left out: ingress, network
policy, ServiceMonitor, dashboards. Source of names, arguments and rules: the chart in
https://github.com/bitnami-labs/sealed-secrets, helm/sealed-secrets.
"""

from __future__ import annotations

from typing import Any

from sandbox.providers.kubernetes.helm.chart import RBAC, Chart, Naming, Plan, Release, rule
from sandbox.providers.kubernetes.helm.values import Values
from sandbox.servers.controllers import ControllerSpec

APP_VERSION = "0.27.1"  # of the controller that runs here, whatever version the release names
# The chart's value, the controller's argument, and what the chart says where the value is absent.
_TEXT_ARGUMENTS = {
    "keyrenewperiod": "--key-renew-period",
    "keyttl": "--key-ttl",
    "keycutofftime": "--key-cutoff-time",
    "rateLimit": "--rate-limit",
    "rateLimitBurst": "--rate-limit-burst",
    "logLevel": "--log-level",
    "logFormat": "--log-format",
}


def plan(release: Release, values: Values) -> Plan:
    naming = Naming.of(release, values, APP_VERSION)
    full, namespace = naming.fullname, release.namespace
    _check(values)
    create_account = values.flag("serviceAccount.create", True)
    account = values.text("serviceAccount.name", full if create_account else "default")
    annotations = values.texts("serviceAccount.annotations")
    arguments = _arguments(values)
    objects: list[dict[str, Any]] = []
    if create_account:
        objects.append(naming.service_account(account, annotations, values.texts("serviceAccount.labels")))
    if values.flag("rbac.create", True):
        objects += _rbac(naming, values, account)
    deployment = controller = None
    if values.flag("createController", True):
        port = values.number("service.port", 8080)
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": naming.metadata(full, namespace, annotations=values.texts("service.annotations")),
                "spec": {
                    "type": "ClusterIP",
                    "ports": [{"name": "http", "port": port, "targetPort": "http"}],
                    "selector": naming.selector(),
                },
            }
        )
        image = f"docker.io/bitnami/sealed-secrets-controller:{APP_VERSION}"
        deployment = naming.deployment(full, account, image, arguments, 1)
        objects.append(deployment)
        controller = ControllerSpec(
            name=f"{namespace}.{release.name}",
            program="sealed-secrets-controller",
            namespace=namespace,
            service_account=account,
            arguments=arguments,
            annotations=annotations,
        )
    values.misspelt()
    return Plan(
        objects=objects,
        controller=controller,
        deployment=deployment,
        crds=[] if release.skip_crds else ["sealedsecrets.bitnami.com"],
        crds_from="sealed-secrets",
        address_on=full if controller is not None else "",
    )


def _check(values: Values) -> None:
    values.refuse("namespace", "set the release's own namespace in its place")
    values.refuse("extraDeploy", "the sandbox renders no templates: declare the objects as resources of their own")
    for name in ("args", "command"):
        values.refuse(name, "would replace the arguments that the chart makes of its other values; use those")


def _arguments(values: Values) -> list[str]:
    found = ["--update-status"] if values.flag("updateStatus", True) else ["--update-status=false"]
    found += ["--skip-recreate"] if values.flag("skipRecreate", False) else []
    found += ["--log-info-stdout"] if values.flag("logInfoStdout", False) else []
    for name, argument in _TEXT_ARGUMENTS.items():
        if text := values.text(name):
            found.append(f"{argument}={text}")
    found.append(f"--key-prefix={values.text('secretName', 'sealed-secrets-key')}")
    if namespaces := values.list("additionalNamespaces"):
        found.append(f"--additional-namespaces={','.join(map(str, namespaces))}")
    for name, argument in (
        ("privateKeyAnnotations", "--privatekey-annotations"),
        ("privateKeyLabels", "--privatekey-labels"),
    ):
        if pairs := values.texts(name):
            found.append(f"{argument}={','.join(f'{key}={value}' for key, value in pairs.items())}")
    return found


def _rbac(naming: Naming, values: Values, account: str) -> list[dict[str, Any]]:
    full, own = naming.fullname, naming.release.namespace
    subject = [naming.account(account)]
    key = values.text("secretName", "sealed-secrets-key")
    found = [
        naming.role(
            f"{full}-key-admin", own, [rule("", ["secrets"], "get", [key]), rule("", ["secrets"], "create list")]
        ),
        naming.binding(f"{full}-key-admin", own, f"{full}-key-admin", subject),
    ]
    if values.flag("rbac.serviceProxier.create", True):
        proxied = [f"http:{full}:", f"http:{full}:http", full]
        rules = [rule("", ["services"], "get", [full]), rule("", ["services/proxy"], "create get", proxied)]
        found.append(naming.role(f"{full}-service-proxier", own, rules))
        if values.flag("rbac.serviceProxier.bind", True):
            everyone = [{"apiGroup": RBAC, "kind": "Group", "name": "system:authenticated"}]
            found.append(naming.binding(f"{full}-service-proxier", own, f"{full}-service-proxier", everyone))
    namespaces = [str(each) for each in values.list("additionalNamespaces")]
    rules = [
        rule("bitnami.com", ["sealedsecrets"], "get list watch"),
        rule("bitnami.com", ["sealedsecrets/status"], "update"),
        rule("", ["secrets"], "get list create update delete watch"),
        rule("", ["events"], "create patch"),
    ]
    if namespaces:
        rules.append(rule("", ["namespaces"], "get", namespaces))
    if not values.flag("rbac.namespacedRoles", False):
        name = values.text("rbac.clusterRoleName", "secrets-unsealer")
        if values.flag("rbac.clusterRole", True):
            found.append(naming.role(name, None, rules))
        found.append(naming.binding(full, None, name, subject))
    elif not values.flag("rbac.clusterRole", True):
        name = values.text("rbac.namespacedRolesName", "secrets-unsealer")
        for namespace in namespaces:
            found.append(naming.role(name, namespace, rules))
            found.append(naming.binding(full, namespace, name, subject))
    return found


CHART = Chart(name="sealed-secrets", plan=plan)
