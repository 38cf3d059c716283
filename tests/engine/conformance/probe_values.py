"""The probe's property values: between the SDK's typed tree, with secret marks and unknowns, and ordinary Python data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN

Properties = dict[str, PropertyValue]


def is_unknown(value: Optional[PropertyValue]) -> bool:
    """An unknown arrives as the SDK's sentinel string over gRPC, or as Computed from an engine in the same process.

    (Computed is asked for first: the SDK's Computed raises when it is compared with anything.)
    """
    return value is not None and (isinstance(value.value, Computed) or value.value == UNKNOWN)


def unknown() -> PropertyValue:
    return PropertyValue(UNKNOWN)


def plain(value: Optional[PropertyValue]) -> Any:
    """As ordinary Python data, secrets in clear; whole numbers become int."""
    if value is None or is_unknown(value):
        return None if value is None else UNKNOWN
    inner = value.value
    if isinstance(inner, Mapping):
        return {k: plain(v) for k, v in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [plain(v) for v in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def wrap(value: Any) -> PropertyValue:
    if isinstance(value, Mapping):
        return PropertyValue({k: wrap(v) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return PropertyValue([wrap(v) for v in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def echo(value: PropertyValue) -> PropertyValue:
    """The same value and secretness without the dependencies; an unknown in the form that can be sent back."""
    if is_unknown(value):
        return PropertyValue(UNKNOWN, is_secret=value.is_secret)
    inner = value.value
    if isinstance(inner, Mapping):
        return PropertyValue({k: echo(v) for k, v in inner.items()}, is_secret=value.is_secret)
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return PropertyValue([echo(v) for v in inner], is_secret=value.is_secret)
    return PropertyValue(inner, is_secret=value.is_secret)


def marked_like(new: PropertyValue, old: Optional[PropertyValue]) -> PropertyValue:
    """``new`` with the secret marks that ``old`` has at the same places."""
    if old is None:
        return new
    inner = new.value
    if isinstance(inner, Mapping) and isinstance(old.value, Mapping):
        inner = {k: marked_like(v, old.value.get(k)) for k, v in inner.items()}
    return PropertyValue(inner, is_secret=old.is_secret)
