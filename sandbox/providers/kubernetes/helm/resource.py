"""The resource ``kubernetes:helm.sh/v3:Release``: properties, ids and outputs as pulumi-kubernetes has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from sandbox.providers.kubernetes import diffs, objects
from sandbox.providers.kubernetes.errors import KubernetesError, ReleaseError
from sandbox.providers.kubernetes.helm.catalogue import planned, problems, release_of
from sandbox.providers.kubernetes.helm.chart import Plan
from sandbox.providers.kubernetes.helm.installer import Installer
from sandbox.providers.kubernetes.helm.record import Record
from sandbox.providers.kubernetes.resource import Objects
from sandbox.providers.values import (
    Properties,
    echo_map,
    has_unknown,
    marked_like,
    plain,
    plain_map,
    redact,
    secret_texts,
    unknown,
    wrap,
    wrap_map,
)

TYPE = "kubernetes:helm.sh/v3:Release"
DEFAULT_TIMEOUT = 300  # seconds, Helm's
REPLACING = (("name",), ("namespace",))
COMPUTED = ("resourceNames", "status")
T = TypeVar("T")


class Runner(Protocol):
    """Runs blocking work in a thread, and keeps what is secret in the properties out of its errors."""

    def __call__(self, work: Callable[[], T], *properties: Mapping[str, PropertyValue]) -> Awaitable[T]: ...


class Releases:
    """All releases of one provider."""

    def __init__(self, cluster: Callable[[], Objects], run: Runner) -> None:
        self._cluster = cluster
        self._run = run

    def _installer(self) -> Installer:
        found = self._cluster()
        return Installer(found.api, found.waiter)

    async def check(self, request: CheckRequest) -> CheckResponse:
        inputs: Properties = {name: value for name, value in request.new_inputs.items() if value.value is not None}
        if "name" not in inputs:
            kept = plain(request.old_inputs.get("name"))
            inputs["name"] = wrap(kept or objects.autoname(request.name, request.random_seed))
        if "namespace" not in inputs:
            inputs["namespace"] = wrap(self._cluster().default_namespace)
        texts = secret_texts(inputs.values())
        failures = [CheckFailure(item.property, redact(item.reason, texts)) for item in problems(plain_map(inputs))]
        return CheckResponse(inputs=inputs, failures=failures)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        old = {name: value for name, value in plain_map(request.old_state).items() if name not in COMPUTED}
        new = plain_map(request.new_inputs)
        detailed, replaces = diffs.detailed(old, new, REPLACING, request.ignore_changes)
        return DiffResponse(
            changes=bool(detailed),
            replaces=replaces,
            diffs=sorted({dotted.split(".")[0].split("[")[0] for dotted in detailed}),
            detailed_diff=detailed,
            # Roles of the whole cluster have the same names in both: the old ones go first.
            delete_before_replace=bool(replaces),
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        inputs = echo_map(request.properties)
        if request.preview:
            return CreateResponse(None, self._previewed(inputs))
        values = self._known(inputs)
        manager = objects.field_manager(request.urn)
        timeout = float(request.timeout or values.get("timeout") or DEFAULT_TIMEOUT)

        def work() -> Record:
            installer = self._installer()
            release = release_of(values)
            try:
                plan = _plan(values)
                return installer.create(release, plan, values.get("values") or {}, manager, timeout)
            except KubernetesError:
                found = installer.load(release.namespace, release.name)
                if values.get("atomic") and found is not None and found.owner == manager:
                    installer.delete(release.namespace, release.name, timeout)
                raise

        record = await self._run(work, inputs)
        return CreateResponse(f"{values['namespace']}/{values['name']}", self._state(inputs, record))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        inputs = echo_map(request.news)
        if request.preview:
            return UpdateResponse(self._previewed(inputs))
        values = self._known(inputs)
        manager = objects.field_manager(request.urn)
        timeout = float(request.timeout or values.get("timeout") or DEFAULT_TIMEOUT)

        def work() -> Record:
            release = release_of(values)
            return self._installer().update(release, _plan(values), values.get("values") or {}, manager, timeout)

        return UpdateResponse(self._state(inputs, await self._run(work, inputs, request.olds)))

    async def read(self, request: ReadRequest) -> ReadResponse:
        namespace, name = objects.split_id(request.resource_id)
        place = namespace or self._cluster().default_namespace
        record = await self._run(lambda: self._installer().load(place, name), request.properties)
        if record is None:
            return ReadResponse()
        inputs = dict(request.inputs)
        if inputs:
            # Somebody's `helm upgrade` shows as other values or another version.
            for key, live in (("values", dict(record.values)), ("version", record.release.version)):
                if key in inputs and plain(inputs[key]) != live:
                    inputs[key] = marked_like(wrap(live), inputs[key])
        else:
            release = record.release
            inputs = wrap_map({"name": release.name, "namespace": release.namespace, "chart": release.chart})
            inputs |= wrap_map({"version": release.version} if release.version else {})
            # Whether a value is secret is not known, so that all are taken for it.
            inputs |= {"values": wrap(dict(record.values), secret=True)} if record.values else {}
        return ReadResponse(f"{place}/{name}", self._state(inputs, record), inputs)

    async def delete(self, request: DeleteRequest) -> None:
        namespace, name = objects.split_id(request.resource_id)
        place = namespace or self._cluster().default_namespace
        timeout = float(request.timeout or DEFAULT_TIMEOUT)
        await self._run(lambda: self._installer().delete(place, name, timeout), request.properties)

    @staticmethod
    def _known(inputs: Properties) -> dict[str, Any]:
        values = plain_map(inputs)
        if has_unknown(values):
            raise ReleaseError("a release cannot be installed while a property of it is not known")
        return values

    @staticmethod
    def _previewed(inputs: Properties) -> Properties:
        return {**inputs, "status": unknown(), "resourceNames": unknown()}

    @staticmethod
    def _state(inputs: Properties, record: Record) -> Properties:
        release = record.release
        names: dict[str, list[str]] = {}
        for reference in record.objects:
            names.setdefault(reference.group_kind, []).append(str(reference))
        if record.crds:
            names["CustomResourceDefinition.apiextensions.k8s.io/v1"] = sorted(record.crds)
        status = {
            "appVersion": record.app_version,
            "chart": release.chart,
            "name": release.name,
            "namespace": release.namespace,
            "revision": record.revision,
            "status": record.status,
            "version": release.version,
        }
        return {**inputs, "resourceNames": wrap(names), "status": wrap(status)}


def _plan(values: Mapping[str, Any]) -> Plan:
    plan, wrong = planned(values)
    if wrong:
        # Values that were not known when they were checked.
        raise ReleaseError("; ".join(f"{item.property}: {item.reason}" for item in wrong))
    return plan
