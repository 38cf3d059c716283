"""Configuration of the rules: levels, settings, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import configuration
from policies.configuration import FOLDER, Configuration
from policies.errors import ConfigurationError
from policies.registry import RULES as ALL_RULES
from policies.rule import Level
from tests.policies.rules import ALONE, LID, RULES, SIZE


def test_without_a_file_a_rule_has_its_own_level_and_defaults() -> None:
    found = Configuration.load(RULES, None)
    assert found.level(SIZE) is Level.ADVISORY
    assert found.level(LID) is Level.MANDATORY
    assert found.options(SIZE).number("limit") == 10


def test_a_level_or_an_object_configures_a_rule() -> None:
    found = Configuration(RULES, {"box-lid": "remediate", "box-size": {"enforcementLevel": "mandatory", "limit": 3}})
    assert found.level(LID) is Level.REMEDIATE
    assert found.level(SIZE) is Level.MANDATORY
    assert found.options(SIZE).number("limit") == 3
    assert found.options(SIZE).names("colours") == ["red"]


def test_all_is_the_level_of_every_rule_that_is_not_given_one() -> None:
    found = Configuration(RULES, {"all": "disabled", "box-size": {"limit": 3}, "box-lid": "advisory"})
    assert [found.level(rule) for rule in RULES] == [Level.DISABLED, Level.ADVISORY, Level.DISABLED]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"box-sise": "mandatory"}, "box-sise: there is no such rule; did you mean box-size?"),
        ({"box-size": {"limmit": 3}}, "box-size: limmit: there is no such setting; did you mean limit?"),
        ({"box-size": {"limit": "wide"}}, 'box-size: limit: "wide": expected a number'),
        ({"box-size": {"colours": "red"}}, 'box-size: colours: "red": expected a list'),
        (
            {"box-size": {"zzz": 1}},
            "box-size: zzz: there is no such setting; expected one of enforcementLevel, limit, colours",
        ),
        ({"box-size": "loud"}, 'box-size: "loud": expected one of disabled, advisory, mandatory'),
        ({"box-size": {"enforcementLevel": "loud"}}, "enforcementLevel"),
        ({"box-size": "remediate"}, 'box-size: "remediate": expected one of disabled, advisory, mandatory'),
        ({"box-size": 3}, "box-size: 3: expected one of"),
        ({"all": "remediate"}, 'all: "remediate": expected one of disabled, advisory, mandatory'),
        ({"all": {"enforcementLevel": "advisory"}}, "all: "),
    ],
)
def test_a_mistake_is_named(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Configuration(RULES, document, "dev.json")
    assert str(refused.value).startswith("dev.json: ")
    assert expected in str(refused.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Configuration(RULES, {"a": "advisory", "box-size": {"limit": -1}, "box-lid": "on"})
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read"),
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected an object by rule name"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    file = tmp_path / "dev.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=expected) as refused:
        Configuration.load(RULES, file)
    assert str(file) in str(refused.value)


def test_the_schema_says_what_is_accepted() -> None:
    made = configuration.schema(RULES)
    assert set(made["properties"]) == {"all", "box-size", "box-lid", "box-company"}
    assert made["properties"][ALONE.name]["anyOf"][1]["properties"]["most"]["default"] == 100


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_each_environments_file_is_good(file: Path) -> None:
    assert Configuration.load(ALL_RULES, file)
    assert json.loads(file.read_text())


def test_each_environment_has_a_file() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == {"dev", "staging", "production"}


def test_production_lets_no_rule_off() -> None:
    found = Configuration.load(ALL_RULES, FOLDER / "production.json")
    for rule in ALL_RULES:
        assert found.level(rule) is not Level.DISABLED
        if rule.level is Level.MANDATORY:
            assert found.level(rule) in (Level.MANDATORY, Level.REMEDIATE), rule.name
