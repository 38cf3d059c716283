"""Cases of rules: what violates, what complies, what cannot be decided yet, and what was found in the wild."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from policies.data import UNKNOWN, Undecided, plain
from policies.registry import BY_NAME
from policies.rule import Resource, Rule

Stack = Sequence[Resource]
__all__ = ["UNKNOWN", "Case", "Stack", "resource", "said"]


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

    @property
    def found(self) -> Rule:
        return BY_NAME[self.rule]


def said(case: Case, subject: Any, options: Mapping[str, Any] | None = None) -> list[str]:
    """What the rule says of properties or of a stack."""
    rule = case.found
    settings = rule.with_options(options)
    if rule.check is not None:
        return list(rule.check(plain(subject), settings))
    assert rule.check_stack is not None
    return [message for _, message in rule.check_stack(subject, settings)]


def violations(messages: Iterable[str]) -> list[str]:
    return [message for message in messages if not isinstance(message, Undecided)]


def said_of(rule: str, subject: Any, options: Mapping[str, Any] | None = None) -> list[str]:
    """What the rule of that name says of properties or of a stack."""
    return said(Case(rule=rule, bad=None, good=None, unknown=None, wild=None, source=""), subject, options)


def named(table: Mapping[str, Sequence[Any]]) -> list[Any]:
    """(rule, subject) of a table by rule, for pytest."""
    return [
        pytest.param(rule, subject, id=f"{rule}-{at}")
        for rule, subjects in table.items()
        for at, subject in enumerate(subjects)
    ]
