"""The stack's state: Pulumi's deployment, version 3, in the wrapping of ``pulumi stack export``.

    {"version": 3, "deployment": {"manifest": ..., "secrets_providers": ..., "resources": [...],
                                  "pending_operations": [...]}}

Secrets are encrypted from the first byte; a secret that did not change keeps its ciphertext.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sandbox.engine import urns
from sandbox.engine.errors import StateError
from sandbox.engine.secrets import Crypter
from sandbox.engine.values import SECRET, SIGNATURE, Properties, Secret

VERSION = 3
ENGINE_VERSION = "v3.260.0"  # of the engine whose behaviour and format this one follows
_MAGIC = hashlib.sha256(ENGINE_VERSION.encode()).hexdigest()  # what `pulumi stack import` checks the version with


@dataclass(slots=True, eq=False)
class Resource:
    """One resource of the state. Identity is the object: a URN may have an old and a new one."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    parent: str = ""
    provider: str = ""  # a reference, URN::ID
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    delete: bool = False  # replaced, and its deletion is still to come
    external: bool = False  # read, never managed
    protect: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    replacement_trigger: Any = None
    pending_replacement: bool = False  # deleted, and its replacement is still to come
    init_errors: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    hide_diffs: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)  # create, update, delete: seconds
    import_id: str = ""
    hooks: dict[str, list[str]] = field(default_factory=dict)  # names by kind (BeforeCreate, ...)
    aliases: list[str] = field(default_factory=list)  # its URN before this run; not kept
    created: str = ""
    modified: str = ""
    other: dict[str, Any] = field(default_factory=dict)  # fields of newer engines, kept as they are

    @property
    def provider_urn(self) -> str:
        return urns.split_reference(self.provider)[0] if self.provider else ""

    @property
    def is_provider(self) -> bool:
        return urns.is_provider(self.type)

    def needs(self) -> list[str]:
        """The URNs that must exist while this resource does."""
        found = [self.parent, self.provider_urn, self.deleted_with, *self.dependencies, *self.replace_with]
        for listed in self.property_dependencies.values():
            found += listed
        return [urn for urn in dict.fromkeys(found) if urn]


_NAMES = {
    "property_dependencies": "propertyDependencies",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "replace_with": "replaceWith",
    "replacement_trigger": "replacementTrigger",
    "pending_replacement": "pendingReplacement",
    "init_errors": "initErrors",
    "additional_secret_outputs": "additionalSecretOutputs",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "hide_diffs": "hideDiff",
    "custom_timeouts": "customTimeouts",
    "import_id": "importID",
    "hooks": "resourceHooks",
}
_FIELDS = [(item.name, _NAMES.get(item.name, item.name)) for item in fields(Resource) if item.name != "other"]
_KNOWN = {json_name for _, json_name in _FIELDS} | {"sourcePosition", "stackTrace"}
_ALWAYS = {"urn", "custom", "type"}
_VALUES = {"inputs", "outputs", "replacement_trigger"}


class Codec:
    """Resources to and from JSON, secrets encrypted by one Crypter."""

    def __init__(self, crypter: Crypter) -> None:
        self.crypter = crypter
        self._ciphertexts: dict[tuple[str, str], str] = {}  # (URN, plaintext JSON): an unchanged secret stays as it is

    def dump(self, resource: Resource) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, json_name in _FIELDS:
            value = getattr(resource, name)
            if not value and name not in _ALWAYS:
                continue
            result[json_name] = self._dump_value(resource.urn, value) if name in _VALUES else value
        result.update(resource.other)
        return result

    def _dump_value(self, urn: str, value: Any) -> Any:
        if isinstance(value, Secret):
            plaintext = json.dumps(self._dump_value(urn, value.value), separators=(",", ":"), sort_keys=True)
            key = (urn, plaintext)
            if key not in self._ciphertexts:
                self._ciphertexts[key] = self.crypter.encrypt(plaintext)
            return {SIGNATURE: SECRET, "ciphertext": self._ciphertexts[key]}
        if isinstance(value, dict):
            return {key: self._dump_value(urn, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._dump_value(urn, item) for item in value]
        return value

    def load(self, data: Mapping[str, Any]) -> Resource:
        urn = data["urn"]
        given: dict[str, Any] = {}
        for name, json_name in _FIELDS:
            if json_name in data and data[json_name] is not None:
                value = data[json_name]
                given[name] = self._load_value(urn, value) if name in _VALUES else value
        given.setdefault("custom", False)
        given.setdefault("type", urns.type_of(urn))
        given["other"] = {key: value for key, value in data.items() if key not in _KNOWN}
        return Resource(**given)

    def _load_value(self, urn: str, value: Any) -> Any:
        if isinstance(value, dict):
            if value.get(SIGNATURE) == SECRET:
                if "plaintext" in value:
                    return Secret(self._load_value(urn, json.loads(value["plaintext"])))
                plaintext = self.crypter.decrypt(value["ciphertext"])
                self._ciphertexts[(urn, plaintext)] = value["ciphertext"]
                return Secret(self._load_value(urn, json.loads(plaintext)))
            return {key: self._load_value(urn, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._load_value(urn, item) for item in value]
        return value


@dataclass(slots=True)
class Pending:
    """An operation that had begun and whose end is not known: ``creating``, ``updating``, ``deleting``, ..."""

    resource: Resource
    type: str


@dataclass(slots=True)
class Snapshot:
    """All that is known of a stack."""

    resources: list[Resource] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)


def now() -> str:
    """The time as Pulumi writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_document(path: Path) -> dict[str, Any]:
    """The state file's JSON; that of an empty stack where there is no file. Raises StateError for anything else."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {"version": VERSION, "deployment": {}}
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{path}: cannot read the state: {error}") from error
    try:
        document = json.loads(text) if text.strip() else {"version": VERSION, "deployment": {}}
    except json.JSONDecodeError as error:
        raise StateError(f"{path}: the state is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("deployment"), dict | None):
        raise StateError(
            f"{path}: not a state: expected an object with version and deployment, as `pulumi stack export` writes"
        )
    if document.get("version") != VERSION:
        raise StateError(
            f"{path}: the state has version {document.get('version')!r}; this engine reads version {VERSION}, "
            "as `pulumi stack export` writes"
        )
    return document


def crypter_of(document: Mapping[str, Any], passphrase: str | None, path: Path) -> Crypter:
    """The Crypter of a state document. Raises StateError for another secrets provider than passphrase."""
    provider = (document.get("deployment") or {}).get("secrets_providers") or {}
    kind = provider.get("type", "passphrase")
    if kind != "passphrase":
        raise StateError(
            f"{path}: its secrets provider is {kind!r}; this engine has passphrase only: export it with "
            "`pulumi stack change-secrets-provider passphrase` done first"
        )
    return Crypter(passphrase, (provider.get("state") or {}).get("salt"), where=str(path))


def load(document: Mapping[str, Any], codec: Codec) -> Snapshot:
    """What a state document holds. Raises StateError, naming the entry, for one that is no resource."""
    deployment = document.get("deployment") or {}
    resources = [_loaded(item, codec, f"resources[{at}]") for at, item in _entries(deployment, "resources")]
    pending = []
    for at, item in _entries(deployment, "pending_operations"):
        where = f"pending_operations[{at}]"
        operation = item if isinstance(item, dict) else {}
        pending.append(Pending(_loaded(operation.get("resource"), codec, where), str(operation.get("type"))))
    return Snapshot(resources, pending)


def _entries(deployment: Mapping[str, Any], key: str) -> Iterable[tuple[int, Any]]:
    listed = deployment.get(key) or []
    if not isinstance(listed, list):
        raise StateError(f"the state is damaged: {key}: expected a list")
    return enumerate(listed)


_SHAPES: dict[str, type] = {
    **dict.fromkeys(("urn", "type", "id", "parent", "provider"), str),
    **dict.fromkeys(("inputs", "outputs", "propertyDependencies"), dict),
    "dependencies": list,
}


def _loaded(data: Any, codec: Codec, where: str) -> Resource:
    if not isinstance(data, dict) or len(str(data.get("urn", "")).split("::", 3)) != 4:
        raise StateError(
            f"the state is damaged: {where}: expected an object with a urn (urn:pulumi:STACK::PROJECT::TYPE::NAME)"
        )
    for key, shape in _SHAPES.items():
        if not isinstance(data.get(key), shape | None):
            wanted = {"str": "a text", "dict": "an object", "list": "a list"}[shape.__name__]
            raise StateError(f"the state is damaged: {where} ({data['urn']}): {key}: expected {wanted}")
    return codec.load(data)


def renamed(resources: Sequence[Resource]) -> list[Resource]:
    """The resources with every mention of an earlier URN made the present one.

    It matters where a run ends early: then the state still has children, dependents and replaced ones of what has been renamed.
    """
    now_called: dict[str, str] = {}
    for resource in in_order(resources):
        now_called.update(dict.fromkeys(resource.aliases, resource.urn))
        parent = now_called.get(resource.parent, "")
        if parent and urns.type_of(parent) != urns.STACK_TYPE:
            now_called[resource.urn] = urns.moved(resource.urn, parent)
    return [_renamed(resource, now_called) for resource in resources] if now_called else list(resources)


def _renamed(resource: Resource, now_called: Mapping[str, str]) -> Resource:
    def fix(urn: str) -> str:
        return now_called.get(urn, urn)

    provider_urn, identifier = urns.split_reference(resource.provider) if resource.provider else ("", "")
    return replace(
        resource,
        urn=fix(resource.urn),
        parent=fix(resource.parent),
        provider=f"{fix(provider_urn)}::{identifier}" if provider_urn else "",
        dependencies=[fix(urn) for urn in resource.dependencies],
        property_dependencies={
            key: [fix(urn) for urn in listed] for key, listed in resource.property_dependencies.items()
        },
        deleted_with=fix(resource.deleted_with),
        replace_with=[fix(urn) for urn in resource.replace_with],
        aliases=[],
    )


def dump(snapshot: Snapshot, codec: Codec) -> dict[str, Any]:
    """The state document of a snapshot, resources in an order that other engines accept."""
    resources = [codec.dump(resource) for resource in in_order(renamed(snapshot.resources))]
    pending = [{"resource": codec.dump(item.resource), "type": item.type} for item in snapshot.pending]
    deployment: dict[str, Any] = {
        "manifest": {"time": now(), "magic": _MAGIC, "version": ENGINE_VERSION},
    }
    if codec.crypter.used:
        deployment["secrets_providers"] = {"type": "passphrase", "state": {"salt": codec.crypter.salt}}
    deployment["resources"] = resources
    if pending:
        deployment["pending_operations"] = pending
    deployment["metadata"] = {}
    return {"version": VERSION, "deployment": deployment}


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Replace the state file at once: after a crash it holds the old state or the new, never a part."""
    temporary = path.with_name(path.name + ".part")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_order(resources: Sequence[Resource]) -> list[Resource]:
    """The resources, each after its parent, provider and dependencies, otherwise in the given order."""
    by_urn: dict[str, list[Resource]] = {}
    for resource in resources:
        by_urn.setdefault(resource.urn, []).append(resource)
    placed: set[int] = set()
    result: list[Resource] = []

    def needs(resource: Resource) -> Iterable[Resource]:
        for urn in resource.needs():
            for other in by_urn.get(urn, ()):
                if other is not resource and (resource.delete or not other.delete):
                    yield other

    for first in resources:
        stack = [(first, iter(needs(first)))]
        entered = {id(first)}
        while stack:
            resource, rest = stack[-1]
            if id(resource) in placed:
                stack.pop()
                continue
            for other in rest:
                if id(other) not in placed and id(other) not in entered:
                    entered.add(id(other))
                    stack.append((other, iter(needs(other))))
                    break
            else:
                placed.add(id(resource))
                result.append(resource)
                stack.pop()
    return result
