"""Every rule on its own: what it catches, what it lets pass, what it leaves open, what it would have caught in the wild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from policies.data import Undecided
from policies.registry import RULES
from tests.policies import cases_aws, cases_kubernetes, cases_vault
from tests.policies.kit import Case, said, violations

CASES = (*cases_aws.CASES, *cases_vault.CASES, *cases_kubernetes.CASES)
# Whether something is there at all is known at preview; their cases with an unknown value are among the others.
PRESENCE_IS_ENOUGH = {"secret-customer-key", "secret-value-in-state", "secret-rotation", "role-policies-conflict"}
each = pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])


def _all(first: Any, more: Sequence[Any]) -> list[Any]:
    return [first, *more]


@each
def test_a_violation_is_found(case: Case) -> None:
    for subject in _all(case.bad, case.more_bad):
        assert violations(said(case, subject)), subject


@each
def test_what_complies_passes(case: Case) -> None:
    for subject in _all(case.good, case.more_good):
        assert said(case, subject) == [], subject


@each
def test_an_unknown_value_is_left_open_or_is_enough(case: Case) -> None:
    if case.unknown is None:
        assert case.rule in PRESENCE_IS_ENOUGH
        return
    messages = said(case, case.unknown)
    if case.rule == "raw-secret":  # a value is there, whatever it is
        assert violations(messages)
    else:
        assert messages
        assert all(isinstance(message, Undecided) for message in messages), messages


@each
def test_what_was_found_in_the_wild_is_caught(case: Case) -> None:
    assert case.source
    assert violations(said(case, case.wild))


def test_every_rule_has_its_cases() -> None:
    assert {case.rule for case in CASES} == {rule.name for rule in RULES}
    assert len(CASES) == len(RULES)
