"""Property values: between the SDK's typed tree, with secret marks and unknowns, and ordinary Python data.

Unknowns arrive as the SDK's sentinel string (over gRPC) or as ``Computed`` (from an engine in the same process), and
leave as the sentinel: ``Computed`` cannot be sent, and raises when it is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN

Properties = dict[str, PropertyValue]

# Shorter texts occur everywhere ("1", "db"): blotting them out would garble every message and hide nothing.
SHORTEST_SECRET = 4
BLOT = "[secret]"


def is_unknown(value: PropertyValue | None) -> bool:
    """Whether the value itself is not known yet."""
    return value is not None and (isinstance(value.value, Computed) or value.value == UNKNOWN)


def has_unknown(value: Any) -> bool:
    """Whether plain data holds an unknown anywhere."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(item) for item in value)
    return isinstance(value, str) and value == UNKNOWN


def unknown(*, secret: bool = False) -> PropertyValue:
    """A value that is not known yet, in the form in which it can be sent."""
    return PropertyValue(UNKNOWN, is_secret=secret)


def plain(value: PropertyValue | None) -> Any:
    """As ordinary Python data: secrets in clear, unknowns as the sentinel, whole numbers as int."""
    if value is None:
        return None
    if is_unknown(value):
        return UNKNOWN
    inner = value.value
    if isinstance(inner, Mapping):
        return {key: plain(item) for key, item in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [plain(item) for item in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def plain_map(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """All properties as ordinary data; what is null counts as not given."""
    return {key: plain(value) for key, value in properties.items() if value.value is not None}


def wrap(value: Any, *, secret: bool = False) -> PropertyValue:
    """Ordinary data as a property value."""
    if isinstance(value, PropertyValue):
        return value.with_secret(True) if secret else value
    if isinstance(value, Mapping):
        return PropertyValue({str(key): wrap(item) for key, item in value.items()}, is_secret=secret)
    if isinstance(value, list | tuple):
        return PropertyValue([wrap(item) for item in value], is_secret=secret)
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value), is_secret=secret)
    return PropertyValue(value, is_secret=secret)


def wrap_map(values: Mapping[str, Any]) -> Properties:
    return {key: wrap(value) for key, value in values.items()}


def echo(value: PropertyValue) -> PropertyValue:
    """The same value and secret marks, without dependencies, unknowns in the form in which they can be sent."""
    if is_unknown(value):
        return unknown(secret=value.is_secret)
    inner = value.value
    if isinstance(inner, Mapping):
        return PropertyValue({key: echo(item) for key, item in inner.items()}, is_secret=value.is_secret)
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return PropertyValue([echo(item) for item in inner], is_secret=value.is_secret)
    return PropertyValue(inner, is_secret=value.is_secret)


def echo_map(properties: Mapping[str, PropertyValue]) -> Properties:
    """``echo`` of each property that is given."""
    return {key: echo(value) for key, value in properties.items() if value.value is not None}


def any_secret(value: PropertyValue) -> bool:
    """Whether anything in the value is marked secret."""
    return next(_secrets(value), None) is not None


def _secrets(value: PropertyValue) -> Iterator[PropertyValue]:
    if value.is_secret:
        yield value
    elif isinstance(value.value, Mapping):
        for item in value.value.values():
            yield from _secrets(item)
    elif isinstance(value.value, Sequence) and not isinstance(value.value, str):
        for item in value.value:
            yield from _secrets(item)


def marked_like(new: PropertyValue, old: PropertyValue | None) -> PropertyValue:
    """``new`` with the secret marks that ``old`` has at the same places; a list with any secret is secret as a whole."""
    if old is None:
        return new
    if old.is_secret:
        return new.with_secret(True)
    if isinstance(new.value, Mapping) and isinstance(old.value, Mapping):
        inner = {key: marked_like(item, old.value.get(key)) for key, item in new.value.items()}
        return PropertyValue(inner, is_secret=new.is_secret)
    if isinstance(new.value, Sequence) and not isinstance(new.value, str) and any_secret(old):
        return new.with_secret(True)
    return new


def secret_texts(values: Iterable[PropertyValue]) -> set[str]:
    """Every text that is marked secret, for ``redact``."""
    found: set[str] = set()

    def collect(data: Any) -> None:
        if isinstance(data, Mapping):
            for item in data.values():
                collect(item)
        elif isinstance(data, list):
            for item in data:
                collect(item)
        elif isinstance(data, str) and data != UNKNOWN and len(data) >= SHORTEST_SECRET:
            found.add(data)

    for value in values:
        for secret in _secrets(value):
            collect(plain(secret))
    return found


def redact(text: str, secrets: Iterable[str]) -> str:
    """``text`` with each secret blotted out, the longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, BLOT)
    return text
