"""A stack of one program on the embedded engine, as its command line runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sandbox.engine.secrets import Crypter
from sandbox.stack import PROVIDERS, ROOT

PASSPHRASE = "only for this test"


class Stack:
    """One stack in one folder. ``secrets`` reach it encrypted, in its configuration file."""

    def __init__(
        self, folder: Path, program: str | Path, *, environment: Mapping[str, str], providers: tuple[str, ...]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = folder / "state.json"
        self.environment = {
            **os.environ,
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        self.providers = [PROVIDERS[name] for name in providers]
        self.program = program if isinstance(program, Path) else folder / "program.py"
        if isinstance(program, str):
            self.program.write_text(program)

    def configure(self, plain: Mapping[str, Any] | None = None, secrets: Mapping[str, str] | None = None) -> None:
        path = self.folder / "Pulumi.test.yaml"
        salt = yaml.safe_load(path.read_text())["encryptionsalt"] if path.exists() else None
        crypter = Crypter(PASSPHRASE, salt, where=str(path))
        config: dict[str, Any] = {f"program:{key}": value for key, value in (plain or {}).items()}
        for key, value in (secrets or {}).items():
            config[f"program:{key}"] = {"secure": crypter.encrypt(value)}
        path.write_text(yaml.safe_dump({"encryptionsalt": crypter.salt, "config": config}))

    def run(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sandbox.engine", action, "--program", str(self.program)]
        command += ["--project", "program", "--stack", "test", "--state", str(self.state)]
        config = self.folder / "Pulumi.test.yaml"
        if config.exists():
            command += ["--config-file", str(config)]
        for provider in self.providers:
            command += ["--provider", provider]
        return subprocess.run(
            [*command, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def up(self) -> str:
        done = self.run("up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def unchanged(self) -> bool:
        """Whether another `up` would change nothing."""
        done = self.run("preview", "--expect-no-changes")
        assert done.returncode in (0, 3), done.stdout + done.stderr
        return done.returncode == 0

    def outputs(self) -> dict[str, Any]:
        for resource in json.loads(self.state.read_text())["deployment"]["resources"]:
            if resource["type"] == "pulumi:pulumi:Stack":
                found: dict[str, Any] = resource.get("outputs", {})
                return found
        return {}
