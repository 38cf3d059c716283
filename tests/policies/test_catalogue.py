"""The registry and the page that is made of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies import catalogue
from policies.registry import BY_NAME, RULES, rules
from tests.policies.test_total import CANARY


def test_each_of_the_numbered_rules_is_there() -> None:
    assert set(range(1, 54)) <= {rule.number for rule in RULES}
    assert len(rules()) == len(BY_NAME) == len(RULES)


def test_each_rule_says_what_a_reader_needs() -> None:
    for rule in RULES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name), rule.name
        assert rule.source, rule.name
        assert rule.tags, rule.name
        assert rule.types, rule.name
        assert rule.remediation.endswith("."), rule.name
        assert rule.link.startswith("https://"), rule.name
        assert CANARY not in repr(rule)


def test_the_page_is_what_the_rules_say() -> None:
    assert catalogue.main(["--check"]) == 0, "run: python -m policies.catalogue"


def test_a_page_that_differs_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "policies.md"
    page.write_text(catalogue.page().replace("critical", "low"), encoding="utf-8")
    monkeypatch.setattr(catalogue, "PAGE", page)
    assert catalogue.main(["--check"]) == 1
    assert "python -m policies.catalogue" in capsys.readouterr().err


def test_every_rule_has_a_row() -> None:
    text = catalogue.page()
    assert all(f"| `{rule.name}` |" in text for rule in RULES)
