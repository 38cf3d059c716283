"""Brings a release to its plan and takes it away again. Plain data in and out, blocking.

A run that is killed half way leaves a record with the status pending; the next one of the same resource goes on from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sandbox.providers.kubernetes.api import Api, Kind, Object
from sandbox.providers.kubernetes.awaits import Waiter
from sandbox.providers.kubernetes.errors import ApiError, ReleaseError, UnknownKindError
from sandbox.providers.kubernetes.helm import record as records
from sandbox.providers.kubernetes.helm.chart import Plan, Release, ownership
from sandbox.providers.kubernetes.helm.record import MANAGER, Record, Reference
from sandbox.servers import controllers
from sandbox.servers.errors import ServerError
from sandbox.toolchain import go

CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", False)
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts", True)
URL_ANNOTATION = "strongroom.sandbox/url"
SIDE_BY_SIDE = 6
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
# What every namespace has by itself, and what shows that somebody else uses it.
_OWN_CONTENT = frozenset({"default", "kube-root-ca.crt"})
_CONTENT = (
    Kind("v1", "Secret", "secrets", True),
    Kind("v1", "ConfigMap", "configmaps", True),
    SERVICE_ACCOUNT,
    Kind("v1", "Service", "services", True),
    Kind("apps/v1", "Deployment", "deployments", True),
    Kind("apps/v1", "StatefulSet", "statefulsets", True),
)
T = TypeVar("T")


class Installer:
    """The releases of one cluster."""

    def __init__(self, api: Api, waiter: Waiter) -> None:
        self._api = api
        self._waiter = waiter

    def load(self, namespace: str, name: str) -> Record | None:
        return records.load(self._api, namespace, name)

    def create(self, release: Release, plan: Plan, values: Mapping[str, Any], owner: str, timeout: float) -> Record:
        """Install it. Raises ReleaseError where a release of that name is there that this resource did not make."""
        before = self.load(release.namespace, release.name)
        if before is not None and before.owner != owner:
            raise ReleaseError(
                f"release {release.namespace}/{release.name} already exists, and this resource did not make it: import it "
                f"(id {release.namespace}/{release.name}), or choose another name"
            )
        made = self._namespace(release)
        return self._bring(release, plan, values, before, owner, made, timeout)

    def update(self, release: Release, plan: Plan, values: Mapping[str, Any], owner: str, timeout: float) -> Record:
        before = self.load(release.namespace, release.name)
        made = self._namespace(release)
        return self._bring(release, plan, values, before, before.owner if before else owner, made, timeout)

    def _bring(
        self,
        release: Release,
        plan: Plan,
        values: Mapping[str, Any],
        before: Record | None,
        owner: str,
        made_namespace: bool,
        timeout: float,
    ) -> Record:
        if not release.take_ownership:
            self._ours(release, plan.objects)
        known = set(before.objects) if before else set()
        objects = [Reference.of(each) for each in plan.objects]
        pending = Record(
            release=release,
            revision=before.revision + 1 if before else 1,
            status="pending-upgrade" if before else "pending-install",
            app_version=_app_version(plan),
            values=values,
            objects=[*objects, *(known - set(objects))],
            crds=sorted({*plan.crds, *(before.crds if before else ())}),
            controller=plan.controller.name if plan.controller else (before.controller if before else ""),
            owner=owner,
            made_namespace=made_namespace,
        )
        records.save(self._api, pending)
        try:
            self._crds(plan, before, timeout)
            for each in plan.objects:
                self._apply(each)
            self._delete(known - set(objects), timeout)
            self._run(plan)
        except Exception:
            records.save(self._api, replace(pending, status="failed"))
            raise
        done = replace(
            pending, status="deployed", objects=objects, controller=plan.controller.name if plan.controller else ""
        )
        records.save(self._api, done)
        return done

    def delete(self, namespace: str, name: str, timeout: float) -> None:
        """Uninstall it.

        The definitions go first, while the controller still runs and can let go of its objects. What Helm leaves on a cluster,
        the sandbox leaves only while it is used: CRDs of a chart's ``crds`` folder, and the namespace that it created.
        """
        found = self.load(namespace, name)
        if found is None:
            return
        self._delete_crds(found, timeout)
        if found.controller:
            self._controller(lambda place: controllers.remove(place, found.controller))
        self._delete(reversed(found.objects), timeout)
        records.forget(self._api, found)
        if found.made_namespace and not self._used(namespace):
            self._api.delete(NAMESPACE, None, namespace, propagation="Background", uid=None)
            live = self._api.get(NAMESPACE, None, namespace)
            if live is not None:
                self._waiter.gone(NAMESPACE, live, timeout)

    # -- parts -------------------------------------------------------------------------------------------------------

    def _namespace(self, release: Release) -> bool:
        """Make the namespace where the release asks for it; whether it is the release's own."""
        live = self._api.get(NAMESPACE, None, release.namespace)
        if live is not None:
            annotations = live["metadata"].get("annotations") or {}
            return all(annotations.get(key) == value for key, value in ownership(release).items())
        if not release.create_namespace:
            raise ReleaseError(
                f"namespace {release.namespace!r} is not there: set createNamespace, or let the release depend on it"
            )
        metadata = {"name": release.namespace, "annotations": ownership(release)}
        self._api.apply(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, manager=MANAGER)
        return True

    def _ours(self, release: Release, objects: Iterable[Object]) -> None:
        """As Helm does, refuse to take over what another release, or nobody's, has made."""
        wanted = ownership(release)
        for each in objects:
            reference = Reference.of(each)
            live = self._api.get(
                self._api.kind(reference.api_version, reference.kind), reference.namespace or None, reference.name
            )
            found = ((live or {}).get("metadata") or {}).get("annotations") or {}
            if live is not None and any(found.get(key) != value for key, value in wanted.items()):
                owner = found.get("meta.helm.sh/release-name")
                whose = f"release {owner!r}" if owner else "no release"
                raise ReleaseError(
                    f"{reference.kind} {reference} exists and belongs to {whose}: delete it, or choose other names "
                    "(fullnameOverride, serviceAccount.name), or set takeOwnership"
                )

    def _apply(self, obj: Object) -> None:
        kind = self._api.kind(obj["apiVersion"], obj["kind"])
        self._api.apply(kind, obj, manager=MANAGER, force=True)

    def _delete(self, references: Iterable[Reference], timeout: float) -> None:
        for reference in references:
            try:
                kind = self._api.kind(reference.api_version, reference.kind)
            except UnknownKindError:
                continue
            live = self._api.get(kind, reference.namespace or None, reference.name)
            if live is not None:
                place, uid = reference.namespace or None, live["metadata"]["uid"]
                self._api.delete(kind, place, reference.name, propagation="Background", uid=uid)
                self._waiter.gone(kind, live, timeout)

    def _crds(self, plan: Plan, before: Record | None, timeout: float) -> None:
        """Apply the definitions side by side, as they are in the controller's module, and wait until all are served."""
        files = {_definition_name(file): file for file in go.crds(plan.crds_from).glob("*.yaml")} if plan.crds else {}
        if missing := [name for name in plan.crds if name not in files]:
            raise ReleaseError(f"the toolchain has no definition of {', '.join(missing)}: run `make setup`")
        same = before is not None and before.status == "deployed" and before.app_version == _app_version(plan)
        there = self._served(plan.crds) & set(before.crds) if before is not None and same else set()

        def one(name: str) -> None:
            self._api.request(
                "PATCH",
                CRD.path(None, name),
                params={"fieldManager": MANAGER, "force": "true"},
                body=files[name].read_bytes(),
                content_type="application/apply-patch+yaml",
                accept=METADATA_ONLY,  # a definition has up to half a megabyte
            )

        self._each(one, [name for name in plan.crds if name not in there])
        self._waiter.until(
            lambda: self._served(plan.crds) >= set(plan.crds),
            timeout,
            lambda: (
                f"definitions of {plan.crds_from} are not served: {', '.join(sorted(set(plan.crds) - self._served(plan.crds)))}"
            ),
        )

    def _served(self, names: Iterable[str]) -> set[str]:
        """Those of the definitions whose kinds the API server serves now."""
        found = set()
        for group in {name.partition(".")[2] for name in names}:
            try:
                versions = self._api.request("GET", f"/apis/{group}")["versions"]
                for version in versions:
                    resources = self._api.request("GET", f"/apis/{version['groupVersion']}")["resources"]
                    found |= {f"{each['name']}.{group}" for each in resources if "/" not in each["name"]}
            except ApiError as error:
                if error.code not in (404, 503):
                    raise
        return found

    def _delete_crds(self, found: Record, timeout: float) -> None:
        def one(name: str) -> None:
            live = self._api.get(CRD, None, name)
            if live is None or (found.release.chart == "sealed-secrets" and self._instances(live)):
                return
            self._api.delete(CRD, None, name, propagation="Background", uid=live["metadata"]["uid"])
            self._waiter.gone(CRD, live, timeout)

        self._each(one, found.crds)

    def _instances(self, definition: Object) -> bool:
        spec = definition["spec"]
        version = next(each["name"] for each in spec["versions"] if each.get("storage"))
        names = spec["names"]
        kind = Kind(f"{spec['group']}/{version}", names["kind"], names["plural"], spec["scope"] == "Namespaced")
        return bool(self._api.list(kind, None))

    def _each(self, work: Callable[[str], None], names: Iterable[str]) -> None:
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="definitions") as pool:
            for _ in pool.map(work, names):
                pass

    def _used(self, namespace: str) -> bool:
        return any(
            item["metadata"]["name"] not in _OWN_CONTENT
            for kind in _CONTENT
            for item in self._api.list(kind, namespace)
        )

    # -- the controller ----------------------------------------------------------------------------------------------

    def _run(self, plan: Plan) -> None:
        if plan.controller is None:
            return
        spec = plan.controller
        # An account that the chart does not make may carry a role of its own.
        live = self._api.get(SERVICE_ACCOUNT, spec.namespace, spec.service_account)
        if live is None:
            raise ReleaseError(
                f"service account {spec.namespace}/{spec.service_account} is not there: set serviceAccount.create, or make it"
            )
        annotations = (live["metadata"].get("annotations") or {}).items()
        spec = replace(spec, annotations={key: value for key, value in annotations if key.startswith("eks.")})
        applied = self._controller(lambda place: controllers.apply(place, spec))
        if plan.address_on:
            self._annotate(spec.namespace, plan.address_on, applied.url)
        if plan.deployment is not None:
            self._stands_in(plan.deployment)

    def _annotate(self, namespace: str, service: str, url: str) -> None:
        self._api.request(
            "PATCH",
            Kind("v1", "Service", "services", True).path(namespace, service),
            body={"metadata": {"annotations": {URL_ANNOTATION: url}}},
            content_type="application/merge-patch+json",
        )

    def _stands_in(self, deployment: Object) -> None:
        """The process is up, so the Deployment that it stands in for has one ready replica."""
        kind = self._api.kind("apps/v1", "Deployment")
        metadata = deployment["metadata"]
        live = self._api.get(kind, metadata["namespace"], metadata["name"])
        if live is None:
            return
        one = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1}
        condition = {
            "type": "Available",
            "status": "True",
            "reason": "HostProcess",
            "message": "runs as a host process",
        }
        body = {
            "status": {**one, "observedGeneration": live["metadata"]["generation"], "conditions": [condition]},
        }
        path = f"{kind.path(metadata['namespace'], metadata['name'])}/status"
        self._api.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    @staticmethod
    def _controller(work: Callable[[Path], T]) -> T:
        place = os.environ.get("STRONGROOM_SANDBOX")
        if not place:
            raise ReleaseError(
                "STRONGROOM_SANDBOX is not set: a release's controller is started by the sandbox; `make env` prints its "
                "environment"
            )
        try:
            return work(Path(place))
        except ServerError as error:
            raise ReleaseError(str(error)) from None


def _app_version(plan: Plan) -> str:
    return str(plan.objects[0]["metadata"]["labels"]["app.kubernetes.io/version"]) if plan.objects else ""


def _definition_name(file: Path) -> str:
    """Controller-gen names a definition's file GROUP_PLURAL.yaml."""
    group, _, plural = file.stem.partition("_")
    return f"{plural}.{group}"
