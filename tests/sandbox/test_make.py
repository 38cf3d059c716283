"""The commands that people use: up with its closing page, the exports of `env`, down that leaves nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox import stack

pytestmark = pytest.mark.sandbox


class Sandbox:
    """A sandbox of its own, driven by its commands alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "STRONGROOM_SANDBOX": str(folder)}
        self.environment.pop("STRONGROOM_STACK_CONFIG", None)

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sandbox", name],
            env=self.environment,
            cwd=stack.ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def shell(self, line: str) -> str:
        """A line of a shell that took the exports over, and nothing else of the sandbox."""
        exports = f'eval "$({shlex.quote(sys.executable)} -m sandbox env)"'
        home = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "STRONGROOM_SANDBOX": str(self.folder)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{exports}; {line}"],
            env=home,
            cwd=stack.ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def processes_of(folder: Path) -> list[str]:
    """Processes that have the sandbox's folder on their command line or as their folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        if process.pid == os.getpid() or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        if any(str(folder) in word for word in words):
            found.append(" ".join(words)[:200])
    return found


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    folder = Path(tempfile.mkdtemp(prefix="strongroom-test-")) / "sandbox"
    made = Sandbox(folder)
    try:
        yield made
    finally:
        made.command("down")
        folder.parent.rmdir()


@pytest.fixture(scope="module")
def page(sandbox: Sandbox) -> str:
    done = sandbox.command("up")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_up_ends_with_what_runs_what_was_delivered_and_what_to_try(page: str) -> None:
    servers, delivered, rest = (
        page.partition("What runs where")[2].partition("What was delivered")[0],
        page.partition("What was delivered")[2].partition("What to try next")[0],
        page.partition("What to try next")[2],
    )
    for server in ("vault", "postgres", "kube-apiserver", "aws", "external-secrets"):
        assert server in servers
    for line in (
        (
            "production/payment-api",
            "db-creds",
            "vault database/creds/app-readwrite",
            "DATABASE_URL, password, username",
        ),
        ("production/payment-api", "app-config", "vault secret/production/payment-api", "API_KEY, SIGNING_KEY"),
        ("production/payment-api", "partner-keys", "secretsmanager production/payment-api", "PARTNER_TOKEN"),
    ):
        assert any(all(part in row for part in line) for row in delivered.splitlines()), line
    assert 'eval "$(make -s env)"' in rest


def test_a_second_up_of_an_unchanged_stack_changes_nothing(sandbox: Sandbox, page: str) -> None:
    done = sandbox.command("up")
    assert done.returncode == 0
    summary = next(line for line in done.stdout.splitlines() if line.startswith("ok:"))
    assert "unchanged" in summary
    assert not any(word in summary for word in ("created", "updated", "deleted", "replaced"))


def test_the_exports_work_with_kubectl(sandbox: Sandbox, page: str) -> None:
    assert "db-creds" in sandbox.shell("kubectl get externalsecrets -n production")


def test_the_exports_work_with_bao(sandbox: Sandbox, page: str) -> None:
    assert "database/" in sandbox.shell("bao secrets list")
    assert "username" in sandbox.shell("bao read database/creds/app-readwrite | cut -d' ' -f1")


def test_the_exports_work_with_aws_clients(sandbox: Sandbox, page: str) -> None:
    script = (
        "import boto3; print(boto3.client('sts').get_caller_identity()['Account']);"
        "print([s['Name'] for s in boto3.client('secretsmanager').list_secrets()['SecretList']])"
    )
    told = sandbox.shell(f"test $(printenv AWS_ACCOUNT_ID) && {shlex.quote(sys.executable)} -c {shlex.quote(script)}")
    assert "production/payment-api" in told


def test_the_exports_work_with_psql(sandbox: Sandbox, page: str) -> None:
    assert sandbox.shell("psql -Atc 'SELECT current_database()'").strip() == "myapp"


def test_a_machine_without_tools_gets_the_sandbox_s_own_at_the_end_of_its_path(sandbox: Sandbox, page: str) -> None:
    *before, last = sandbox.shell("echo $PATH").strip().split(":")
    assert before == ["/usr/bin", "/bin"]
    assert last == str(sandbox.folder / "bin")
    for tool in ("bao", "kubectl", "kubeseal", "psql", "sops"):
        assert sandbox.shell(f"{last}/{tool} --version 2>&1 || {last}/{tool} version --client").strip()


def test_the_exports_name_what_is_documented(sandbox: Sandbox, page: str) -> None:
    names = {line.removeprefix("export ").partition("=")[0] for line in sandbox.command("env").stdout.splitlines()}
    assert names >= {
        "KUBECONFIG",
        "VAULT_ADDR",
        "VAULT_CACERT",
        "VAULT_TOKEN",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "PGHOST",
        "PGPORT",
        "PGDATABASE",
    }


def test_the_outputs_of_a_stack_of_the_cli_are_found_in_its_backend(tmp_path: Path) -> None:
    assert stack.outputs(tmp_path, "pulumi") == {}
    file = tmp_path / "pulumi/.pulumi/stacks/strongroom/dev.json"
    file.parent.mkdir(parents=True)
    resources = [{"type": "pulumi:pulumi:Stack", "outputs": {"deliveries": []}}]
    file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": {"resources": resources}}}))
    assert stack.outputs(tmp_path, "pulumi") == {"deliveries": []}
    stack.refuse_other_engine(tmp_path, "pulumi")
    with pytest.raises(stack.StackError, match="was deployed with ENGINE=pulumi; `make destroy ENGINE=pulumi` first"):
        stack.refuse_other_engine(tmp_path, "embedded")
    own = stack.state_file(tmp_path)
    own.parent.mkdir()
    own.write_text(json.dumps({"version": 3, "deployment": {"resources": resources}}))
    stack.refuse_other_engine(tmp_path, "embedded")  # moved from there


def test_an_interrupted_destroy_ends_in_order_and_the_next_goes_on(sandbox: Sandbox, page: str) -> None:
    command = [sys.executable, "-m", "sandbox", "destroy"]
    options: dict[str, Any] = {"env": sandbox.environment, "cwd": stack.ROOT, "start_new_session": True, "text": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as running:
        assert running.stdout is not None
        shown = []
        for line in running.stdout:
            shown.append(line)
            if line.rstrip().endswith("deleted"):
                os.killpg(running.pid, signal.SIGINT)  # as a terminal does
                break
        shown += running.stdout.readlines()
    output = "".join(shown)
    assert running.returncode == 1, output
    assert "interrupted: what has begun is being finished" in output
    assert "Traceback" not in output
    rest = sandbox.command("destroy")
    assert rest.returncode == 0, rest.stdout + rest.stderr


def test_down_leaves_no_process_and_no_file(sandbox: Sandbox, page: str) -> None:
    before = {path.name for path in stack.ROOT.iterdir()}
    assert processes_of(sandbox.folder)
    done = sandbox.command("down")
    assert done.returncode == 0, done.stderr
    assert processes_of(sandbox.folder) == []
    assert not sandbox.folder.exists()
    assert {path.name for path in stack.ROOT.iterdir()} == before
