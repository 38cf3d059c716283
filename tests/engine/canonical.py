"""The canonical forms in which conformance/README.md compares an engine with the recordings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.engine import Result, Secret, Step
from sandbox.engine.events import kinds
from sandbox.engine.secrets import Crypter
from sandbox.engine.state import Codec, crypter_of, load, read_document
from sandbox.engine.values import SECRET, SIGNATURE

ANYTHING = "[secret]"
_LEFT_OUT = {"created", "modified", "sourcePosition", "stackTrace", "ignoreChanges", "replaceOnChanges"}
_LISTS = {"dependencies", "additionalSecretOutputs", "aliases"}


def value(item: Any) -> Any:
    """An engine's value as the recordings write it."""
    if isinstance(item, Secret):
        return {SIGNATURE: SECRET, "plaintext": value(item.value)}
    if isinstance(item, dict):
        return {key: value(inner) for key, inner in item.items()}
    if isinstance(item, list):
        return [value(inner) for inner in item]
    return item


def recorded(item: Any) -> Any:
    """A recorded value with its secrets' texts decoded."""
    if isinstance(item, dict):
        if item.get(SIGNATURE) == SECRET:
            return {SIGNATURE: SECRET, "plaintext": recorded(json.loads(item["plaintext"]))}
        return {key: recorded(inner) for key, inner in item.items()}
    if isinstance(item, list):
        return [recorded(inner) for inner in item]
    return item


def equal(expected: Any, got: Any) -> bool:
    if expected == ANYTHING:
        return True
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(equal(expected[key], got[key]) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(equal, expected, got))
    numbers = isinstance(expected, int | float) and isinstance(got, int | float)
    return (numbers or type(expected) is type(got)) and bool(expected == got)


def step(item: Step) -> dict[str, Any]:
    made: dict[str, Any] = {"op": item.op, "urn": item.urn}
    if item.detailed:
        made["diff"] = dict(kinds(item))
    if item.replace_keys:
        made["replaceKeys"] = sorted(item.replace_keys)
    if item.outcome:
        made["outcome"] = item.outcome
    if item.inputs:
        made["inputs"] = value({key: inner for key, inner in item.inputs.items() if key != "__internal"})
    return made


def recorded_step(item: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: recorded(inner) for key, inner in item.items()}
    made.get("inputs", {}).pop("__internal", None)
    if "inputs" in made and not made["inputs"]:
        del made["inputs"]
    if "replaceKeys" in made:
        made["replaceKeys"] = sorted(made["replaceKeys"])
    return made


def compare_steps(expected: list[dict[str, Any]], result: Result) -> list[str]:
    """What differs between the recorded steps and an engine's."""
    wanted, got = [recorded_step(item) for item in expected], [step(item) for item in result.steps]
    want_count = Counter((item["op"], item["urn"]) for item in wanted)
    got_count = Counter((item["op"], item["urn"]) for item in got)
    problems = [f"missing step {key} x{count}" for key, count in (want_count - got_count).items()]
    problems += [f"unexpected step {key} x{count}" for key, count in (got_count - want_count).items()]
    for item in wanted:
        same = [other for other in got if (other["op"], other["urn"]) == (item["op"], item["urn"])]
        if same and not any(_same_step(item, other) for other in same):
            problems.append(f"step differs:\n    recorded {item}\n    got      {same}")
    return problems


def _same_step(expected: Mapping[str, Any], got: Mapping[str, Any]) -> bool:
    return all(equal(expected.get(key), got.get(key)) for key in ("diff", "replaceKeys", "outcome", "inputs"))


def resources(path: Path, passphrase: str) -> list[dict[str, Any]]:
    """The state's resources in canonical form, secrets in clear."""
    document = read_document(path)
    codec = Codec(crypter_of(document, passphrase, path))
    clear = Codec(Crypter(passphrase))
    found = []
    for resource in load(document, codec).resources:
        data = {**clear.dump(resource), "inputs": value(resource.inputs), "outputs": value(resource.outputs)}
        found.append(canonical(data))
    return sorted(found, key=_key)


def recorded_resources(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted((canonical(recorded(item)) for item in items), key=_key)


def _key(item: Mapping[str, Any]) -> tuple[str, bool, str]:
    return item["urn"], item.get("delete", False), item.get("id", "")


def canonical(data: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: inner for key, inner in data.items() if key not in _LEFT_OUT and (inner or key == "custom")}
    provider = data["type"].startswith("pulumi:providers:")
    if provider:
        made["id"] = "<id>"
        made["inputs"] = {key: inner for key, inner in data.get("inputs", {}).items() if key != "__internal"}
    if made.get("provider"):
        made["provider"] = made["provider"].rpartition("::")[0] + "::<id>"
    for key in _LISTS & made.keys():
        made[key] = sorted(made[key])
    if "propertyDependencies" in made:
        kept = {key: sorted(urns) for key, urns in made["propertyDependencies"].items() if urns}
        made["propertyDependencies"] = kept
        if not kept:
            del made["propertyDependencies"]
    return made


def compare_resources(expected: list[dict[str, Any]], got: list[dict[str, Any]]) -> list[str]:
    problems = []
    wanted = recorded_resources(expected)
    for item in wanted:
        if not any(equal(item, other) for other in got):
            near = [other for other in got if _key(other) == _key(item)] or [
                other for other in got if other["urn"] == item["urn"]
            ]
            problems.append(
                f"state lacks\n    {json.dumps(item, sort_keys=True)}\n  has\n    {json.dumps(near, sort_keys=True)}"
            )
    if len(wanted) != len(got):
        extra = [other for other in got if _key(other) not in {_key(item) for item in wanted}]
        problems.append(f"{len(got)} resources in the state, recorded {len(wanted)}; extra: {extra}")
    return problems


def in_order(path: Path) -> list[str]:
    """What comes in the state before something that it needs."""
    seen: set[str] = set()
    problems = []
    for item in read_document(path)["deployment"].get("resources", []):
        needs = [item.get("parent"), (item.get("provider") or "").rpartition("::")[0], *item.get("dependencies", [])]
        problems += [f"{item['urn']} comes before {urn}" for urn in needs if urn and urn not in seen]
        seen.add(item["urn"])
    return problems
