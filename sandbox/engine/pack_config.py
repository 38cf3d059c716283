"""A policy pack's configuration: the file, held to what the pack says of its policies, and put together with its defaults.

As the Pulumi CLI's ``--policy-pack-config``: JSON, by policy name a level or an object of ``enforcementLevel`` and
settings; ``all`` is the level of every policy that is not named. What a pack does not know is refused here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from jsonschema import Draft202012Validator
from pulumi.runtime.proto import analyzer_pb2 as proto

from sandbox.engine.errors import ConfigError

ALL = "all"
LEVEL = "enforcementLevel"
LEVELS = {
    "advisory": proto.ADVISORY,
    "mandatory": proto.MANDATORY,
    "remediate": proto.REMEDIATE,
    "disabled": proto.DISABLED,
}
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


def read(path: Path) -> dict[str, Any]:
    """The file's object. Raises ConfigError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--policy-pack-config {path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"--policy-pack-config {path}: expected JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"--policy-pack-config {path}: expected an object by policy name")
    return document


def reconcile(info: Any, given: Mapping[str, Any], source: str) -> Any:
    """The ConfigureAnalyzerRequest of a pack: level and settings of every policy. Raises ConfigError, one line a mistake."""
    schemas = {policy.name: json_format.MessageToDict(policy.configSchema.properties) for policy in info.policies}
    problems = [f"{source}: {problem}" for problem in _problems(schemas, given)]
    if problems:
        raise ConfigError("\n".join(problems))
    request = proto.ConfigureAnalyzerRequest()
    initial = info.initialConfig
    for policy in info.policies:
        settings = {key: schema["default"] for key, schema in schemas[policy.name].items() if "default" in schema}
        level = policy.enforcementLevel
        for name in (ALL, policy.name):
            if name in initial:
                level = initial[name].enforcementLevel
                settings |= json_format.MessageToDict(initial[name].properties)
        if ALL in given:
            level = LEVELS[given[ALL]]
        own = given.get(policy.name, {})
        own = {LEVEL: own} if isinstance(own, str) else dict(own)
        level = LEVELS[own.pop(LEVEL)] if LEVEL in own else level
        missing = [key for key in policy.configSchema.required if key not in settings | own]
        if missing:
            raise ConfigError(f"{source}: {policy.name}: {missing[0]}: missing; the policy requires it")
        config = request.policyConfig[policy.name]
        config.enforcementLevel = level
        config.properties.update(settings | own)
    return request


def _problems(schemas: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    expected = f"expected one of {', '.join(LEVELS)}"
    for name, entry in given.items():
        if name == ALL or isinstance(entry, str):
            if name != ALL and name not in schemas:
                yield f"{name}: the pack has no such policy{_suggestion(name, schemas)}"
            elif not isinstance(entry, str) or entry not in LEVELS:
                yield f"{name}: {json.dumps(entry)}: {expected}"
        elif name not in schemas:
            yield f"{name}: the pack has no such policy{_suggestion(name, schemas)}"
        elif not isinstance(entry, dict):
            yield f"{name}: {json.dumps(entry)}: expected a level or an object"
        else:
            for key, value in entry.items():
                if key == LEVEL:
                    if value not in LEVELS:
                        yield f"{name}: {key}: {json.dumps(value)}: {expected}"
                elif key not in schemas[name]:
                    yield f"{name}: {key}: the policy has no such setting{_suggestion(key, schemas[name])}"
                else:
                    for error in Draft202012Validator(schemas[name][key]).iter_errors(value):
                        yield f"{name}: {key}: {error.message}"


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""
