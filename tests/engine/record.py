"""Records conformance cases with the real engine: ``python -m tests.engine.record CASE_FOLDER...``

A case folder holds ``case.yaml`` and its programs (see conformance/README.md); ``expected.json`` is written beside them. Needed on
PATH: ``pulumi`` and its Python language host. Everything else is made in a temporary folder: the backend, the cloud, and a
``pulumi-resource-probe`` that serves conformance/probe.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.engine.urns import is_default_provider, qualified_type
from sandbox.engine.values import SECRET, SIGNATURE
from tests.engine.stack import CONFORMANCE, planted

STACK = "pulumi:pulumi:Stack"
WITH_INPUTS = ("create", "update", "create-replacement", "import", "import-replacement")
# Texts of errors that another engine must have too: the probe's, and those that name what to do.
ERRORS = re.compile(
    r'probe (?:refuses|finds|needs)[\w -]*\w|(?:before|after) hook "\w+" failed: [\w ]+|hook "\w+" was not registered'
    r'|Default provider for .* must use an explicit provider|unknown stack "?[\w/]+|resource "[^"]+" cannot be deleted'
    r'|unable to replace resource "[^"]+"'
)
_PREVIEWS = {"up": ["preview"], "preview": ["preview"]}


class Recorder:
    """One case, in a temporary folder."""

    def __init__(self, case: Path, work: Path) -> None:
        self.case, self.work = case, work
        self.cloud_path, self.project, plugins = work / "cloud.json", work / "project", work / "bin"
        for folder in (self.project, plugins, work / "backend"):
            folder.mkdir()
        plugin = plugins / "pulumi-resource-probe"
        plugin.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CONFORMANCE / "probe.py"}" "$@"\n')
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(plugins), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(CONFORMANCE),
            "PROBE_CLOUD": str(self.cloud_path),
            "PULUMI_BACKEND_URL": f"file://{work / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": "open sesame",
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }

    def pulumi(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--stack", "dev", "--non-interactive"]
        return subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, check=check
        )

    @property
    def cloud(self) -> dict[str, Any]:
        if not self.cloud_path.exists():
            return {"things": {}, "counters": {}, "log": [], "refuse": {}}
        found: dict[str, Any] = json.loads(self.cloud_path.read_text())
        return found

    def record(self) -> dict[str, Any]:
        (self.project / "Pulumi.yaml").write_text("name: conformance\nruntime: python\nmain: program\n")
        subprocess.run(
            ["pulumi", "stack", "init", "dev"],
            cwd=self.project,
            env=self.environment,
            check=True,
            capture_output=True,
        )
        program, steps = "", []
        for step in yaml.safe_load((self.case / "case.yaml").read_text())["steps"]:
            program = step.get("program", program)
            self._plant(step.get("plant", []))
            self._set_up(program, step)
            recorded = {"action": step["action"], "program": program, "preview": self._result(step["action"], True)}
            if step["action"] != "preview":
                before = len(self.cloud["log"])
                recorded["run"] = self._result(step["action"], False)
                recorded.update(self._after(before))
            steps.append(recorded)
        return {"engine": "pulumi v3.260", "project": "conformance", "stack": "dev", "steps": steps}

    def _plant(self, edits: list[dict[str, Any]]) -> None:
        if edits:
            self.cloud_path.write_text(json.dumps(planted(self.cloud, edits)))

    def _set_up(self, program: str, step: Mapping[str, Any]) -> None:
        folder = self.project / "program"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(self.case / program, folder / "__main__.py")
        settings = self.project / "Pulumi.dev.yaml"
        data = (yaml.safe_load(settings.read_text()) if settings.exists() else None) or {}
        given = step.get("config", {}).items()
        data["config"] = {key if ":" in key else f"conformance:{key}": value for key, value in given}
        settings.write_text(yaml.safe_dump(data))
        for key, value in step.get("secrets", {}).items():
            self.pulumi("config", "set", "--secret", key, value)

    def _result(self, action: str, preview: bool) -> dict[str, Any]:
        log = self.work / "events.json"
        log.unlink(missing_ok=True)
        command = [action, "--yes", "--skip-preview"]
        if preview:
            command = _PREVIEWS.get(action, [action, "--preview-only"])
        done = self.pulumi(*command, "--event-log", str(log), "--parallel", "16", check=False)
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        if not events:
            raise RuntimeError(f"{self.case.name}: pulumi {action} told nothing: {done.stdout}{done.stderr}")
        return {"exit": "failed" if done.returncode else "ok", **_told(events, preview)}

    def _after(self, before: int) -> dict[str, Any]:
        exported = json.loads(self.pulumi("stack", "export", "--show-secrets").stdout)["deployment"]
        resources = [_canonical(item) for item in exported.get("resources") or []]
        outputs: dict[str, Any] = next((item.get("outputs", {}) for item in resources if item["type"] == STACK), {})
        cloud = self.cloud
        return {
            "operations": sorted(item for item in cloud["log"][before:] if "read " not in item),
            "order": [],
            "state": {
                "resources": sorted(resources, key=lambda r: (r["urn"], r.get("delete", False), r.get("id", "")))
            },
            "outputs": outputs,
            "cloud": {part: cloud[part] for part in ("things", "counters")},
        }


def _told(events: list[dict[str, Any]], preview: bool) -> dict[str, Any]:
    """Steps, counts, failures and outputs from the engine's events."""
    steps: list[dict[str, Any]] = []
    outcomes: dict[tuple[str, str], dict[str, Any]] = {}
    told: dict[str, Any] = {"steps": steps}
    failed, texts = [], set()
    for event in events:
        if "resourcePreEvent" in event:
            data = event["resourcePreEvent"]["metadata"]
            if is_default_provider(data["urn"]) or data["op"] == "remove-pending-replace":
                continue
            step = {"op": data["op"], "urn": data["urn"], "old": (data.get("old") or {}).get("id", "")}
            if data.get("detailedDiff"):
                step["diff"] = {path: change["diffKind"] for path, change in data["detailedDiff"].items()}
            if data.get("keys"):
                step["replaceKeys"] = sorted(data["keys"])
            inputs = (data.get("new") or {}).get("inputs")
            if preview and inputs and data["op"] in WITH_INPUTS:
                step["inputs"] = _blotted(inputs)
            steps.append(step)
        elif "resOutputsEvent" in event:
            data = event["resOutputsEvent"]["metadata"]
            outcomes[data["urn"], (data.get("old") or {}).get("id", "")] = data
            if preview and qualified_type(data["urn"]) == STACK and data["op"] != "delete":
                told["outputs"] = _blotted((data.get("new") or {}).get("outputs") or {})
        elif "resOpFailedEvent" in event:
            data = event["resOpFailedEvent"]["metadata"]
            failed.append({"op": data["op"], "urn": data["urn"]})
        elif "diagnosticEvent" in event and event["diagnosticEvent"]["severity"] == "error":
            texts.update(ERRORS.findall(event["diagnosticEvent"]["message"]))
        elif "summaryEvent" in event:
            told["changes"] = event["summaryEvent"]["resourceChanges"]
    for step in steps:
        ended = outcomes.get((step["urn"], step.pop("old")))
        if step["op"] == "refresh" and ended:
            step["outcome"] = ended["op"]
            if ended.get("detailedDiff"):
                step["diff"] = {path: change["diffKind"] for path, change in ended["detailedDiff"].items()}
    steps.sort(key=lambda step: (step["urn"], step["op"]))
    return {**told, **({"failedSteps": failed} if failed else {}), **({"errors": sorted(texts)} if texts else {})}


def _blotted(value: Any) -> Any:
    """Secrets as the recordings write what the engine has blotted out."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET and "plaintext" not in value:
            return {SIGNATURE: SECRET, "plaintext": json.dumps("[secret]")}
        return {key: _blotted(item) for key, item in value.items()}
    return [_blotted(item) for item in value] if isinstance(value, list) else value


def _canonical(data: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("created", "modified", "sourcePosition", "stackTrace")
    made = {key: item for key, item in data.items() if key not in left_out and (item or key == "custom")}
    if made["type"].startswith("pulumi:providers:"):
        made["id"] = "<id>"
    edges = {key: urns for key, urns in made.pop("propertyDependencies", {}).items() if urns}
    if edges:
        made["propertyDependencies"] = edges
    if "provider" in made:
        made["provider"] = made["provider"].rpartition("::")[0] + "::<id>"
    return made


def main(folders: list[str]) -> int:
    for folder in map(Path, folders):
        with tempfile.TemporaryDirectory() as work:
            recorded = Recorder(folder.resolve(), Path(work)).record()
        (folder / "expected.json").write_text(json.dumps(recorded, indent=1) + "\n")
        ends = " ".join(step.get("run", step["preview"])["exit"] for step in recorded["steps"])
        sys.stdout.write(f"{folder.name}: {ends}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
