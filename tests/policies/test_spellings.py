"""One mistake in many spellings, what looks like it and is none, and what cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from policies.data import Undecided
from tests.policies import spellings_aws, spellings_kubernetes, spellings_vault
from tests.policies.kit import said_of, violations

PARTS = (spellings_aws, spellings_vault, spellings_kubernetes)


def named(table: str) -> list[Any]:
    """(rule, subject) of a table of all parts."""
    return [
        pytest.param(rule, subject, id=f"{rule}-{at}")
        for part in PARTS
        for rule, subjects in getattr(part, table).items()
        for at, subject in enumerate(subjects)
    ]


@pytest.mark.parametrize(("rule", "subject"), named("VIOLATES"))
def test_the_mistake_is_found_in_every_spelling(rule: str, subject: Any) -> None:
    assert violations(said_of(rule, subject))


@pytest.mark.parametrize(("rule", "subject"), named("COMPLIES"))
def test_what_only_looks_like_it_passes(rule: str, subject: Any) -> None:
    assert said_of(rule, subject) == []


@pytest.mark.parametrize(("rule", "subject"), named("OPEN"))
def test_what_cannot_be_read_is_left_open(rule: str, subject: Any) -> None:
    found = said_of(rule, subject)
    assert found
    assert all(isinstance(message, Undecided) for message in found)
