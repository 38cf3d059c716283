"""Whole stacks through the engine and the pack's own process: one that breaks every rule, the project's origin, our own."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import pytest

from policies.registry import BY_NAME, RULES
from sandbox.policy import Report, check

ROOT = Path(__file__).resolve().parent.parent.parent
BAD = Path(__file__).resolve().parent / "violating_program"
SEED = Path(__file__).resolve().parent / "seed_program"


def caught(report: Report) -> dict[str, set[str]]:
    """Resource name -> the rules that it violates."""
    found: dict[str, set[str]] = {}
    for item in report.violations:
        if not item.undecided:
            found.setdefault(item.urn.rpartition("::")[2], set()).add(item.policy)
    return found


def lines(report: Report) -> str:
    """One line a violation, in a fixed order."""
    made = []
    for item in report.violations:
        if not item.undecided:
            number = BY_NAME[item.policy].number
            place = item.urn.rpartition("::")[2]
            why = item.message.rpartition("\n")[2]
            made.append((number, item.policy, place, f"{number:>2} {item.level:<9} {item.policy:<34} {place}: {why}"))
    return "".join(f"{line}\n" for *_, line in sorted(made))


@pytest.fixture(scope="module")
def bad() -> Report:
    return check("test", program=BAD, pack=ROOT / "policies")


def test_the_violating_stacks_report_is_the_golden_one(bad: Report) -> None:
    golden = BAD / "report.txt"
    text = lines(bad)
    if os.environ.get("STRONGROOM_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    assert text == expected, "\n".join(difflib.unified_diff(expected.splitlines(), text.splitlines(), lineterm=""))


def test_the_violating_stack_breaks_every_rule_and_is_refused(bad: Report) -> None:
    assert not bad.errors
    assert not bad.ok
    broken = {item.policy for item in bad.violations if not item.undecided}
    assert {rule.name for rule in RULES} - broken == set()


def test_the_violating_stacks_report_shows_no_value(bad: Report) -> None:
    text = "\n".join(f"{item.message} {item.description}" for item in bad.violations)
    assert "hunter2" not in text
    assert "vault.example.com" not in text


def test_what_the_project_started_from_is_caught_by_the_right_rules() -> None:
    report = check("test", program=SEED, pack=ROOT / "policies")
    assert not report.errors
    assert not report.ok
    found = caught(report)
    assert found["eso"] == {"irsa-trust-audience"}
    assert found["store"] == {"vault-kubernetes-audience", "external-secrets-api-version"}
    assert found["pair"] == {
        "external-secret-one-lease",
        "external-secrets-api-version",
        "external-secret-prefix",
    }


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_our_own_stack_passes_without_a_suppression(environment: str) -> None:
    report = check(environment)
    assert not report.errors
    assert {(item.policy, item.urn) for item in report.violations if not item.undecided} == set()
