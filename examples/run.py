"""Run one of the examples in a sandbox of its own: ``python examples/run.py 01``.

The servers start, the example's program comes up, its outputs are shown, and everything goes again; with ``--keep`` it stays.
An example is an ordinary Pulumi program, which the Pulumi CLI runs against a real environment, with the settings that its
``Pulumi.yaml`` lists: see README.md here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox import repository, servers, stack
from sandbox.endpoints import Endpoints
from sandbox.engine.secrets import Crypter

FOLDER = Path(__file__).resolve().parent
STACK = "example"


def find(number: str) -> Path:
    """The example's folder. Raises ValueError that lists them all."""
    found = sorted(path for path in FOLDER.glob("[0-9][0-9]-*") if path.is_dir())
    chosen = [path for path in found if path.name == number or path.name.startswith(f"{number}-")]
    if len(chosen) != 1:
        raise ValueError(f"{number!r} is no example; there are: {', '.join(path.name for path in found)}")
    return chosen[0]


def write_config(example: Path, endpoints: Endpoints) -> Path:
    """The example's settings in this sandbox: those that its Pulumi.yaml asks for, the password encrypted."""
    project = yaml.safe_load((example / "Pulumi.yaml").read_text(encoding="utf-8"))
    state_dir = Path(endpoints.state_dir)
    repository.prepare(endpoints)
    known: dict[str, Any] = stack.settings(endpoints, repository.sealing_certificate(endpoints))
    crypter = Crypter(stack.passphrase_file(state_dir).read_text(encoding="utf-8").strip())
    known["databasePassword"] = {"secure": crypter.encrypt(endpoints.postgres.admin_password)}
    wanted = {f"{project['name']}:{key}": known[key] for key in project.get("config", {}) if key in known}
    path = state_dir / f"Pulumi.{example.name}.yaml"
    path.write_text(yaml.safe_dump({"encryptionsalt": crypter.salt, "config": wanted}), encoding="utf-8")
    path.chmod(0o600)
    return path


def run(action: str, example: Path, endpoints: Endpoints, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``preview``, ``up`` or ``destroy`` of an example with the embedded engine; what it said is in the result."""
    state_dir = Path(endpoints.state_dir)
    if action == "up":
        stack.give_vault_its_database_user(endpoints)
    line = [sys.executable, "-m", "sandbox.engine", action, "--program", str(example), "--stack", STACK]
    line += ["--state", str(state_dir / f"{example.name}.json"), "--config-file", str(write_config(example, endpoints))]
    for provider in stack.PROVIDERS.values():
        line += ["--provider", provider]
    return subprocess.run(
        [*line, *arguments],
        env=stack.environment(endpoints),
        cwd=stack.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python examples/run.py", description="Run an example in a sandbox of its own."
    )
    parser.add_argument("number", help="such as 01")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running")
    options = parser.parse_args()
    try:
        example = find(options.number)
    except ValueError as error:
        parser.error(str(error))
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-example-"))
    try:
        endpoints = servers.start(state_dir, owner=None if options.keep else os.getpid())
        done = run("up", example, endpoints)
        print(done.stdout + done.stderr)
        if options.keep:
            print(f"It stays. End it with: STRONGROOM_SANDBOX={state_dir} {sys.executable} -m sandbox down")
        elif done.returncode == 0:
            gone = run("destroy", example, endpoints)
            print(gone.stdout.splitlines()[-1] if gone.returncode == 0 else gone.stdout + gone.stderr)
            return gone.returncode
        return done.returncode
    finally:
        if not options.keep:
            servers.stop(state_dir)
            if state_dir.exists():
                state_dir.rmdir()


if __name__ == "__main__":
    sys.exit(main())
