"""The dev stack on the sandbox: the project's own program, run by the embedded engine or by the Pulumi CLI.

Both engines run the same ``__main__.py`` with the same ``Pulumi.dev.yaml``; its endpoints come from the environment, which is
``Endpoints.env()``. The embedded engine keeps its state in the sandbox's own directory, so it goes with the sandbox.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.endpoints import Endpoints

PROJECT = "strongroom"
STACK = "dev"
ROOT = Path(__file__).resolve().parent.parent
PROVIDERS = {
    "aws": "sandbox.providers.aws:AwsProvider",
    "kubernetes": "sandbox.providers.kubernetes:KubernetesProvider",
    "random": "sandbox.providers.random:RandomProvider",
    "vault": "sandbox.providers.vault:VaultProvider",
}


class StackError(Exception):
    """The stack cannot be run; the message names what is missing and the fix."""


def passphrase_file(state_dir: Path) -> Path:
    """The passphrase of the stack's secrets, made once for each sandbox, readable by its owner only."""
    path = state_dir / "passphrase"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32))
    return path


def environment(endpoints: Endpoints) -> dict[str, str]:
    """What a program of the dev stack, its providers and its tools find in their environment."""
    state_dir = Path(endpoints.state_dir)
    result = {name: value for name, value in os.environ.items() if name != "PULUMI_CONFIG_PASSPHRASE"}
    result |= endpoints.env()
    result["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file(state_dir))
    result["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{result.get('PATH', '')}"
    result["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), result.get("PYTHONPATH")]))
    return result


def state_file(state_dir: Path) -> Path:
    """The stack's state: Pulumi's deployment JSON, secrets encrypted."""
    return state_dir / "stacks" / f"{STACK}.json"


def run(action: str, endpoints: Endpoints, arguments: Sequence[str] = (), *, program: Path = ROOT) -> int:
    """Run ``preview``, ``up``, ``refresh`` or ``destroy`` with the embedded engine on this terminal; its exit code."""
    state = state_file(Path(endpoints.state_dir))
    state.parent.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "sandbox.engine", action, "--program", str(program)]
    command += ["--project", PROJECT, "--stack", STACK, "--state", str(state)]
    for provider in PROVIDERS.values():
        command += ["--provider", provider]
    return subprocess.run([*command, *arguments], env=environment(endpoints), cwd=ROOT, check=False).returncode


def run_with_pulumi(action: str, endpoints: Endpoints) -> int:
    """Run the same stack with the Pulumi CLI, attached to the sandbox's providers; its exit code.

    The CLI's state is a folder in the sandbox, so nothing of it is left either. Raises StackError without a CLI.
    """
    if shutil.which("pulumi") is None:
        raise StackError("ENGINE=pulumi: no `pulumi` on the PATH; install the CLI, or leave ENGINE out")
    backend = Path(endpoints.state_dir) / "pulumi"
    backend.mkdir(mode=0o700, exist_ok=True)
    variables = environment(endpoints)
    variables |= {
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_HOME": str(backend / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    servers: list[subprocess.Popen[str]] = []
    try:
        attached = []
        for package, location in PROVIDERS.items():
            module = location.partition(":")[0]
            server = subprocess.Popen(
                [sys.executable, "-m", module], env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True
            )
            servers.append(server)
            assert server.stdout is not None
            attached.append(f"{package}:{int(server.stdout.readline())}")
        variables["PULUMI_DEBUG_PROVIDERS"] = ",".join(attached)
        select = ["pulumi", "stack", "select", "--create", STACK, "--non-interactive"]
        done = subprocess.run(select, env=variables, cwd=ROOT, check=False)
        if done.returncode != 0:
            return done.returncode
        confirm = [] if action == "preview" else ["--yes"]
        return subprocess.run(
            ["pulumi", action, "--stack", STACK, *confirm], env=variables, cwd=ROOT, check=False
        ).returncode
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(timeout=10)


def outputs(state_dir: Path) -> Mapping[str, Any]:
    """The stack's outputs as they stand in the state; secret ones are ciphertexts. Empty before the first ``up``."""
    try:
        state = json.loads(state_file(state_dir).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    for resource in state["deployment"].get("resources", []):
        if resource["type"] == "pulumi:pulumi:Stack":
            found: dict[str, Any] = resource.get("outputs", {})
            return found
    return {}
