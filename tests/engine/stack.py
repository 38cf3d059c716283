"""A stack on the probe's cloud, for tests: programs as text, runs in this process or by the command line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sandbox.engine import Result, run
from sandbox.engine.display import PlainDisplay
from sandbox.engine.secrets import Crypter
from sandbox.engine.state import Codec, crypter_of, load, read_document

CONFORMANCE = Path(__file__).parent / "conformance"
ROOT = Path(__file__).parent.parent.parent
PASSPHRASE = "open sesame"
PROBE = "probe:ProbeProvider"
HEADER = "import pulumi\nfrom pulumi import Output, ResourceOptions\nfrom probe_sdk import *\n"


class Stack:
    """State, cloud and program of one test."""

    def __init__(self, folder: Path, *, provider: str = PROBE) -> None:
        self.folder = folder
        self.state = folder / "state.json"
        self.cloud_path = folder / "cloud.json"
        self.program = folder / "program.py"
        self.provider = provider
        self.output = ""
        self.environment = {
            **os.environ,
            "PROBE_CLOUD": str(self.cloud_path),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(CONFORMANCE)]),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        }

    def write(self, text: str) -> Stack:
        self.program.write_text(HEADER + text, encoding="utf-8")
        return self

    def run(self, action: str, text: str | None = None, **options: Any) -> Result:
        if text is not None:
            self.write(text)
        out = io.StringIO()
        given = {"project": "conformance", "providers": [self.provider], "environment": self.environment}
        result = run(
            action,
            program=self.program,
            stack="dev",
            state=self.state,
            audience=PlainDisplay(out, out),
            **{**given, **options},
        )
        self.output = out.getvalue()
        return result

    def command(self, action: str, *arguments: str) -> list[str]:
        command = [sys.executable, "-m", "sandbox.engine", action, "--program", str(self.program)]
        command += ["--project", "conformance", "--stack", "dev", "--state", str(self.state)]
        return [*command, "--provider", self.provider, *arguments]

    def cli(self, action: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(action, *arguments),
            env={**self.environment, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, action: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(action, *arguments),
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def cloud(self) -> dict[str, Any]:
        if not self.cloud_path.exists():
            return {"things": {}, "counters": {}, "log": [], "refuse": {}}
        found: dict[str, Any] = json.loads(self.cloud_path.read_text())
        return found

    @property
    def log(self) -> list[str]:
        return [entry for entry in self.cloud["log"] if not entry.startswith("read ")]

    def plant(self, path: str, value: Any) -> None:
        cloud = self.cloud
        *above, last = path.split("/")
        place = cloud
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
        self.cloud_path.write_text(json.dumps(cloud))

    def resources(self) -> dict[str, Any]:
        """What the state holds, by the end of the URN; what is to be deleted has a ``!``."""
        document = read_document(self.state)
        snapshot = load(document, Codec(crypter_of(document, PASSPHRASE, self.state)))
        return {item.urn.split("::", 2)[2] + ("!" if item.delete else ""): item for item in snapshot.resources}

    def thing(self, name: str) -> Any:
        return self.resources()[f"probe:index:Thing::{name}"]


def crypter(salt: str | None = None) -> Crypter:
    return Crypter(PASSPHRASE, salt)


def ops(result: Result) -> list[tuple[str, str]]:
    """The steps that did something, as (operation, name)."""
    return [(step.op, step.urn.rpartition("::")[2]) for step in result.steps if step.op != "same"]


def planted(cloud: dict[str, Any], edits: list[dict[str, Any]]) -> dict[str, Any]:
    """The probe's cloud with a case's ``plant`` edits."""
    for edit in edits:
        *above, last = (edit.get("set") or edit["remove"]).split("/")
        place = cloud
        for key in above:
            place = place.setdefault(key, {})
        if "set" in edit:
            place[last] = edit["to"]
        else:
            place.pop(last, None)
    return cloud
