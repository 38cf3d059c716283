"""Any object of any kind: apply it, wait for it, read it, delete it. Plain data in and out, blocking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.providers.kubernetes import objects
from sandbox.providers.kubernetes.api import Api, Kind, Object, native
from sandbox.providers.kubernetes.awaits import WAIT_FOR, Waiter, annotated, deadline, describe, expectations
from sandbox.providers.kubernetes.errors import ApiError, KubernetesError, UnknownKindError, WaitError

# Reasons with which the server says that an object is badly formed, whatever else is in the cluster.
_SCHEMA_REASONS = frozenset(
    {"FieldValueRequired", "FieldValueInvalid", "FieldValueNotSupported", "FieldValueTypeInvalid", "FieldValueTooLong",
     "FieldValueTooMany", "FieldValueForbidden"}
)  # fmt: skip
_PROPAGATION = {"foreground": "Foreground", "background": "Background", "orphan": "Orphan"}


@dataclass(frozen=True)
class Settings:
    """The provider's inputs that have a meaning for objects."""

    namespace: str = ""  # overrides the kubeconfig's
    patch_force: bool = False
    upsert: bool = False


@dataclass(frozen=True)
class Problem:
    """What is wrong with inputs: ``property`` names the place."""

    property: str
    reason: str


class NotReady(Exception):
    """The object is there, but did not become ready: ``live`` is how it is."""

    def __init__(self, live: Object, inputs: Object, reason: str) -> None:
        self.live, self.inputs, self.reason = live, inputs, reason
        super().__init__(reason)


class Objects:
    """The objects of one cluster."""

    def __init__(self, api: Api, settings: Settings, stop: threading.Event) -> None:
        self.api = api
        self.settings = settings
        self.waiter = Waiter(api, stop)

    @property
    def default_namespace(self) -> str:
        return self.settings.namespace or self.api.cluster.namespace

    def placed(self, inputs: Object) -> Object:
        """The inputs with a namespace where the kind has one. A kind that is not known yet is taken to have one.

        Raises UnknownKindError for a kind that will not be known later either.
        """
        api_version, kind = inputs["apiVersion"], inputs["kind"]
        metadata = dict(inputs["metadata"])
        try:
            namespaced = self.api.kind(api_version, kind).namespaced
        except UnknownKindError:
            if native(api_version) or self.api.versions_of(api_version, kind):
                raise
            namespaced = True
        if namespaced:
            metadata["namespace"] = metadata.get("namespace") or self.default_namespace
        else:
            metadata.pop("namespace", None)
        return {**inputs, "metadata": metadata}

    def problems(self, inputs: Object) -> Iterator[Problem]:
        """What the server finds wrong with the inputs, as far as it can be asked now."""
        annotations = annotated(inputs)
        if WAIT_FOR in annotations:
            try:
                expectations(annotations[WAIT_FOR])
            except ValueError as error:
                yield Problem(f'metadata.annotations["{WAIT_FOR}"]', str(error))
        try:
            self.api.validate(self.api.kind(inputs["apiVersion"], inputs["kind"]), inputs)
        except UnknownKindError:
            return  # its definition comes later in the run
        except ApiError as error:
            yield from _problems(error)

    # -- writing -----------------------------------------------------------------------------------------------------

    def preview(self, inputs: Object, manager: str) -> Object | None:
        """The object as the server would store it; None where its kind or its namespace comes later in the run."""
        try:
            kind = self.api.kind(inputs["apiVersion"], inputs["kind"])
            live = self.api.apply(kind, self._fitting(kind, inputs), manager=manager, force=True, dry_run=True)
        except UnknownKindError:
            return None
        except ApiError as error:
            if error.code in (404, 409):
                return None
            raise
        metadata = {key: value for key, value in live["metadata"].items() if key in inputs["metadata"]}
        return {**{key: value for key, value in live.items() if key != "status"}, "metadata": metadata}

    def create(self, inputs: Object, manager: str, timeout: float) -> tuple[Object, Object]:
        """Make the object and wait for it; the live object, and the inputs as they were sent.

        An object of that name is taken over only if an interrupted run of the same resource made it (its field manager
        says so), or with upsertExistingObjects. Raises NotReady where it is there but does not get ready.
        """
        kind = self.waiter.known(inputs["apiVersion"], inputs["kind"])
        sent = self._fitting(kind, inputs)
        existing = self.api.get(kind, sent["metadata"].get("namespace"), sent["metadata"]["name"])
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            self.waiter.gone(kind, existing, timeout)
            existing = None
        if existing is not None and not self.settings.upsert and not objects.managed_by(existing, manager):
            raise KubernetesError(
                f"{describe(kind, sent)} already exists, and this resource did not make it: import it "
                f"(id {objects.object_id(sent)!r}), choose another name, or set the provider's upsertExistingObjects"
            )
        live = self._apply(kind, sent, manager)
        return self._ready(kind, live, sent, timeout), sent

    def update(self, inputs: Object, manager: str, timeout: float) -> tuple[Object, Object]:
        """Bring the object to the inputs and wait for it. Raises NotReady as ``create`` does."""
        kind = self.waiter.known(inputs["apiVersion"], inputs["kind"])
        sent = self._fitting(kind, inputs)
        live = self._apply(kind, sent, manager)
        return self._ready(kind, live, sent, timeout), sent

    def _apply(self, kind: Kind, sent: Object, manager: str) -> Object:
        force = self.settings.patch_force or annotated(sent).get(objects.PATCH_FORCE, "").lower() == "true"
        try:
            return self.api.apply(kind, sent, manager=manager, force=force)
        except ApiError as error:
            if error.code == 409 and error.reason == "Conflict":
                raise KubernetesError(
                    f"{describe(kind, sent)}: {error}. To take these fields over, set the annotation "
                    f'{objects.PATCH_FORCE}: "true"; to leave them to the other manager, drop them from the program'
                ) from None
            raise

    def _ready(self, kind: Kind, live: Object, sent: Object, timeout: float) -> Object:
        try:
            return self.waiter.ready(kind, live, timeout)
        except WaitError as error:
            raise NotReady(live, sent, str(error)) from None

    @staticmethod
    def _fitting(kind: Kind, inputs: Object) -> Object:
        """The inputs without the namespace that was given to a kind that turned out to have none."""
        if kind.namespaced or "namespace" not in inputs["metadata"]:
            return inputs
        return {**inputs, "metadata": {k: v for k, v in inputs["metadata"].items() if k != "namespace"}}

    # -- reading and deleting ----------------------------------------------------------------------------------------

    def read(self, api_version: str, kind_name: str, resource_id: str) -> Object | None:
        """The live object, or None where it, or its kind, is not there."""
        try:
            kind = self.api.kind(api_version, kind_name)
        except UnknownKindError:
            return None
        namespace, name = objects.split_id(resource_id)
        return self.api.get(kind, (namespace or self.default_namespace) if kind.namespaced else None, name)

    def told(self, inputs: Object, live: Object, manager: str) -> Object:
        """The inputs that the live object shows: the same ones unless applying them would change it."""
        kind = self.api.kind(inputs["apiVersion"], inputs["kind"])
        try:
            again = self.api.apply(kind, self._fitting(kind, inputs), manager=manager, force=True, dry_run=True)
        except ApiError:
            return objects.drifted(inputs, live)
        return inputs if objects.stable(again) == objects.stable(live) else objects.drifted(inputs, live)

    def delete(self, api_version: str, kind_name: str, resource_id: str, timeout: float) -> None:
        """Delete the object and wait until it is gone."""
        live = self.read(api_version, kind_name, resource_id)
        if live is None:
            return
        kind = self.api.kind(api_version, kind_name)
        policy = _PROPAGATION.get(annotated(live).get(objects.PROPAGATION, "").lower(), "Foreground")
        metadata = live["metadata"]
        self.api.delete(kind, metadata.get("namespace"), metadata["name"], propagation=policy, uid=metadata.get("uid"))
        self.waiter.gone(kind, live, deadline(live, timeout))


def _problems(error: ApiError) -> Iterator[Problem]:
    """A refusal as problems of the inputs; nothing where it is about something else than their form."""
    if error.code == 400:
        yield Problem("", error.server_message)
    if error.code != 422:
        return
    for cause in error.causes:
        message = str(cause.get("message", ""))
        if cause.get("reason") in _SCHEMA_REASONS and "already allocated" not in message:
            yield Problem(str(cause.get("field", "")).replace("<nil>", ""), message)
