"""Cases of rules: what violates, what complies, what cannot be decided yet, and what was found in the wild."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies import data
from policies.data import UNKNOWN, plain
from policies.registry import BY_NAME
from policies.rule import Resource

Stack = Sequence[Resource]
__all__ = ["UNKNOWN", "Case", "Stack", "resource", "said", "said_of", "violations"]


def resource(kind: str, name: str, props: Mapping[str, Any], **more: Any) -> Resource:
    """A resource with inputs, as a stack rule sees it: its outputs are what was asked for."""
    urn = f"urn:pulumi:test::strongroom::{kind}::{name}"
    return Resource(urn=urn, type=kind, props=dict(props), inputs=dict(props), **more)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule's cases: properties of its first type, or whole stacks."""

    rule: str
    bad: Any
    good: Any
    unknown: Any
    wild: Any
    source: str  # where the wild one is the default, or stands in an example
    kind: str = ""  # the type, where it is not the rule's first
    more_bad: Sequence[Any] = field(default_factory=tuple)
    more_good: Sequence[Any] = field(default_factory=tuple)


def said(case: Case, subject: Any, options: Mapping[str, Any] | None = None) -> list[str]:
    return said_of(case.rule, subject, options)


def said_of(name: str, subject: Any, options: Mapping[str, Any] | None = None) -> list[str]:
    """What the rule says of properties or of a stack."""
    rule = BY_NAME[name]
    settings = rule.with_options(options)
    if rule.check is not None:
        return list(rule.check(plain(subject), settings))
    assert rule.check_stack is not None
    return [message for _, message in rule.check_stack(subject, settings)]


def violations(messages: Iterable[str]) -> list[str]:
    return list(data.violations(messages))
