"""The exceptions file, and what an exception does to a finding."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from policies import suppressions
from policies.configuration import Configuration
from policies.data import UNKNOWN
from policies.errors import SuppressionError
from policies.evaluate import Evaluation
from policies.registry import BY_NAME
from policies.rule import Resource
from policies.suppressions import Suppression
from tests.policies.rules import ALONE, BROKEN, LID, RULES, TYPE, URN

TODAY = datetime.date(2026, 11, 24)
NAMES = [rule.name for rule in RULES]
ENTRY = """\
exceptions:
  - rule: box-size
    resource: "urn:pulumi:dev::*::test:index:Box::b*"
    reason: it is empty
    until: 2026-11-24
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "exceptions.yaml"
    file.write_text(text)
    return file


def evaluation(*exceptions: Suppression, today: datetime.date = TODAY) -> Evaluation:
    return Evaluation(RULES, Configuration(RULES, {"box-size": "mandatory"}), exceptions, today)


def exception(rule: str = "box-size", resource: str = URN, until: datetime.date = TODAY) -> Suppression:
    return Suppression(rule, resource, "it is empty", until)


def box(**props: object) -> Resource:
    return Resource(urn=URN, type=TYPE, props=props)


def test_an_exception_is_read(tmp_path: Path) -> None:
    (found,) = suppressions.load(write(tmp_path, ENTRY), NAMES)
    assert found == Suppression("box-size", "urn:pulumi:dev::*::test:index:Box::b*", "it is empty", TODAY)
    assert found.covers("box-size", URN)
    assert not found.covers("box-lid", URN)
    assert not found.covers("box-size", URN.replace("dev", "production"))


@pytest.mark.parametrize("text", ["", "exceptions: []\n", "exceptions:\n"])
def test_no_exceptions_are_fine(tmp_path: Path, text: str) -> None:
    assert suppressions.load(write(tmp_path, text), NAMES) == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("exceptions:", "exception:", "exception: unknown key; did you mean exceptions?"),
        ("rule:", "rules:", "exceptions[0]: rules: unknown key; did you mean rule?"),
        ("box-size", "box-sise", "exceptions[0]: rule: box-sise: there is no such rule; did you mean box-size?"),
        ("    reason: it is empty\n", "", "exceptions[0]: reason: missing"),
        ("it is empty", "' '", "exceptions[0]: reason: expected a sentence"),
        ("2026-11-24", "soon", "exceptions[0]: until: 'soon': expected a date such as 2027-03-31"),
        ("2026-11-24", "2026-11-24 12:00:00", "expected a date"),
        ("::b*", "::*", "names every resource"),
        ("urn:pulumi:", "", "expected a URN that begins with urn:pulumi:"),
        ("  - rule: box-size", "  - 3\n  - rule: box-size", "exceptions[0]: expected a mapping"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, before: str, after: str, expected: str) -> None:
    file = write(tmp_path, ENTRY.replace(before, after))
    with pytest.raises(SuppressionError) as refused:
        suppressions.load(file, NAMES)
    assert str(refused.value).startswith(str(file))
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "text", ["[", "[" * 100_000, "exceptions: 2027-02-30\n", "- a\n", "exceptions: {}\nother: 1\n", None]
)
def test_what_is_no_exceptions_file_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "exceptions.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SuppressionError, match=r"exceptions\.yaml"):
        suppressions.load(file, NAMES)


def test_an_exceptions_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SuppressionError, match=r"exceptions\.yaml: expected YAML"):
        suppressions.load(file, NAMES)


def test_a_glob_takes_brackets_as_they_are() -> None:
    found = exception(resource="urn:pulumi:dev::p::t::a[1]*")
    assert found.covers_urn("urn:pulumi:dev::p::t::a[1]-x")
    assert not found.covers_urn("urn:pulumi:dev::p::t::a1-x")


def test_an_accepted_violation_is_shown_and_does_not_fail() -> None:
    (found,) = evaluation(exception()).resource(box(size=20))
    assert found.suppression == exception()
    assert not found.fails


def test_an_exception_holds_on_its_last_day_and_not_on_the_next() -> None:
    next_day = TODAY + datetime.timedelta(days=1)
    last, after = evaluation(exception()), evaluation(exception(), today=next_day)
    assert last.ended == []
    assert [item.fails for item in last.resource(box(size=20))] == [False]
    assert after.ended == [exception()]
    assert [item.fails for item in after.resource(box(size=20))] == [True]


def test_an_exception_is_for_its_rule_only() -> None:
    found = list(evaluation(exception()).resource(box(size=20, open=True)))
    assert {item.rule.name: item.fails for item in found} == {"box-size": False, "box-lid": True}


def test_an_exception_that_nothing_needs_is_told() -> None:
    used, unused = exception(), exception(rule="box-lid")
    found = evaluation(used, unused)
    here = box(size=20)
    assert found.unused(list(found.resource(here)), [here]) == [unused]


def test_a_stack_rules_violation_can_be_accepted() -> None:
    resource = box(lonely=True)
    (found,) = evaluation(exception(rule="box-company")).stack([resource])
    assert found.rule is ALONE
    assert not found.fails


def test_what_cannot_be_read_is_undecided_and_does_not_fail() -> None:
    (found,) = evaluation().resource(box(size=UNKNOWN))
    assert found.undecided
    assert not found.fails


def test_a_rule_that_breaks_is_a_violation_without_the_value() -> None:
    rules = (BROKEN, LID)
    found = list(Evaluation(rules, Configuration(rules)).resource(box(value="hush-hush", open=True)))
    assert "the rule itself failed (KeyError)" in found[0].message
    assert "hush-hush" not in found[0].message
    assert len(found) == 2, "the other rules are still asked"


def test_a_disabled_rule_says_nothing() -> None:
    off = Evaluation(RULES, Configuration(RULES, {"all": "disabled"}))
    assert list(off.resource(box(size=20, open=True))) == []
    assert list(off.stack([box(lonely=True)])) == []


def test_the_projects_own_file_is_good_and_empty() -> None:
    assert suppressions.load(suppressions.FILE, BY_NAME) == ()
