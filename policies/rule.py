"""What a rule is: its check over plain data, and all that a reader of its message needs to know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from policies.data import duration, number, plain

Props = Mapping[str, Any]


class Severity(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Level(StrEnum):
    """What a violation does; the words are Pulumi's."""

    DISABLED = "disabled"
    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    REMEDIATE = "remediate"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource as the rules see it."""

    urn: str
    type: str
    props: Props  # inputs before a step; outputs in a stack rule
    inputs: Props = field(default_factory=dict)  # in a stack rule, what the program asked for, where it is known
    depends: Mapping[str, Sequence[str]] = field(default_factory=dict)  # property -> URNs that it is made of

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]

    @property
    def asked(self) -> Props:
        """What the program asked for; the outputs where that is not known."""
        return self.inputs or self.props

    def refers(self, prop: str, other: Resource, *keys: str) -> bool:
        """Whether ``prop`` leads to ``other``: it is made of its outputs, or equals one of them."""
        if other.urn in self.depends.get(prop, ()):
            return True
        value = self.asked.get(prop, self.props.get(prop))
        return isinstance(value, str) and any(
            value == source.get(key) for source in (other.props, other.inputs) for key in keys
        )


def root(resources: Sequence[Resource]) -> str:
    """The URN of the stack's root, to which belongs what is said of the whole stack; empty where there is no resource."""
    for resource in resources:
        head, _, rest = resource.urn.partition("::")
        project = rest.partition("::")[0]
        return f"{head}::{project}::pulumi:pulumi:Stack::{project}-{head.rpartition(':')[2]}"
    return ""


@dataclass(frozen=True)
class Option:
    """A rule's setting: its default and its JSON schema, which both engines and the state checker hold it to."""

    default: Any
    schema: Mapping[str, Any]
    meaning: str

    def json_schema(self) -> dict[str, Any]:
        return {**self.schema, "default": self.default, "description": self.meaning}


def ttl(default: str, meaning: str) -> Option:
    """A duration such as "1h30m"."""
    return Option(default, {"type": "string", "pattern": r"^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$"}, meaning)


def amount(default: int, meaning: str) -> Option:
    return Option(default, {"type": "number", "minimum": 0}, meaning)


def switch(default: bool, meaning: str) -> Option:
    return Option(default, {"type": "boolean"}, meaning)


def names(default: Sequence[str], meaning: str) -> Option:
    """A list of strings."""
    return Option(list(default), {"type": "array", "items": {"type": "string"}}, meaning)


class Options:
    """A rule's settings as its check reads them. A value of the wrong shape is read as the default: checks are total."""

    __slots__ = ("_declared", "_given")

    def __init__(self, declared: Mapping[str, Option], given: Mapping[str, Any] | None = None) -> None:
        self._declared = declared
        self._given = plain(given) if given else {}

    def seconds(self, name: str) -> float:
        found = duration(self._given.get(name))
        return found if found is not None else duration(self._declared[name].default) or 0.0

    def number(self, name: str) -> float:
        found = number(self._given.get(name))
        return found if found is not None else float(self._declared[name].default)

    def switch(self, name: str) -> bool:
        found = self._given.get(name)
        return found if isinstance(found, bool) else bool(self._declared[name].default)

    def names(self, name: str) -> list[str]:
        found = self._given.get(name)
        if not isinstance(found, list):
            found = self._declared[name].default
        return [item for item in found if isinstance(item, str)]


Check = Callable[[Props, Options], Iterable[str]]
StackCheck = Callable[[Sequence[Resource], Options], Iterable[tuple[str, str]]]  # (URN, message); "" is the whole stack
Remedy = Callable[[Props, Options], Mapping[str, Any]]  # properties to set, empty where nothing is to be done


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule. Exactly one of ``check`` (a resource's inputs) and ``check_stack`` (the whole stack) is given."""

    number: int
    name: str  # stable: configuration and exceptions name it
    title: str
    severity: Severity
    source: tuple[str, ...]  # rules of other catalogues that ask for the same, or NEW
    tags: tuple[str, ...]
    types: tuple[str, ...]  # resource types, with fnmatch's wildcards
    remediation: str
    link: str
    check: Check | None = None
    check_stack: StackCheck | None = None
    remedy: Remedy | None = None
    options: Mapping[str, Option] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.check is None) == (self.check_stack is None):
            raise ValueError(f"rule {self.name}: give check or check_stack, not both")

    @property
    def level(self) -> Level:
        """The level without configuration: what opens a secret to others stops a deployment."""
        return Level.MANDATORY if self.severity in (Severity.CRITICAL, Severity.HIGH) else Level.ADVISORY

    def applies(self, resource_type: str) -> bool:
        return _matches(self.types, resource_type)

    def with_options(self, given: Mapping[str, Any] | None = None) -> Options:
        return Options(self.options, given)


@lru_cache(maxsize=65536)
def _matches(patterns: tuple[str, ...], resource_type: str) -> bool:
    return any(fnmatchcase(resource_type, pattern) for pattern in patterns)
