"""Levels and settings of the rules: the file that ``pulumi --policy-pack-config`` takes, JSON by rule name.

    {
      "all": "advisory",                                          every rule that is not named
      "kms-key-rotation": "mandatory",
      "secret-rotation-period": {"enforcementLevel": "mandatory", "maxDays": 30}
    }

What is not given is the rule's own level and default. ``policies/config`` has one file an environment.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from policies.errors import ConfigurationError
from policies.rule import Level, Options, Rule

ALL = "all"
LEVEL = "enforcementLevel"
_KINDS = {"array": "a list", "boolean": "true or false", "number": "a number", "string": "a text"}
FOLDER = Path(__file__).resolve().parent / "config"


class Configuration:
    """The level and the options of each rule."""

    def __init__(self, rules: Sequence[Rule], document: Mapping[str, Any] | None = None, source: str = "") -> None:
        """``document`` as in the file; ``source`` names it in errors. Raises ConfigurationError."""
        given = dict(document or {})
        where = f"{source}: " if source else ""
        problems = [where + problem for problem in _problems(rules, given)]
        if problems:
            raise ConfigurationError("\n".join(problems))
        self._levels: dict[str, Level] = {}
        self._options: dict[str, Options] = {}
        for rule in rules:
            entry = given.get(rule.name, {})
            own = {LEVEL: entry} if isinstance(entry, str) else dict(entry)
            level = own.pop(LEVEL, None) or given.get(ALL)
            self._levels[rule.name] = Level(level) if level else rule.level
            self._options[rule.name] = rule.with_options(own)

    @classmethod
    def load(cls, rules: Sequence[Rule], path: Path | None) -> Configuration:
        """From a file; the rules' own levels and defaults without one. Raises ConfigurationError."""
        return cls(rules) if path is None else cls(rules, read(path), str(path))

    def level(self, rule: Rule) -> Level:
        return self._levels[rule.name]

    def options(self, rule: Rule) -> Options:
        return self._options[rule.name]


def read(path: Path) -> dict[str, Any]:
    """The file's object. Raises ConfigurationError where it is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: expected JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path}: expected an object by rule name")
    return document


def schema(rules: Sequence[Rule]) -> dict[str, Any]:
    """The file's JSON schema."""
    levels = [level.value for level in Level]
    properties: dict[str, Any] = {ALL: {"enum": [item for item in levels if item != Level.REMEDIATE]}}
    for rule in rules:
        allowed = levels if rule.remedy else [item for item in levels if item != Level.REMEDIATE]
        options = {name: option.json_schema() for name, option in rule.options.items()}
        properties[rule.name] = {
            "description": rule.title,
            "anyOf": [
                {"enum": allowed},
                {
                    "type": "object",
                    "properties": {LEVEL: {"enum": allowed}, **options},
                    "additionalProperties": False,
                },
            ],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _problems(rules: Sequence[Rule], given: Mapping[str, Any]) -> Iterable[str]:
    properties = schema(rules)["properties"]
    for name, entry in given.items():
        if name not in properties:
            yield f"{name}: there is no such rule{suggestion(name, properties)}"
            continue
        if isinstance(entry, dict) and name != ALL:
            known = properties[name]["anyOf"][1]["properties"]
            for key, value in entry.items():
                if key not in known:
                    hint = suggestion(key, known) or f"; expected one of {', '.join(known)}"
                    yield f"{name}: {key}: there is no such setting{hint}"
                else:
                    yield from (f"{name}: {key}: {text}" for text in _mismatches(known[key], value))
        else:
            accepted = properties[name] if name == ALL else properties[name]["anyOf"][0]
            yield from (f"{name}: {text}" for text in _mismatches(accepted, entry))


def _mismatches(accepted: Mapping[str, Any], value: Any) -> Iterable[str]:
    for error in Draft202012Validator(accepted).iter_errors(value):
        if error.validator == "enum":
            yield f"{json.dumps(value)}: expected one of {', '.join(accepted['enum'])}"
        elif error.validator == "type":
            yield f"{json.dumps(error.instance)}: expected {_KINDS[error.validator_value]}"
        elif error.validator == "pattern":
            yield f"{json.dumps(value)}: expected a duration such as 45m or 1h30m"
        else:
            yield error.message


def suggestion(name: str, known: Iterable[str]) -> str:
    """What was probably meant: "; did you mean ...?"."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
