"""Property values, as the engine keeps them: plain data with ``Secret`` marks and the unknown sentinel.

    None, bool, int, float, str, list, dict     as in JSON
    Secret(value)                               a secret; the value may be any of these, also the sentinel
    UNKNOWN                                     the string that stands for what is known only after the run
    {SIGNATURE: ..., ...}                       assets, archives and resource references, as they travel

The same values travel as protobuf Structs (program), as PropertyValue (providers) and as JSON (state).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
from google.protobuf import struct_pb2
from pulumi.provider.experimental.property_value import Computed, PropertyValue, ResourceReference
from pulumi.runtime import rpc

UNKNOWN: str = rpc.UNKNOWN
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark, not a secret
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"

BLOT = "[secret]"
SHORTEST_SECRET = (
    4  # shorter texts occur everywhere ("1", "db"): blotting them out hides nothing and garbles everything
)

Properties = dict[str, Any]


class Secret:
    """A value that is shown nowhere and stored encrypted only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value: Any = value.value if isinstance(value, Secret) else value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash((Secret, repr(type(self.value))))

    def __repr__(self) -> str:
        return BLOT


def unwrap(value: Any) -> Any:
    """Without any secret marks, at every depth."""
    if isinstance(value, Secret):
        return unwrap(value.value)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value


def any_in(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether the test holds for the value or for anything in it."""
    if test(value):
        return True
    if isinstance(value, Secret):
        return any_in(value.value, test)
    if isinstance(value, dict):
        return any(any_in(item, test) for item in value.values())
    if isinstance(value, list):
        return any(any_in(item, test) for item in value)
    return False


def has_unknown(value: Any) -> bool:
    return any_in(value, lambda item: isinstance(item, str) and item == UNKNOWN)


def has_secret(value: Any) -> bool:
    return any_in(value, lambda item: isinstance(item, Secret))


def secrets_in(value: Any) -> Iterator[Any]:
    """The plain values of all secrets in the value."""
    if isinstance(value, Secret):
        yield unwrap(value.value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item)


def texts_in(value: Any) -> Iterator[str]:
    """The texts in a plain value that are long enough to be blotted out."""
    if isinstance(value, str):
        if len(value) >= SHORTEST_SECRET and value != UNKNOWN:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def copy_secrets(outputs: Properties, inputs: Mapping[str, Any]) -> None:
    """Mark in ``outputs`` what is secret in ``inputs`` under the same names (for a provider that takes no secrets)."""
    for key, given in inputs.items():
        if key not in outputs:
            continue
        got = outputs[key]
        if isinstance(got, dict) and isinstance(given, dict):
            copy_secrets(got, given)
        elif not isinstance(got, Secret) and has_secret(given):
            outputs[key] = Secret(got)


def number(value: float) -> int | float:
    """JSON's way: a whole number has no fraction."""
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


# -- protobuf -------------------------------------------------------------------------------------------------------


def from_struct(struct: Any) -> Properties:
    """A protobuf Struct's fields."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields:
            return _signed({key: _from_value(item) for key, item in fields.items()})
        return {key: _from_value(item) for key, item in fields.items()}
    if kind == "number_value":
        return number(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    return None


def _signed(fields: dict[str, Any]) -> Any:
    signature = fields[SIGNATURE]
    if signature == SECRET:
        return Secret(fields.get("value"))
    if signature == OUTPUT:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") else value
    if signature == ASSET and "hash" not in fields:
        fields["hash"] = _hash(fields)
    if signature == RESOURCE:  # an ID that is not known yet is empty, and so is a version that is not given
        fields.setdefault("packageVersion", "")
        if fields.get("id") == UNKNOWN:
            fields["id"] = ""
    return fields


def _hash(asset: Mapping[str, Any]) -> str:
    # What makes two assets differ; the content of a remote one is not looked at.
    if "text" in asset:
        return hashlib.sha256(asset["text"].encode()).hexdigest()
    if "path" in asset:
        try:
            return hashlib.sha256(Path(asset["path"]).read_bytes()).hexdigest()
        except OSError:
            return ""
    return ""


def to_struct(properties: Mapping[str, Any]) -> Any:
    """As a protobuf Struct, secrets marked, unknowns as the sentinel."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _into(struct.fields[key], value)
    return struct


def _into(target: Any, value: Any) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, Secret):
        fields = target.struct_value.fields
        fields[SIGNATURE].string_value = SECRET
        _into(fields["value"], value.value)
    elif isinstance(value, dict):
        fields = target.struct_value.fields
        target.struct_value.SetInParent()
        for key, item in value.items():
            if item or key != "packageVersion" or value.get(SIGNATURE) != RESOURCE:
                _into(fields[key], item)
    else:
        target.list_value.SetInParent()
        values = target.list_value.values
        for item in value:
            _into(values.add(), item)


# -- providers ------------------------------------------------------------------------------------------------------


def to_property(value: Any, *, secrets: bool = True) -> PropertyValue:
    """As the SDK's PropertyValue; without ``secrets`` the marks are left out."""
    if isinstance(value, Secret):
        inner = to_property(value.value, secrets=secrets)
        return PropertyValue(inner.value, is_secret=True) if secrets else inner
    if isinstance(value, dict):
        if SIGNATURE in value:
            return PropertyValue(_special(value))
        return PropertyValue({key: to_property(item, secrets=secrets) for key, item in value.items()})
    if isinstance(value, list):
        return PropertyValue([to_property(item, secrets=secrets) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def _special(fields: Mapping[str, Any]) -> Any:
    if fields[SIGNATURE] == RESOURCE:
        identifier = fields.get("id")
        return ResourceReference(
            fields["urn"],
            None if identifier is None else PropertyValue(identifier),
            fields.get("packageVersion") or None,
        )
    plain = {key: item for key, item in fields.items() if key != "hash"}
    struct = to_struct({"it": plain}).fields["it"]
    return PropertyValue.unmarshal(struct).value


def to_properties(values: Mapping[str, Any], *, secrets: bool = True) -> dict[str, PropertyValue]:
    return {key: to_property(value, secrets=secrets) for key, value in values.items()}


def from_property(value: PropertyValue) -> Any:
    """From the SDK's PropertyValue; dependencies are left out, ``Computed`` becomes the sentinel."""
    inner: Any = value.value
    if inner is None or isinstance(inner, str | bool):
        plain: Any = inner
    elif isinstance(inner, float):
        plain = number(inner)
    elif isinstance(inner, Mapping):
        plain = {key: from_property(item) for key, item in inner.items()}
    elif isinstance(inner, Computed):
        plain = UNKNOWN
    elif isinstance(inner, pulumi.Asset | pulumi.Archive | ResourceReference):
        plain = _from_value(PropertyValue(inner).marshal())
    else:
        plain = [from_property(item) for item in inner]
    return Secret(plain) if value.is_secret else plain


def from_properties(values: Mapping[str, PropertyValue] | None) -> Properties:
    return {key: from_property(value) for key, value in (values or {}).items()}


# -- for eyes -------------------------------------------------------------------------------------------------------


def shown(value: Any, blot: Callable[[str], str] = lambda text: text) -> Any:
    """For display: a secret is ``[secret]``, other texts pass through ``blot``."""
    if isinstance(value, Secret):
        return BLOT
    if isinstance(value, dict):
        return {key: shown(item, blot) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item, blot) for item in value]
    return blot(value) if isinstance(value, str) else value


class Redactor:
    """Blots out every secret's text that the engine has met."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._sorted: list[str] = []

    def learn(self, values: Any) -> None:
        """Remember the texts of all secrets in the value."""
        for secret in secrets_in(values):
            self.learn_texts(texts_in(secret))

    def learn_texts(self, texts: Iterable[str]) -> None:
        new = set(texts) - self._texts
        if new:
            self._texts |= new
            self._sorted = []

    def __call__(self, text: str) -> str:
        """The text with each secret blotted out, the longest first."""
        if not self._texts:
            return text
        if not self._sorted:
            self._sorted = sorted(self._texts, key=len, reverse=True)
        for secret in self._sorted:
            if secret in text:
                text = text.replace(secret, BLOT)
        return text
