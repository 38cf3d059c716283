"""The dev stack on a full sandbox, run as `make up` runs it, with TTLs of seconds instead of hours."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml

from sandbox import stack
from sandbox.endpoints import Endpoints
from sandbox.toolchain.paths import wheel_binary

LEASE_SECONDS = 24
REFRESH_SECONDS = 10


def short_config() -> dict[str, Any]:
    """The checkout's Pulumi.dev.yaml with short TTLs, and a second workload whose secrets nobody else may read."""
    content = yaml.safe_load((stack.ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    config: dict[str, Any] = content["config"]
    config["strongroom:vaultTokenTtl"] = "2m"
    config["strongroom:databaseRoles"] = [
        {"name": "app-readwrite", "defaultTtl": f"{LEASE_SECONDS}s", "maxTtl": "10m"},
        {"name": "app-readonly", "defaultTtl": "1m", "maxTtl": "10m", "privileges": ["SELECT"]},
    ]
    (payment,) = (entry for entry in config["strongroom:workloads"] if entry["name"] == "payment-api")
    (database,) = (secret for secret in payment["secrets"] if "databaseRole" in secret)
    database |= {"refreshInterval": f"{REFRESH_SECONDS}s", "rolloutTime": "5s"}
    config["strongroom:namespaces"] = ["production", "staging"]
    reports = {
        "name": "reports",
        "namespace": "production",
        "secrets": [
            {"name": "reports-db", "databaseRole": "app-readonly", "refreshInterval": "30s", "rolloutTime": "5s"},
            {"name": "reports-config", "kvPath": "production/reports", "generate": ["REPORT_KEY"]},
            {"name": "reports-keys", "awsSecret": "production/reports", "generate": ["REPORT_TOKEN"]},
        ],
    }
    config["strongroom:workloads"] = [payment, reports]
    return config


@dataclass
class Run:
    """One run of the engine."""

    code: int
    output: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> dict[str, str]:
        """Logical names of what was changed, with the operation."""
        return {
            step["urn"].rpartition("::")[2]: step["op"] for step in self.steps if step["op"] not in ("same", "read")
        }


class DevStack:
    """The stack of one sandbox; every word that its runs say is kept, to be searched for secrets."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.state_dir = Path(endpoints.state_dir)
        self.config = short_config()
        self.said: list[str] = []
        self.dirty = True

    # -- running -----------------------------------------------------------------------------------------------------

    def command(self, action: str, config: Mapping[str, Any] | None = None, *arguments: str) -> list[str]:
        """The command line that `make up` starts, with another base configuration."""
        base = self.state_dir / "test-config.yaml"
        base.write_text(yaml.safe_dump({"config": dict(config or self.config)}), encoding="utf-8")
        os.environ["STRONGROOM_STACK_CONFIG"] = str(base)
        try:
            files = stack.config_files(self.endpoints)
        finally:
            del os.environ["STRONGROOM_STACK_CONFIG"]
        if action == "up":
            stack.give_vault_its_database_user(self.endpoints)
        return stack.command(action, self.endpoints, files, arguments)

    def start(self, action: str, config: Mapping[str, Any] | None = None) -> subprocess.Popen[str]:
        """Begin a run; the caller ends it."""
        return subprocess.Popen(
            self.command(action, config, "--json"),
            env=stack.environment(self.endpoints),
            cwd=stack.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, action: str, config: Mapping[str, Any] | None = None) -> Run:
        """Run to the end, whatever that is."""
        process = self.start(action, config)
        output, _ = process.communicate(timeout=240)
        self.said.append(output)
        run = Run(process.returncode, output)
        for line in output.splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if "op" in told:
                run.steps.append(told)
            elif "summary" in told:
                run.summary = told["summary"]
        return run

    def plain(self, action: str) -> str:
        """What a run says to people, instead of JSON."""
        done = subprocess.run(
            self.command(action),
            env=stack.environment(self.endpoints),
            cwd=stack.ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def up(self, config: Mapping[str, Any] | None = None) -> Run:
        """Run `up`; it must succeed."""
        run = self.run("up", config)
        assert run.code == 0, run.output
        self.dirty = config is not None
        return run

    def destroy(self) -> Run:
        """Run `destroy`; it must succeed."""
        self.dirty = True
        run = self.run("destroy")
        assert run.code == 0, run.output
        return run

    def kill(self, action: str, config: Mapping[str, Any] | None, after_steps: int, delay: float) -> bool:
        """Begin a run and end its engine with SIGKILL, some seconds after so many changes; whether it was still running.

        Counted in changes, a moment is as far into the run on a busy machine as on an idle one.
        """
        self.dirty = True
        process = self.start(action, config)
        assert process.stdout is not None
        said: list[str] = []
        changes = 0
        while changes < after_steps and (line := process.stdout.readline()):
            said.append(line)
            changes += '"op":"' in line and '"op":"same"' not in line
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        self.said.append("".join(said) + output)
        return process.returncode == -signal.SIGKILL

    def changed_config(self, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The configuration after a change."""
        config = deepcopy(self.config)
        change(config)
        return config

    # -- what was delivered ------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.endpoints.env()}

    def kubectl(self, *arguments: str) -> str:
        """The output of kubectl. Its error text never has a Secret's data, since only names are asked for then."""
        done = subprocess.run(
            [str(wheel_binary("kubectl")), *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answers(self, *arguments: str) -> bool:
        """Whether kubectl says yes (exit code 0), as `auth can-i` does."""
        command = [str(wheel_binary("kubectl")), *arguments]
        return (
            subprocess.run(command, env=self.environment(), capture_output=True, check=False, timeout=60).returncode
            == 0
        )

    def secret(self, name: str, namespace: str = "production") -> dict[str, str]:
        """A Kubernetes Secret, decoded."""
        data = json.loads(self.kubectl("get", "secret", name, "-n", namespace, "-o", "json"))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def token(self, service_account: str, *, namespace: str = "production", audience: str) -> str:
        """A token of a service account, as the API server makes it on request."""
        return self.kubectl("create", "token", service_account, "-n", namespace, "--audience", audience).strip()

    @contextmanager
    def service_account(self, name: str, namespace: str) -> Iterator[str]:
        """A service account that the stack knows nothing of."""
        self.kubectl("create", "serviceaccount", name, "-n", namespace)
        try:
            yield name
        finally:
            self.kubectl("delete", "serviceaccount", name, "-n", namespace)


def logs_in(url: str) -> bool:
    """Whether a DATABASE_URL logs in as the user that it names."""
    try:
        with psycopg.connect(url, connect_timeout=60) as connection:
            row = connection.execute("SELECT current_user").fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and f"//{row[0]}:" in url
