"""The page that is made of the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies import catalogue
from policies.registry import RULES


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
