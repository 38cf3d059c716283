"""The chart ``vault``, of which the sandbox installs the injector alone: Vault itself is the sandbox's OpenBao.

Left out: the MutatingWebhookConfiguration and its Service. The webhook (vault-k8s) is in no package registry, and without a
kubelet no Pod is ever created that it could change; what it and the kubelet would do, ``sandbox.injector`` does. For the
kubelet's part (it reads workloads, and asks for tokens of their service accounts) that process has a ClusterRole more than the
chart gives, ``FULLNAME-agent-injector-sandbox``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sandbox.providers.errors import EndpointRefused
from sandbox.providers.kubernetes.helm.chart import Chart, Naming, Plan, Release, rule
from sandbox.providers.kubernetes.helm.values import Values
from sandbox.providers.loopback import require_loopback
from sandbox.servers.controllers import ControllerSpec

APP_VERSION = "1.20.4"
AUTH_PATH = "auth/kubernetes"


def plan(release: Release, values: Values) -> Plan:
    naming = Naming.of(release, values, APP_VERSION)
    if values.flag("server.enabled", values.flag("global.enabled", True)):
        values.problem(
            "server.enabled", "the sandbox has a Vault of its own: set it to false, and global.externalVaultAddr"
        )
    values.refuse("csi.enabled", "the sandbox has no kubelet, so no CSI driver: set it to false")
    values.refuse("injector.externalVaultAddr", "deprecated by the chart: set global.externalVaultAddr")
    if not values.flag("injector.enabled", True):
        values.problem(
            "injector.enabled", "nothing of the chart is left to install: set it to true, or drop the release"
        )
    injector = f"{naming.fullname}-agent-injector"
    account = values.text("injector.serviceAccount.name", injector)
    annotations = values.texts("injector.serviceAccount.annotations")
    workloads = [
        rule("apps", ["deployments", "statefulsets", "daemonsets"], "get list watch"),
        rule("batch", ["jobs"], "get list watch"),
        rule("", ["serviceaccounts/token"], "create"),
    ]
    webhooks = [rule("admissionregistration.k8s.io", ["mutatingwebhookconfigurations"], "get list watch patch")]
    subject = [naming.account(account)]
    environment = _environment(values)
    image = f"hashicorp/vault-k8s:{APP_VERSION}"
    deployment = naming.deployment(injector, account, image, ["agent-inject"], values.number("injector.replicas", 1))
    values.misspelt(("ui",))
    return Plan(
        objects=[
            naming.service_account(account, annotations, {}),
            naming.role(f"{injector}-clusterrole", None, webhooks),
            naming.binding(f"{injector}-binding", None, f"{injector}-clusterrole", subject),
            naming.role(f"{injector}-sandbox", None, workloads),
            naming.binding(f"{injector}-sandbox", None, f"{injector}-sandbox", subject),
            deployment,
        ],
        controller=ControllerSpec(
            name=f"{release.namespace}.{release.name}",
            program="injector",
            namespace=release.namespace,
            service_account=account,
            environment=environment,
            annotations=annotations,
        ),
        deployment=deployment,
    )


def _environment(values: Values) -> dict[str, str]:
    """What the chart tells the webhook in its environment, by the names that the chart gives it."""
    path = values.text("injector.authPath", AUTH_PATH)
    if path != AUTH_PATH:
        values.problem(
            "injector.authPath",
            f"the sandbox's injector has no default but {AUTH_PATH!r}; annotate the workloads with "
            f"vault.hashicorp.com/auth-path: {path}",
        )
    found = {
        "AGENT_INJECT_REVOKE_ON_SHUTDOWN": str(values.flag("injector.revokeOnShutdown", False)).lower(),
    }
    glob: Any = values.raw("global")
    known = isinstance(glob, Mapping) and "externalVaultAddr" in glob
    address = values.text("global.externalVaultAddr")
    if address:
        try:
            require_loopback("global.externalVaultAddr", address)
        except EndpointRefused as error:
            values.problem("global.externalVaultAddr", str(error))
        if urlsplit(address).scheme != "https":
            values.problem("global.externalVaultAddr", f"expected an https:// URL, got {address!r}")
        found["VAULT_ADDR"] = address.rstrip("/")
    elif not known:
        values.problem("global.externalVaultAddr", "missing: the sandbox's own Vault is outside of the cluster")
    return found


CHART = Chart(name="vault", plan=plan)
