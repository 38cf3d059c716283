"""What a program asks for: one registration, read or function call, free of the protocol's messages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.engine.errors import EngineError, Unsupported
from sandbox.engine.hooks import bound
from sandbox.engine.urns import Alias
from sandbox.engine.values import Properties, from_struct

# Options of the protocol that this engine does not have.
_UNSUPPORTED = {
    "remote": "a component of another language (remote=true)",
    "packageRef": "a parameterized package",
    "state_migrations": "the resource option state_migrations",
    "envVarMappings": "the provider option env_var_mappings",
}


@dataclass(slots=True)
class ProviderRequest:
    """The default provider that a resource or a call needs."""

    package: str
    version: str = ""
    url: str = ""


@dataclass(slots=True)
class Goal:
    """A registration."""

    type: str
    name: str
    custom: bool
    inputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    version: str = ""
    url: str = ""
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    protect: bool = False
    delete_before_replace: bool | None = None
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    import_id: str = ""
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    retain_on_delete: bool = False
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    replacement_trigger: Any = None
    hide_diffs: list[str] = field(default_factory=list)
    providers: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class ReadGoal:
    """A resource that is only read."""

    type: str
    name: str
    id: str
    inputs: Properties
    parent: str
    provider: str
    version: str
    url: str
    dependencies: list[str]
    additional_secret_outputs: list[str]


def refuse_unsupported(request: Any) -> None:
    """Raises Unsupported, naming the option, where the program uses one that this engine does not have."""
    for name, text in _UNSUPPORTED.items():
        if getattr(request, name, None):
            raise Unsupported(
                f"{request.type} {request.name!r}: the embedded engine does not support {text}; use the Pulumi CLI"
            )


def from_request(request: Any) -> Goal:
    """From a RegisterResourceRequest, after transforms."""
    timeouts = {
        name: seconds(text, f"{request.name}: custom_timeouts.{name}")
        for name in ("create", "update", "delete", "read")
        if (text := getattr(request.customTimeouts, name))
    }
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=from_struct(request.object),
        parent=request.parent,
        provider=request.provider,
        version=request.version,
        url=request.pluginDownloadURL,
        dependencies=sorted(set(request.dependencies)),
        property_dependencies={
            key: sorted(set(value.urns)) for key, value in request.propertyDependencies.items() if value.urns
        },
        protect=request.protect,
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        ignore_changes=list(request.ignoreChanges),
        replace_on_changes=list(request.replaceOnChanges),
        additional_secret_outputs=list(request.additionalSecretOutputs),
        aliases=[alias_of(item) for item in request.aliases] + [Alias(urn=urn) for urn in request.aliasURNs],
        import_id=request.importId,
        custom_timeouts=timeouts,
        retain_on_delete=request.retainOnDelete,
        deleted_with=request.deletedWith,
        replace_with=list(request.replace_with),
        replacement_trigger=(
            from_struct_value(request.replacement_trigger) if request.HasField("replacement_trigger") else None
        ),
        hide_diffs=list(request.hideDiffs),
        providers=dict(request.providers),
        hooks=bound(request.hooks),
    )


def from_struct_value(value: Any) -> Any:
    """One protobuf Value."""
    from google.protobuf import struct_pb2

    return from_struct(struct_pb2.Struct(fields={"it": value}))["it"]


def alias_of(message: Any) -> Alias:
    if message.WhichOneof("alias") == "urn":
        return Alias(urn=message.urn)
    spec = message.spec
    return Alias(
        name=spec.name,
        type=spec.type,
        project=spec.project,
        stack=spec.stack,
        parent=spec.parentUrn,
        no_parent=spec.noParent,
    )


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str, what: str) -> float:
    """A duration such as ``1h30m`` or ``45s``, in seconds. Raises EngineError naming ``what`` for anything else."""
    at, total = 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise EngineError(f"{what}: {text!r} is not a duration; write it like 30s, 5m or 1h30m")
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return total
