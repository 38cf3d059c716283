"""KubernetesProvider: any ``kubernetes:GROUP/VERSION:KIND``, and ``kubernetes:helm.sh/v3:Release`` of known charts.

Tokens, properties, ids, names, annotations and replacement follow pulumi-kubernetes 4.34.2. Not offered: client-side
apply, Patch and List types, client-side charts and YAML (those expand in the program). There is no kubelet, so no
workload is waited for; see ``awaits``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.errors import EndpointRefused, InitializationFailed
from sandbox.providers.kubernetes import diffs, kubeconfig, objects
from sandbox.providers.kubernetes.api import Api, Object, native
from sandbox.providers.kubernetes.errors import KubeconfigError, KubernetesError, UnknownKindError
from sandbox.providers.kubernetes.helm.resource import TYPE as RELEASE
from sandbox.providers.kubernetes.helm.resource import Releases
from sandbox.providers.kubernetes.resource import NotReady, Objects, Settings
from sandbox.providers.loopback import require_loopback
from sandbox.providers.table_provider import bare_type
from sandbox.providers.values import (
    Properties,
    echo,
    echo_map,
    has_unknown,
    marked_like,
    plain,
    plain_map,
    redact,
    secret_texts,
    unknown,
    wrap,
)

VERSION = "4.34.2"
THREADS = 32  # a wait holds one
SETTINGS = frozenset(
    {"cluster", "clusterIdentifier", "context", "deleteUnreachable", "enableConfigMapMutable", "enablePatchForce",
     "enableSecretMutable", "enableServerSideApply", "helmReleaseSettings", "kubeClientSettings", "kubeconfig", "namespace",
     "skipUpdateUnreachable", "suppressDeprecationWarnings", "suppressHelmHookWarnings", "upsertExistingObjects"}
)  # fmt: skip
T = TypeVar("T")
log = logging.getLogger(__name__)


class KubernetesProvider(Provider):
    """See the module's docstring. Takes ``kubeconfig`` (path or text), else KUBECONFIG, else ~/.kube/config."""

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._objects: Objects | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="kubernetes")
        self._releases = Releases(self.cluster, self._run)

    def close(self) -> None:
        """End all waits and close the connections; the provider cannot be used afterwards."""
        self._stop.set()
        self._pool.shutdown(wait=True)
        if self._objects:
            self._objects.api.close()

    async def cancel(self) -> None:
        self._stop.set()

    # -- the provider itself -----------------------------------------------------------------------------------------

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        del request
        # The resource types are whatever the API server serves, so they cannot be listed here.
        inputs = {name: {"type": "string"} for name in sorted(SETTINGS)}
        return GetSchemaResponse(
            json.dumps({"name": "kubernetes", "version": VERSION, "provider": {"inputProperties": inputs}})
        )

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        failures = [
            CheckFailure(
                name, f"the sandbox's kubernetes provider has no input {name!r}; it has: {', '.join(sorted(SETTINGS))}"
            )
            for name in sorted(request.new_inputs)
            if name not in SETTINGS and name != "version" and not name.startswith("__")
        ]
        if plain(request.new_inputs.get("enableServerSideApply")) in (False, "false"):
            failures.append(CheckFailure("enableServerSideApply", "client-side apply is not offered here: leave it on"))
        given = plain(request.new_inputs.get("kubeconfig"))
        if given and given != UNKNOWN:
            try:
                require_loopback("the kubeconfig's server", kubeconfig.load(str(given)).server)
            except (KubeconfigError, EndpointRefused) as error:
                failures.append(CheckFailure("kubeconfig", str(error)))
        return CheckResponse(inputs=request.new_inputs, failures=failures)

    async def diff_config(self, request: DiffRequest) -> DiffResponse:
        # `changes` and `detailed_diff` stay unset: the SDK's gRPC host garbles both for DiffConfig.
        old, new = (self._server(properties) for properties in (request.old_state, request.new_inputs))
        return DiffResponse(replaces=["kubeconfig"] if old and new and old != new else [])

    @staticmethod
    def _server(properties: Properties) -> str | None:
        given = plain(properties.get("kubeconfig"))
        try:
            return kubeconfig.load(str(given)).server if given and given != UNKNOWN else None
        except KubernetesError:
            return None

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self._settings = plain_map(request.args)
        if self._objects is not None:
            self._objects.api.close()
            self._objects = None
        self._stop.clear()  # an engine that attached ends its preview with `cancel`, and configures anew for the run
        # Not accept_outputs: the SDK's gRPC host cannot read an unknown output value.
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=True, accept_outputs=False
        )

    def _flag(self, name: str, variable: str) -> bool:
        # An engine sends a provider's booleans as text.
        return str(self._settings.get(name, os.environ.get(variable, ""))).lower() == "true"

    def cluster(self) -> Objects:
        """The cluster that the provider is configured for, connected on first use."""
        with self._lock:
            if self._objects is None:
                given = self._settings.get("kubeconfig")
                if given == UNKNOWN:
                    raise KubeconfigError("the provider's kubeconfig is not known yet")
                found = kubeconfig.load(given, self._settings.get("context"), self._settings.get("cluster"))
                require_loopback("the kubeconfig's server", found.server)
                settings = Settings(
                    namespace=str(self._settings.get("namespace") or ""),
                    patch_force=self._flag("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
                    upsert=self._flag("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
                )
                self._objects = Objects(Api(found), settings, self._stop)
            return self._objects

    async def _run(self, work: Callable[[], T], *properties: Mapping[str, PropertyValue]) -> T:
        """Run blocking work in a thread; what is secret in the properties is blotted out of an error."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (KubernetesError, NotReady) as error:
            texts = secret_texts(value for group in properties for value in group.values())
            if isinstance(error, NotReady):
                error.reason = redact(error.reason, texts)
                raise
            told = type(error) if isinstance(error, UnknownKindError | KubeconfigError) else KubernetesError
            raise told(redact(str(error), texts)) from None

    # -- check and diff ----------------------------------------------------------------------------------------------

    async def check(self, request: CheckRequest) -> CheckResponse:
        if bare_type(request.type) == RELEASE:
            return await self._releases.check(request)
        token = bare_type(request.type)
        try:
            api_version, kind = objects.type_of(token)
        except ValueError as error:
            return CheckResponse(inputs=request.new_inputs, failures=[CheckFailure("", str(error))])
        if native(api_version) and kind.endswith(("Patch", "List")):
            reason = f"the sandbox's kubernetes provider has no {kind}: declare the objects themselves"
            return CheckResponse(inputs=request.new_inputs, failures=[CheckFailure("kind", reason)])
        given = {name: value for name, value in request.new_inputs.items() if value.value is not None}
        inputs: Properties = {**given, "apiVersion": wrap(api_version), "kind": wrap(kind)}
        inputs["metadata"] = self._metadata(request, inputs.get("metadata"))
        values = plain_map(inputs)
        if values["metadata"] == UNKNOWN:
            return CheckResponse(inputs=inputs, failures=[])
        try:
            placed = await self._run(lambda: self.cluster().placed(values), inputs)
        except UnknownKindError as error:
            return CheckResponse(inputs=inputs, failures=[CheckFailure("kind", str(error))])
        except KubeconfigError:
            if self._settings.get("kubeconfig") != UNKNOWN:
                raise
            return CheckResponse(inputs=inputs, failures=[])
        inputs["metadata"] = self._with_namespace(inputs["metadata"], placed["metadata"].get("namespace"))
        failures: list[CheckFailure] = []
        if not has_unknown(placed) and placed != plain_map(request.old_inputs):
            found = await self._run(lambda: list(self.cluster().problems(objects.body(placed))), inputs)
            texts = secret_texts(inputs.values())
            failures = [CheckFailure(item.property, redact(item.reason, texts)) for item in found]
        return CheckResponse(inputs=inputs, failures=failures)

    @staticmethod
    def _metadata(request: CheckRequest, given: PropertyValue | None) -> PropertyValue:
        """The metadata with a name: the program's, else the one of the last run, else a new one."""
        if given is not None and plain(given) == UNKNOWN:
            return given
        metadata = dict(given.value) if given is not None and isinstance(given.value, Mapping) else {}
        metadata = {name: value for name, value in metadata.items() if value.value is not None}
        if "name" not in metadata and "generateName" not in metadata:
            old = plain(request.old_inputs.get("metadata")) or {}
            kept = old.get("name") if (old.get("annotations") or {}).get(objects.AUTONAMED) == "true" else None
            metadata["name"] = wrap(kept or objects.autoname(request.name, request.random_seed))
            before = metadata.get("annotations")
            inner = dict(before.value) if before is not None and isinstance(before.value, Mapping) else {}
            metadata["annotations"] = PropertyValue({**inner, objects.AUTONAMED: wrap("true")})
        return PropertyValue(metadata, is_secret=given.is_secret if given is not None else False)

    @staticmethod
    def _with_namespace(metadata: PropertyValue, namespace: str | None) -> PropertyValue:
        inner = dict(metadata.value) if isinstance(metadata.value, Mapping) else {}
        if namespace is None:
            inner.pop("namespace", None)
        elif "namespace" not in inner:
            inner["namespace"] = wrap(namespace)
        return PropertyValue(inner, is_secret=metadata.is_secret)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        if bare_type(request.type) == RELEASE:
            return await self._releases.diff(request)
        api_version, kind = objects.type_of(bare_type(request.type))
        # An old state is the live object; what the program had asked for is kept beside it.
        old = plain(request.old_state.get("__inputs")) or plain_map(request.old_state)
        new = plain_map(request.new_inputs)
        flags = {
            "ConfigMap": self._flag("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            "Secret": self._flag("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        }
        rules = diffs.replacing(api_version, kind, mutable=flags.get(kind, False))
        detailed, replaces = diffs.detailed(old, new, rules, request.ignore_changes)
        # A name that the program chose is taken until the old object is gone.
        named = (new.get("metadata") or {}).get("annotations") or {}
        same = [(values.get("metadata") or {}).get("name") for values in (old, new)]
        places = [(values.get("metadata") or {}).get("namespace") for values in (old, new)]
        fixed = named.get(objects.AUTONAMED) != "true" and same[0] == same[1] and places[0] == places[1]
        return DiffResponse(
            changes=bool(detailed),
            replaces=replaces,
            diffs=sorted({dotted.split(".")[0].split("[")[0] for dotted in detailed}),
            detailed_diff=detailed,
            delete_before_replace=bool(replaces) and fixed,
        )

    # -- create, update, read, delete --------------------------------------------------------------------------------

    async def create(self, request: CreateRequest) -> CreateResponse:
        if bare_type(request.type) == RELEASE:
            return await self._releases.create(request)
        inputs = echo_map(request.properties)
        sent = objects.body(plain_map(request.properties))
        manager = objects.field_manager(request.urn)
        if request.preview:
            return CreateResponse(None, await self._previewed(inputs, sent, manager))
        try:
            live, used = await self._run(lambda: self.cluster().create(sent, manager, request.timeout), inputs)
        except NotReady as error:
            raise self._not_ready(error, inputs, manager) from None
        return CreateResponse(objects.object_id(live), self._state(live, used, inputs, manager))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        if bare_type(request.type) == RELEASE:
            return await self._releases.update(request)
        inputs = echo_map(request.news)
        sent = objects.body(plain_map(request.news))
        manager = plain(request.olds.get("__fieldManager")) or objects.field_manager(request.urn)
        if request.preview:
            return UpdateResponse(_kept(await self._previewed(inputs, sent, manager), request.olds))
        try:
            live, used = await self._run(
                lambda: self.cluster().update(sent, manager, request.timeout), inputs, request.olds
            )
        except NotReady as error:
            raise self._not_ready(error, inputs, manager) from None
        return UpdateResponse(self._state(live, used, inputs, manager))

    async def _previewed(self, inputs: Properties, sent: Object, manager: str) -> Properties:
        if not has_unknown(sent):
            try:
                seen = await self._run(lambda: self.cluster().preview(sent, manager), inputs)
            except KubeconfigError:
                if self._settings.get("kubeconfig") != UNKNOWN:
                    raise
                seen = None
            if seen is not None:
                return {**self._state(seen, sent, inputs, manager), "status": unknown()}
        return {**inputs, "status": unknown(), "__inputs": PropertyValue(inputs), "__fieldManager": wrap(manager)}

    def _not_ready(self, error: NotReady, inputs: Properties, manager: str) -> InitializationFailed:
        state = self._state(error.live, error.inputs, inputs, manager)
        return InitializationFailed(objects.object_id(error.live), state, inputs, [error.reason])

    @staticmethod
    def _state(live: Object, used: Object, inputs: Properties, manager: str) -> Properties:
        """The live object with the marks of the inputs, and beside it what it was made from."""
        state: Properties = {}
        for name, value in objects.slim(live).items():
            secret = live.get("kind") == "Secret" and name in ("data", "stringData")
            state[name] = marked_like(wrap(value, secret=secret), inputs.get(name))
        if live.get("kind") == "Secret" and "stringData" in inputs:
            state["stringData"] = echo(inputs["stringData"]).with_secret(True)
        kept = PropertyValue({name: marked_like(wrap(value), inputs.get(name)) for name, value in used.items()})
        state["__inputs"] = kept
        state["__initialApiVersion"] = wrap(live.get("apiVersion"))
        state["__fieldManager"] = wrap(manager)
        return state

    async def read(self, request: ReadRequest) -> ReadResponse:
        if bare_type(request.type) == RELEASE:
            return await self._releases.read(request)
        api_version, kind = objects.type_of(bare_type(request.type))
        live = await self._run(lambda: self.cluster().read(api_version, kind, request.resource_id), request.properties)
        if live is None:
            return ReadResponse()
        manager = plain(request.properties.get("__fieldManager")) or objects.field_manager(request.urn)
        kept = request.properties.get("__inputs")
        before: Properties = dict(request.inputs)
        if not before and kept is not None and isinstance(kept.value, Mapping):
            before = dict(kept.value)
        if before:
            known = objects.body(plain_map(before))
            told = await self._run(lambda: self.cluster().told(known, live, manager), before)
        else:
            told = objects.importable(live)
        inputs = {name: marked_like(wrap(value), before.get(name)) for name, value in told.items()}
        if kind == "Secret":
            inputs = {n: v.with_secret(True) if n in ("data", "stringData") else v for n, v in inputs.items()}
        return ReadResponse(objects.object_id(live), self._state(live, told, inputs, manager), inputs)

    async def delete(self, request: DeleteRequest) -> None:
        if bare_type(request.type) == RELEASE:
            await self._releases.delete(request)
            return
        api_version, kind = objects.type_of(bare_type(request.type))
        await self._run(
            lambda: self.cluster().delete(api_version, kind, request.resource_id, request.timeout), request.properties
        )


def _kept(state: Properties, olds: Properties) -> Properties:
    """The preview of an update, with what the server gave the object once for all."""
    before, metadata = (values["metadata"].value if "metadata" in values else None for values in (olds, state))
    if not isinstance(before, Mapping) or not isinstance(metadata, Mapping):
        return state
    given = {key: before[key] for key in ("creationTimestamp", "uid") if key in before}
    return {**state, "metadata": PropertyValue({**metadata, **given})}
