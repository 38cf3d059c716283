"""The drill as a program: on real servers, with small numbers; and what it makes of what it saw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rotation.drill import report
from rotation.drill.load import Load
from sandbox.toolchain.paths import wheel_binary
from tests.rotation.conftest import Database, SecretStore, VaultDatabase

PATHS = ["vault-dynamic", "vault-static", "secrets-manager-single-user", "secrets-manager-alternating-users"]
Drill = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def drill(database: Database, vault: VaultDatabase, store: SecretStore, tmp_path: Path) -> Drill:
    endpoint = database.endpoint
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": os.pathsep.join([str(wheel_binary("bao").parent), os.environ["PATH"]]),
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGDATABASE": endpoint.database,
        "PGUSER": endpoint.superuser,
        "PGPASSWORD": endpoint.superuser_password,
        "VAULT_ADDR": vault.endpoint.address,
        "VAULT_CACERT": vault.endpoint.ca_file,
        "VAULT_TOKEN": vault.endpoint.token,
        "MPLCONFIGDIR": str(tmp_path),
    }

    def run(*arguments: str, without: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rotation.drill", *arguments]
        command += ["--json", str(tmp_path / "drill.json"), "--picture", str(tmp_path / "drill.png")]
        chosen = {name: value for name, value in environment.items() if not without or not name.startswith(without)}
        return subprocess.run(command, env=chosen, capture_output=True, text=True, timeout=300)

    return run


def test_every_path_rotates_under_load_and_nothing_fails_or_is_left(
    drill: Drill, database: Database, store: SecretStore, tmp_path: Path
) -> None:
    arguments = [part for path in PATHS for part in ("--path", path)]
    done = drill(*arguments, "--requests", "1000", "--rotations", "4", "--pause", "0.1")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "drill.json").read_text())
    assert [(row["source"], row["mode"]) for row in rows] == [
        (p, mode) for p in PATHS for mode in ("threads", "asyncio")
    ]
    for row in rows:
        check(row, rotations=4)
    assert (tmp_path / "drill.png").stat().st_size > 20_000
    assert database.users_like("drill%") == []
    assert database.users_like("v-%-drill-%") == []
    assert [
        each["Name"] for each in store.client.list_secrets()["SecretList"] if each["Name"].startswith("drill/")
    ] == []
    shown = done.stdout + done.stderr + (tmp_path / "drill.json").read_text()
    assert not re.search(r"hvs\.|PGPASSWORD=|SCRAM-SHA", shown)


def test_vault_agents_file_rotates_by_its_lease_and_what_has_no_server_is_listed(
    drill: Drill, database: Database, tmp_path: Path
) -> None:
    done = drill("--mode", "threads", "--requests", "500", "--rotations", "1", "--slow-rotations", "1", without="AWS")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "drill.json").read_text())
    assert [row["source"] for row in rows] == ["vault-dynamic", "vault-static", "agent-file"]
    check(rows[-1], rotations=1)
    assert "external-secret-file was not drilled: KUBECONFIG not set" in done.stdout
    assert "secrets-manager-single-user was not drilled: AWS_ACCESS_KEY_ID or" in done.stdout
    assert database.users_like("v-%-drill-%") == []


def check(row: dict[str, Any], rotations: int) -> None:
    assert row["failed"] == 0
    assert row["rotations"] == rotations
    assert row["left_over"] == 0
    assert row["passed"]
    assert row["p50"]["before"] is not None
    assert row["p99"]["during"] is not None
    assert row["connections_replaced"] >= rotations


def test_a_drill_without_a_database_says_what_to_set(drill: Drill) -> None:
    done = drill(without="PG")
    assert done.returncode == 2
    assert "PGHOST, PGDATABASE, PGUSER not set" in done.stderr


def test_a_path_that_is_asked_for_and_cannot_run_is_an_error(drill: Drill) -> None:
    done = drill("--path", "vault-dynamic", without="VAULT")
    assert done.returncode == 2
    assert "VAULT_ADDR or VAULT_TOKEN not set" in done.stderr


def sample(failures: list[str], waited: list[str]) -> Load:
    load = Load(began=0.0, ended=10.0, failures=failures, waited=waited, rotations=[(4.0, 4.2), (6.0, 6.2)])
    load.starts = array("d", [1.0, 2.0, 4.1, 5.5, 6.1, 9.0])
    load.latencies = array("d", [0.001, 0.003, 0.020, 0.400, 0.010, 0.002])
    return load


def test_latencies_are_split_into_before_during_and_after_and_the_rest_left_out() -> None:
    row = report.row("source", "threads", sample([], []), replaced=3, left_over=0)
    assert (row.p50.before, row.p50.during, row.p50.after) == (1.0, 10.0, 2.0)
    assert (row.p99.before, row.p99.during, row.p99.after) == (3.0, 20.0, 2.0)
    assert row.passed


@pytest.mark.parametrize(
    ("failures", "waited", "left"), [(["boom"], [], 0), ([], ["rotation 2 was not taken over"], 0), ([], [], 1)]
)
def test_a_failure_a_missed_rotation_and_a_left_over_credential_each_fail_the_drill(
    failures: list[str], waited: list[str], left: int
) -> None:
    assert not report.row("source", "threads", sample(failures, waited), replaced=0, left_over=left).passed
