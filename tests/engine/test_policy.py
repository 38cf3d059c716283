"""What the engine does with what policy packs say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from sandbox.engine.values import Secret
from tests.engine.stack import Stack


@dataclass
class Violation:
    policy: str
    message: str
    level: str
    urn: str = ""


class Packs:
    """Stands for the packs' processes: what it is asked is kept, what it answers is told by the inputs."""

    started: ClassVar[list[Any]] = []
    asked: ClassVar[list[dict[str, Any]]] = []
    stack: ClassVar[list[dict[str, Any]]] = []
    closed: ClassVar[list[bool]] = []

    async def start(self, folders: list[Path], project: str, stack: str, config: dict[str, str], **more: Any) -> None:
        self.started.append((folders, project, stack, config))

    async def remediate(self, **fields: Any) -> dict[str, Any] | None:
        if fields["properties"].get("value") == "to be mended":
            return {**fields["properties"], "value": "mended"}
        return None

    async def analyze(self, **fields: Any) -> list[Violation]:
        self.asked.append(fields)
        value = fields["properties"].get("value", "")
        return [Violation("no-bad-values", f"{value} is bad", value)] if value in ("advisory", "mandatory") else []

    async def analyze_stack(self, resources: list[dict[str, Any]]) -> list[Violation]:
        self.stack.extend(resources)
        bad = [fields for fields in resources if fields["properties"].get("value") == "stack"]
        return [Violation("no-bad-stacks", "the stack is bad", "mandatory", fields["urn"]) for fields in bad]

    async def close(self) -> None:
        self.closed.append(True)


@pytest.fixture(autouse=True)
def packs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("sandbox.engine.analyzer")
    module.PolicyPacks = Packs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sandbox.engine.analyzer", module)
    for kept in (Packs.started, Packs.asked, Packs.stack, Packs.closed):
        kept.clear()


def test_every_resource_is_shown_before_its_step_and_the_stack_at_the_end(stack: Stack, tmp_path: Path) -> None:
    text = "a = Thing('a', 'v', secret_value=Output.secret('hush-hush'))\nb = Thing('b', a.arn, opts=ResourceOptions(protect=True))"
    assert stack.run("up", text, policy_packs=[tmp_path], config={"k": "v"}).ok
    assert Packs.started == [([tmp_path], "conformance", "dev", {"conformance:k": "v"})]
    assert Packs.closed == [True]
    asked = {fields["name"]: fields for fields in Packs.asked}
    assert asked["a"]["properties"] == {"value": "v", "secretValue": Secret("hush-hush"), "shape": "round"}
    assert asked["a"]["provider"]["type"] == "pulumi:providers:probe"
    assert asked["b"]["options"]["protect"] is True
    assert asked["b"]["dependencies"] == [asked["a"]["urn"]]
    shown = {fields["name"]: fields["properties"] for fields in Packs.stack}
    assert shown["b"]["arn"] == "arn:probe:moon:b-1", "the stack is shown with what came out"


def test_an_advisory_violation_is_a_warning(stack: Stack, tmp_path: Path) -> None:
    assert stack.run("up", "Thing('a', 'advisory')", policy_packs=[tmp_path]).ok
    assert (
        "warning: urn:pulumi:dev::conformance::probe:index:Thing::a: policy no-bad-values: advisory is bad"
        in stack.output
    )


def test_a_mandatory_violation_stops_the_run_before_the_resource_is_made(stack: Stack, tmp_path: Path) -> None:
    result = stack.run("up", "a = Thing('a', 'mandatory')\nb = Thing('b', a.arn)", policy_packs=[tmp_path])
    assert not result.ok
    assert stack.cloud["things"] == {}
    assert "policy no-bad-values: mandatory is bad" in stack.output


def test_a_preview_shows_every_violation_and_fails(stack: Stack, tmp_path: Path) -> None:
    text = "a = Thing('a', 'mandatory')\nb = Thing('b', 'mandatory', tags={'after': a.arn})"
    result = stack.run("preview", text, policy_packs=[tmp_path])
    assert not result.ok
    assert stack.output.count("mandatory is bad") == 2
    assert result.changes == {"create": 3}


def test_what_a_policy_mends_is_what_is_made(stack: Stack, tmp_path: Path) -> None:
    assert stack.run("up", "Thing('a', 'to be mended')", policy_packs=[tmp_path]).ok
    assert stack.cloud["things"]["a-1"]["inputs"]["value"] == "mended"
    assert stack.run("up", policy_packs=[tmp_path]).changes == {"same": 2}


def test_a_violation_of_the_stack_fails_the_run_before_anything_is_deleted(stack: Stack, tmp_path: Path) -> None:
    assert stack.run("up", "Thing('a', 'v')").ok
    result = stack.run("up", "Thing('b', 'stack')", policy_packs=[tmp_path])
    assert not result.ok
    assert set(stack.cloud["things"]) == {"a-1", "b-1"}
    assert "policy no-bad-stacks: the stack is bad" in stack.output
