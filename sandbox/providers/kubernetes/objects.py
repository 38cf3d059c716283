"""Between a program's inputs and the objects of the API: names, scope, what a live object says of the inputs."""

from __future__ import annotations

import base64
import copy
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.providers.kubernetes.api import Object

AUTONAMED = "pulumi.com/autonamed"
PATCH_FORCE = "pulumi.com/patchForce"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
MANAGER_PREFIX = "pulumi-kubernetes-"
_NAME_LENGTH = 63

# What the server writes, and a program does not.
_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)


def type_of(token: str) -> tuple[str, str]:
    """``kubernetes:core/v1:Secret`` -> ``("v1", "Secret")``. Raises ValueError for another form."""
    package, _, rest = token.partition(":")
    api_version, _, kind = rest.rpartition(":")
    if package != "kubernetes" or not kind or "/" not in api_version:
        raise ValueError(f"{token!r} is not the type of a Kubernetes object: kubernetes:GROUP/VERSION:KIND")
    return api_version.removeprefix("core/"), kind


def autoname(logical: str, seed: bytes) -> str:
    """``<logical>-<8 characters>``, a valid object name as far as the logical name is one."""
    suffix = hashlib.sha256(seed).hexdigest()[:8] if seed else secrets.token_hex(4)
    return f"{logical.lower()[: _NAME_LENGTH - 9]}-{suffix}"


def field_manager(urn: str) -> str:
    """Who we are to the API server: from the URN, so that a run after a killed one recognises its own objects."""
    return MANAGER_PREFIX + hashlib.sha256(urn.encode()).hexdigest()[:8]


def managed_by(live: Object, manager: str) -> bool:
    return any(entry.get("manager") == manager for entry in live["metadata"].get("managedFields") or [])


def object_id(obj: Mapping[str, Any]) -> str:
    """``[namespace/]name``."""
    metadata = obj["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def split_id(resource_id: str) -> tuple[str | None, str]:
    namespace, _, name = resource_id.rpartition("/")
    return namespace or None, name


def body(inputs: Mapping[str, Any]) -> Object:
    """The inputs as an object to send: a copy without what is null."""
    return {
        key: copy.deepcopy(value) for key, value in inputs.items() if value is not None and not key.startswith("__")
    }


def slim(live: Object) -> Object:
    """The object without the bookkeeping of field managers, which is long and of no use in a state."""
    return {**live, "metadata": {key: value for key, value in live["metadata"].items() if key != "managedFields"}}


def stable(live: Object) -> Object:
    """The object without what changes from one write to the next, for comparisons."""
    dropped = ("managedFields", "resourceVersion", "generation")
    return {**live, "metadata": {key: value for key, value in live["metadata"].items() if key not in dropped}}


def importable(live: Object) -> Object:
    """The inputs that a live object implies when nothing is known of the program's."""
    result = {key: copy.deepcopy(value) for key, value in live.items() if key != "status"}
    result["metadata"] = {key: value for key, value in result["metadata"].items() if key not in _SERVER_METADATA}
    return result


def projected(inputs: Any, live: Any) -> Any:
    """The live values at the places that the inputs name: what drift looks like to the program."""
    if isinstance(inputs, Mapping) and isinstance(live, Mapping):
        return {key: projected(value, live[key]) for key, value in inputs.items() if key in live}
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [projected(one, other) for one, other in zip(inputs, live, strict=True)]
    return copy.deepcopy(live)


def drifted(inputs: Object, live: Object) -> Object:
    """``projected``, with a Secret's ``stringData`` compared to the ``data`` that it became."""
    result: Object = projected(inputs, live)
    if inputs.get("kind") == "Secret" and isinstance(inputs.get("stringData"), Mapping):
        data = live.get("data") or {}
        result["stringData"] = {
            key: base64.b64decode(data[key]).decode(errors="replace") for key in inputs["stringData"] if key in data
        }
    return result
