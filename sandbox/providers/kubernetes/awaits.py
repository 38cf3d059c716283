"""When a create, an update or a delete is over.

There is no kubelet here: Pods never run, so a Deployment, StatefulSet, Job, Pod or Service is not waited for (the real
provider waits until it is available). What is waited for:

* a CustomResourceDefinition until it is established and its kinds can be used;
* what an object's own annotation ``pulumi.com/waitFor`` names: ``condition=Type[=Status]``, ``jsonpath={.path}[=value]``,
  or a JSON list of these, all of which must hold;
* a deleted object until it is gone.

``pulumi.com/skipAwait: "true"`` waits for nothing; ``pulumi.com/timeoutSeconds`` sets the deadline where the resource's
customTimeouts do not (default 10 minutes).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.providers.kubernetes.api import Api, Kind, Object
from sandbox.providers.kubernetes.errors import ApiError, UnknownKindError, WaitError
from sandbox.providers.kubernetes.jsonpath import JsonPath

WAIT_FOR = "pulumi.com/waitFor"
SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
DEFAULT_TIMEOUT = 600.0
POLL_FIRST, POLL_GROWTH, POLL_MOST = 0.1, 1.5, 0.5


@dataclass(frozen=True)
class Condition:
    """``condition=Type[=Status]``: the object's status has that condition, and it is about the current generation."""

    type: str
    status: str = "True"

    def __str__(self) -> str:
        return f"condition {self.type}={self.status}"

    def met(self, live: Object) -> bool:
        for condition in conditions(live):
            if str(condition.get("type", "")).lower() == self.type.lower():
                observed = condition.get("observedGeneration") or live.get("status", {}).get("observedGeneration")
                current = live["metadata"].get("generation")
                stale = observed is not None and current is not None and observed < current
                return not stale and str(condition.get("status", "")).lower() == self.status.lower()
        return False


@dataclass(frozen=True)
class PathValue:
    """``jsonpath={.path}[=value]``: the path is there, and all that it finds has the value."""

    path: JsonPath
    value: str | None

    def __str__(self) -> str:
        return f"jsonpath {self.path.text}" + (f"={self.value}" if self.value is not None else "")

    def met(self, live: Object) -> bool:
        found = self.path.find(live)
        if not found:
            return False
        return self.value is None or all(_text(item) == self.value for item in found)


Expectation = Condition | PathValue


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def expectations(annotation: str) -> list[Expectation]:
    """Parse the value of ``pulumi.com/waitFor``. Raises ValueError that says what is wrong and what is accepted."""
    text = annotation.strip()
    if text.startswith("["):
        try:
            items = json.loads(text)
        except ValueError:
            raise ValueError(f"{WAIT_FOR}: {text!r} is not a JSON list of strings") from None
        if not items or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{WAIT_FOR}: {text!r} is not a JSON list of strings")
        return [_expectation(item) for item in items]
    return [_expectation(text)]


def _expectation(text: str) -> Expectation:
    form, equals, rest = text.partition("=")
    if form == "condition" and rest:
        kind, _, status = rest.partition("=")
        return Condition(kind, status or "True")
    if form == "jsonpath" and rest.startswith("{") and "}" in rest:
        path, _, value = rest.rpartition("}")
        if value and not value.startswith("="):
            raise ValueError(f"{WAIT_FOR}: after the path of {text!r} comes nothing or =VALUE")
        return PathValue(JsonPath(path + "}"), value[1:] if value else None)
    del equals
    raise ValueError(f"{WAIT_FOR}: {text!r} is neither condition=TYPE[=STATUS] nor jsonpath={{.PATH}}[=VALUE]")


def conditions(live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``status.conditions``, or an empty list."""
    found = (live.get("status") or {}).get("conditions") or []
    return [item for item in found if isinstance(item, dict)]


def annotated(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}


class Waiter:
    """Polls one API server; ``stop`` ends all waits when the provider is cancelled."""

    def __init__(self, api: Api, stop: threading.Event) -> None:
        self._api = api
        self._stop = stop

    def ready(self, kind: Kind, live: Object, timeout: float) -> Object:
        """Wait until the object is what its kind and its annotations promise; the object as it is then.

        ``timeout`` in seconds, 0 for the annotation's or the default. Raises WaitError with the object's own conditions.
        """
        wanted = annotated(live)
        if wanted.get(SKIP_AWAIT, "").lower() == "true":
            return live
        expected = expectations(wanted[WAIT_FOR]) if WAIT_FOR in wanted else []
        if kind.kind == "CustomResourceDefinition":
            expected.append(Condition("Established"))
        if not expected:
            return live
        seen = live

        def done() -> bool:
            nonlocal seen
            name, namespace = live["metadata"]["name"], live["metadata"].get("namespace")
            now = self._api.get(kind, namespace, name)
            if now is None or now["metadata"].get("uid") != live["metadata"].get("uid"):
                raise WaitError(f"{describe(kind, live)} was deleted while it was waited for")
            seen = now
            return all(expectation.met(now) for expectation in expected)

        limit = deadline(live, timeout)
        if not self._poll(done, limit):
            missing = ", ".join(str(item) for item in expected if not item.met(seen))
            raise WaitError(
                f"{describe(kind, seen)} did not reach {missing} within {limit:g} s. {self._why(seen)}".rstrip()
            )
        if kind.kind == "CustomResourceDefinition":
            self._served(seen)
        return seen

    def _served(self, definition: Object) -> None:
        """Established comes a moment before the API server serves the kind."""
        spec = definition["spec"]
        for version in spec["versions"]:
            if version.get("served"):
                self.known(f"{spec['group']}/{version['name']}", spec["names"]["kind"])

    def known(self, api_version: str, kind: str, patience: float = 10.0) -> Kind:
        """The kind, with patience for a definition that was created a moment ago. Raises UnknownKindError."""
        found: list[Kind] = []

        def done() -> bool:
            try:
                found.append(self._api.kind(api_version, kind))
            except UnknownKindError:
                return False
            return True

        if not self._poll(done, patience):
            return self._api.kind(api_version, kind)
        return found[0]

    def gone(self, kind: Kind, live: Object, timeout: float) -> None:
        """Wait until the deleted object is gone. Raises WaitError naming what holds it."""
        name, namespace = live["metadata"]["name"], live["metadata"].get("namespace")
        seen: Object = live

        def done() -> bool:
            nonlocal seen
            now = self._api.get(kind, namespace, name)
            if now is None or now["metadata"].get("uid") != live["metadata"].get("uid"):
                return True
            seen = now
            return False

        limit = deadline(live, timeout)
        if not self._poll(done, limit):
            holders = [*seen["metadata"].get("finalizers", []), *(seen.get("spec") or {}).get("finalizers", [])]
            held = f"Finalizers that hold it: {', '.join(map(str, holders))}. " if holders else ""
            raise WaitError(
                f"{describe(kind, seen)} is still there after {limit:g} s. {held}{self._why(seen)}".rstrip()
            )

    def until(self, done: Callable[[], bool], timeout: float, why: Callable[[], str]) -> None:
        """Wait until ``done``. Raises WaitError with ``why`` after the time-out."""
        if not self._poll(done, timeout):
            raise WaitError(f"after {timeout:g} s: {why()}")

    def _poll(self, done: Callable[[], bool], limit: float) -> bool:
        end = time.monotonic() + limit
        pause = POLL_FIRST
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self._stop.wait(min(pause, left)):
                raise WaitError("cancelled while waiting")
            pause = min(pause * POLL_GROWTH, POLL_MOST)
        return True

    def _why(self, live: Object) -> str:
        """The object's own account of itself: conditions, then its latest warning event."""
        parts = []
        for condition in conditions(live):
            reason = f" ({condition['reason']})" if condition.get("reason") else ""
            message = f": {condition['message']}" if condition.get("message") else ""
            parts.append(f"{condition.get('type')}={condition.get('status')}{reason}{message}")
        text = f"Its conditions: {'; '.join(parts)}." if parts else "It has no status conditions."
        event = self._warning(live)
        return f"{text} Latest warning: {event}" if event else text

    def _warning(self, live: Object) -> str:
        metadata = live["metadata"]
        path = f"/api/v1/namespaces/{metadata.get('namespace') or 'default'}/events"
        selector = f"involvedObject.uid={metadata.get('uid')},type=Warning"
        try:
            events = self._api.request("GET", path, params={"fieldSelector": selector}).get("items", [])
        except ApiError:
            return ""
        latest = max(events, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "", default=None)
        return str(latest.get("message", "")) if latest else ""


def deadline(obj: Object, timeout: float) -> float:
    """Seconds to wait: the resource's customTimeouts, else the annotation, else the default."""
    if timeout > 0:
        return timeout
    return float(annotated(obj).get(TIMEOUT_SECONDS) or DEFAULT_TIMEOUT)


def describe(kind: Kind, obj: Object) -> str:
    """``ExternalSecret production/db-creds``, for messages."""
    metadata = obj["metadata"]
    namespace = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{kind.kind} {namespace}{metadata['name']}"
