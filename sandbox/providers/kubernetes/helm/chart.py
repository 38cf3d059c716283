"""What a chart becomes: the objects, the CRDs and the controller of one release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.providers.kubernetes.api import Object
from sandbox.providers.kubernetes.helm.values import Values
from sandbox.servers.controllers import ControllerSpec

RBAC = "rbac.authorization.k8s.io"
NAME_LIMIT = 63


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release as the program asks for it."""

    name: str
    namespace: str
    chart: str  # its bare name
    version: str
    create_namespace: bool = False
    skip_crds: bool = False
    take_ownership: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be there. ``objects`` are in the order in which they are made."""

    objects: Sequence[Object]
    controller: ControllerSpec | None
    deployment: Object | None  # what the controller stands in for; its status is kept by whoever installs it
    crds: Sequence[str] = field(default_factory=list)  # their names
    crds_from: str = ""  # whose definitions they are, as the toolchain names them
    address_on: str = ""  # the Service that is annotated with the controller's URL


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart that the sandbox knows."""

    name: str
    plan: Callable[[Release, Values], Plan]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Names and labels as Helm's own helpers make them."""

    release: Release
    app_version: str
    fullname: str
    name: str

    @classmethod
    def of(cls, release: Release, values: Values, app_version: str) -> Naming:
        name = values.text("nameOverride", release.chart)[:NAME_LIMIT].rstrip("-")
        full = values.text("fullnameOverride")
        if not full:
            full = release.name if name in release.name else f"{release.name}-{name}"
        return cls(release=release, app_version=app_version, fullname=full[:NAME_LIMIT].rstrip("-"), name=name)

    def selector(self) -> dict[str, str]:
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.release.name}

    def metadata(
        self,
        name: str,
        namespace: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """Metadata of an object of the release; ``namespace`` None for one of the whole cluster."""
        release = self.release
        found: Object = {
            "name": name,
            "labels": {
                "helm.sh/chart": f"{release.chart}-{release.version}".replace("+", "_").rstrip("-"),
                **self.selector(),
                "app.kubernetes.io/version": self.app_version,
                "app.kubernetes.io/managed-by": "Helm",
                **(labels or {}),
            },
            "annotations": {**ownership(release), **(annotations or {})},
        }
        if namespace is not None:
            found["namespace"] = namespace
        return found

    def service_account(self, name: str, annotations: Mapping[str, str], labels: Mapping[str, str]) -> Object:
        metadata = self.metadata(name, self.release.namespace, annotations=annotations, labels=labels)
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}

    def role(
        self, name: str, namespace: str | None, rules: Sequence[Object], labels: Mapping[str, str] | None = None
    ) -> Object:
        """A Role in the namespace, or a ClusterRole."""
        kind = "Role" if namespace else "ClusterRole"
        metadata = self.metadata(name, namespace, labels=labels)
        return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}

    def binding(
        self, name: str, namespace: str | None, role: str, subjects: Sequence[Object], *, role_kind: str = ""
    ) -> Object:
        """A RoleBinding in the namespace, or a ClusterRoleBinding, of a role of the same scope."""
        return {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "metadata": self.metadata(name, namespace),
            "roleRef": {
                "apiGroup": RBAC,
                "kind": role_kind or ("Role" if namespace else "ClusterRole"),
                "name": role,
            },
            "subjects": list(subjects),
        }

    def account(self, name: str) -> Object:
        """A service account of the release's namespace, as a binding's subject."""
        return {"kind": "ServiceAccount", "name": name, "namespace": self.release.namespace}

    def deployment(self, name: str, account: str, image: str, arguments: Sequence[str], replicas: int) -> Object:
        """The Deployment that the controller's host process stands in for; nothing here makes Pods of it."""
        release = self.release
        labels = self.selector()
        container = {"name": release.chart, "image": image, "args": list(arguments)}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(name, release.namespace),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"serviceAccountName": account, "containers": [container]},
                },
            },
        }


def ownership(release: Release) -> dict[str, str]:
    """The annotations by which Helm knows a release's objects."""
    return {"meta.helm.sh/release-name": release.name, "meta.helm.sh/release-namespace": release.namespace}


def rule(groups: str, resources: Sequence[str], verbs: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """A rule; ``verbs`` separated by spaces, ``groups`` one group."""
    found: dict[str, Any] = {"apiGroups": [groups], "resources": list(resources), "verbs": verbs.split()}
    if names:
        found["resourceNames"] = list(names)
    return found
