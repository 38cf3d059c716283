"""Properties as plain data: what a rule reads, whichever way they came.

Three ways lead here: the policy SDK's proxies (a Mapping or Sequence that raises on an unknown value, numbers as floats),
an exported state (secrets as ciphertexts) and plain Python. ``plain`` makes the same tree of dicts, lists and scalars of all
of them, in which two marks stand for what cannot be read: ``UNKNOWN`` (not known before the deployment has run) and
``SECRET`` (a ciphertext). Every reader below is total: a value of another shape is read as absent, never an exception.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

# The marks of Pulumi's wire format: sdk/go/common/resource/properties.go and plugin/rpc.go.
SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 a mark, no secret
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_TEXTS: Final = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_MAX_DEPTH: Final = 60  # deeper than any resource; a tree without an end must not end the run


class _Mark:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


UNKNOWN: Final = _Mark("unknown until the deployment has run")
SECRET: Final = _Mark("secret")


class Undecided(str):
    """What a check yields instead of a message where it met a value it cannot read; the text is the property's path."""

    __slots__ = ()


def violations(messages: Iterable[str]) -> Iterator[str]:
    """The messages of a check without what it left undecided."""
    return (message for message in messages if not isinstance(message, Undecided))


def opaque(value: object) -> bool:
    """Whether ``value`` is there but cannot be read."""
    return value is UNKNOWN or value is SECRET


def plain(value: Any, depth: int = 0) -> Any:
    """The plain tree of ``value``; what is of no JSON type (an asset) becomes UNKNOWN."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWN_TEXTS else value
    if value is None or isinstance(value, bool | int | float) or opaque(value):
        return value
    if depth > _MAX_DEPTH:
        return UNKNOWN
    if isinstance(value, Mapping):
        return _plain_mapping(_target(value), depth)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain(item, depth + 1) for item in _target(value)]
    if isinstance(value, set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return UNKNOWN


def _target(value: Any) -> Any:
    """What the SDK's proxy stands for, so that one unknown member does not hide the others; anything else as it is."""
    if isinstance(value, dict | list | tuple):
        return value
    try:
        inner = value["__target"]
    except Exception:  # noqa: BLE001 no proxy: any Mapping or Sequence may refuse the key in its own way
        return value
    return inner if isinstance(inner, dict | list) else value


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> Any:
    try:
        if value.get(SIGNATURE) == SECRET_SIGNATURE:
            return _plain_secret(value, depth)
        if value.get(SIGNATURE) == OUTPUT_SIGNATURE:
            return plain(value["value"], depth + 1) if "value" in value else UNKNOWN
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    except Exception:  # noqa: BLE001 a foreign Mapping that raises on access is one whose values are not known
        return UNKNOWN


def _plain_secret(value: Mapping[Any, Any], depth: int) -> Any:
    if "value" in value:
        return plain(value["value"], depth + 1)
    if isinstance(value.get("plaintext"), str):  # `pulumi stack export --show-secrets`: JSON in a string
        return plain(parsed(value["plaintext"]), depth + 1)
    return SECRET


def parsed(value: str) -> Any:
    """The JSON in ``value``, or None where it is none."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> dict[str, Any]:
    """``value`` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """``value`` as a list: a list as it is, nothing for None, else the value alone (as IAM's JSON allows)."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def texts(value: object) -> list[str]:
    """The strings of ``items(value)``."""
    return [item for item in items(value) if isinstance(item, str)]


def dig(value: object, *path: str) -> Any:
    """What lies at ``path``; None where it is absent, a mark where the way there is opaque."""
    for name in path:
        if opaque(value):
            return value
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: object) -> str:
    """``value`` where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def flag(value: object) -> bool | None:
    """A boolean, also as the text that Pulumi's providers and Helm take."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return None


def number(value: object) -> float | None:
    """A finite number, also as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(value: object) -> float | None:
    """Seconds of a Go duration ("1h30m", also "30d") or of a plain number of seconds."""
    if isinstance(value, str) and len(value) < 64 and _DURATION.fullmatch(value.strip()):
        return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(value))
    return number(value)


def walk(value: object, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every member of every object below ``value``: (path, key, member)."""
    if isinstance(value, dict):
        for key, member in value.items():
            place = f"{path}.{key}" if path else key
            yield place, key, member
            yield from walk(member, place)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from walk(member, f"{path}[{index}]")


def loopback(url: str) -> bool:
    """Whether ``url`` leads to this machine only."""
    found = re.match(r"[a-z]+://(?:\[([^\]]*)\]|([^/:?#]*))(?::\d*)?(?:[/?#]|$)", url, re.IGNORECASE)
    host = ((found.group(1) or found.group(2)) if found else "").lower()
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
