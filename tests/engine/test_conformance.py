"""Every recorded case of the real engine: previews, runs, operations, state, outputs (see conformance/README.md)."""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.engine import Result, run
from sandbox.engine.display import PlainDisplay
from tests.engine import canonical
from tests.engine.stack import planted

HERE = Path(__file__).parent / "conformance"
CASES = sorted(path.parent for path in HERE.glob("cases/*/case.yaml"))
PASSPHRASE = "open sesame"
EMPTY: dict[str, Any] = {"things": {}, "counters": {}, "log": [], "refuse": {}}


class Stack:
    """One case's state and cloud."""

    def __init__(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.state = tmp_path / "state.json"
        self.cloud_path = tmp_path / "cloud.json"
        monkeypatch.setenv("PROBE_CLOUD", str(self.cloud_path))
        monkeypatch.syspath_prepend(str(HERE))
        self.environment = {**os.environ, "PYTHONPATH": str(HERE), "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
        self.program = folder / "1.py"
        self.output = ""

    @property
    def cloud(self) -> dict[str, Any]:
        return json.loads(self.cloud_path.read_text()) if self.cloud_path.exists() else json.loads(json.dumps(EMPTY))

    def plant(self, edits: list[dict[str, Any]]) -> None:
        self.cloud_path.write_text(json.dumps(planted(self.cloud, edits)))

    def run(self, step: dict[str, Any], *, preview: bool) -> Result:
        out = io.StringIO()
        result = run(
            step["action"],
            program=self.program,
            project="conformance",
            stack="dev",
            state=self.state,
            providers=["probe:ProbeProvider"],
            config=step.get("config", {}),
            secrets=step.get("secrets", {}),
            preview=preview,
            audience=PlainDisplay(out, out),
            environment=self.environment,
        )
        self.output = out.getvalue()
        return result


def log_of(cloud: dict[str, Any], before: int) -> list[str]:
    return [entry for entry in cloud["log"][before:] if not entry.startswith(("read ", "refuse read "))]


def compare_result(expected: dict[str, Any], result: Result, output: str) -> list[str]:
    problems = []
    if (expected["exit"] == "ok") != result.ok:
        problems.append(f"exit {expected['exit']}, got ok={result.ok}")
    problems += canonical.compare_steps(expected["steps"], result)
    failed = sorted((step.op, step.urn) for step in result.failed_steps)
    wanted = sorted((step["op"], step["urn"]) for step in expected.get("failedSteps", []))
    if wanted != failed and (wanted or result.ok):
        problems.append(f"failed steps {wanted}, got {failed}")
    counted = {op: count for op, count in (expected.get("changes") or {}).items() if count}
    if result.ok and counted != result.changes:  # of a run that failed, chance decides how far each thing came
        problems.append(f"changes {counted}, got {result.changes}")
    problems += [f"the output lacks {text!r}" for text in expected.get("errors", []) if text not in output]
    if "outputs" in expected and not canonical.equal(
        canonical.recorded(expected["outputs"]), canonical.value(result.outputs)
    ):
        problems.append(f"outputs {expected['outputs']}, got {canonical.value(result.outputs)}")
    return problems


def compare_run(expected: dict[str, Any], stack: Stack, before: int) -> list[str]:
    cloud = stack.cloud
    log = log_of(cloud, before)
    problems = []
    if Counter(expected["operations"]) != Counter(log):
        problems.append(f"operations {expected['operations']}, got {sorted(log)}")
    for first, then in expected["order"]:
        if first in log and then in log and log.index(first) > log.index(then):
            problems.append(f"{first!r} came after {then!r}")
    problems += canonical.compare_resources(
        expected["state"].get("resources", []), canonical.resources(stack.state, PASSPHRASE)
    )
    problems += canonical.in_order(stack.state)
    for part in ("things", "counters"):
        if not canonical.equal(expected["cloud"].get(part, {}), cloud[part]):
            problems.append(f"cloud's {part} {expected['cloud'].get(part)}, got {cloud[part]}")
    return problems


@pytest.mark.parametrize("folder", CASES, ids=lambda path: path.name)
def test_case_goes_as_recorded(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = yaml.safe_load((folder / "case.yaml").read_text())
    recording = json.loads((folder / "expected.json").read_text())
    stack = Stack(folder, tmp_path, monkeypatch)
    problems: list[str] = []
    for number, (step, expected) in enumerate(zip(case["steps"], recording["steps"], strict=True), 1):
        stack.plant(step.get("plant", []))
        if "program" in step:
            stack.program = folder / step["program"]
        loose = step.get("may_differ", "").startswith(("the whole step", "as the step"))
        text, cloud = stack.state.read_bytes() if stack.state.exists() else b"", stack.cloud
        result = stack.run(step, preview=True)
        found = compare_result(expected["preview"], result, stack.output)
        if (stack.state.read_bytes() if stack.state.exists() else b"") != text:
            found.append("the preview changed the state")
        if log_of(stack.cloud, 0) != log_of(cloud, 0) or stack.cloud["things"] != cloud["things"]:
            found.append("the preview changed the cloud")
        if not loose:
            problems += [f"step {number}, preview: {problem}" for problem in found]
        if step["action"] == "preview":
            continue
        before = len(stack.cloud["log"])
        result = stack.run(step, preview=False)
        found = compare_result(expected["run"], result, stack.output)
        found += compare_run(expected, stack, before)
        if not canonical.equal(canonical.recorded(expected["outputs"]), canonical.value(result.outputs)):
            found.append(f"outputs {expected['outputs']}, got {canonical.value(result.outputs)}")
        if not loose:
            problems += [f"step {number}, run: {problem}" for problem in found]
    assert not problems, "\n".join(problems)
