"""Starting, crashing, killing, stopping: on real servers, with nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hvac
import psutil
import psycopg
import pytest

from sandbox import servers
from sandbox.endpoints import Endpoints, Postgres, Vault
from sandbox.servers import NotRunning, ServerError, ServerFailed, place
from sandbox.servers.openbao import seal
from tests.servers import own
from tests.waiting import until


def client(vault: Vault) -> hvac.Client:
    return hvac.Client(url=vault.address, token=vault.token, verify=vault.ca_file, timeout=60)


def login(postgres: Postgres, user: str = "", password: str = "") -> psycopg.Connection:
    return psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        dbname=postgres.database,
        user=user or postgres.admin_user,
        password=password or postgres.admin_password,
        autocommit=True,
    )


@pytest.fixture(scope="module")
def light() -> Iterator[Path]:
    """OpenBao and PostgreSQL, for tests that leave them running."""
    with own.folder() as state_dir:
        own.start(state_dir, "vault", "postgres")
        yield state_dir


def test_vault_and_postgres_answer_with_their_own_credentials(light: Path) -> None:
    found = own.start(light, "vault", "postgres")
    assert found.vault is not None
    assert found.postgres is not None
    assert client(found.vault).sys.read_health_status(method="GET")["sealed"] is False
    with login(found.postgres) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("myapp",)


def test_postgres_refuses_a_wrong_password(light: Path) -> None:
    found = own.start(light, "postgres").postgres
    assert found is not None
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        login(found, password="wrong")


def test_the_state_directory_is_its_owners_alone(light: Path) -> None:
    assert light.stat().st_mode & 0o777 == 0o700
    open_to_others = [
        str(path)
        for path in light.rglob("*")
        if not path.is_symlink() and path.is_file() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_status_names_every_server_with_address_and_memory(light: Path) -> None:
    found = {each.name: each for each in servers.status(light)}
    assert list(found) == ["vault", "postgres"]
    for each in found.values():
        assert each.state == "ready"
        assert each.trouble == ""
        assert "127.0.0.1:" in each.address
        assert (each.memory_bytes or 0) > 10 * 2**20
        assert each.pid is not None
        assert psutil.pid_exists(each.pid)


def test_starting_what_runs_starts_nothing(light: Path) -> None:
    before = [each.pid for each in servers.status(light)]
    told: list[tuple[str, str, float]] = []
    servers.start_parts(light, ["vault", "postgres"], lambda *each: told.append(each))
    assert [each.pid for each in servers.status(light)] == before
    assert told == []


def test_logs_are_by_name_and_an_unknown_name_is_an_error(light: Path) -> None:
    assert "core: vault is unsealed" in servers.logs(light, "vault")
    assert "==> postgres <==" in servers.logs(light)
    with pytest.raises(NotRunning, match=r"no server 'mysql' has a log .* postgres, supervisor, vault"):
        servers.logs(light, "mysql")


def test_a_sealed_vault_is_unhealthy_and_start_unseals_it(light: Path) -> None:
    vault = own.start(light, "vault").vault
    assert vault is not None
    seal(vault)
    found = next(each for each in servers.status(light) if each.name == "vault")
    assert (found.state, "is sealed" in found.trouble) == ("unhealthy", True)
    own.start(light, "vault")
    assert next(each for each in servers.status(light) if each.name == "vault").state == "ready"


def test_a_crash_is_reported_by_name_with_the_end_of_the_log_and_mended_by_start(light: Path) -> None:
    found = own.start(light, "postgres").postgres
    assert found is not None
    with login(found) as connection:
        connection.execute("CREATE TABLE kept (value text)")
        connection.execute("INSERT INTO kept VALUES ('still here')")
    pid = next(each.pid for each in servers.status(light) if each.name == "postgres")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    def crashed() -> servers.ServerStatus:
        return next(each for each in servers.status(light) if each.name == "postgres")

    until("the crash is noticed", lambda: crashed().state == "crashed")
    assert "was ended by SIGKILL" in crashed().trouble
    assert "database system is ready to accept connections" in crashed().trouble
    assert next(each for each in servers.status(light) if each.name == "vault").state == "ready"
    until("the supervisor's log has it", lambda: "postgres was ended by SIGKILL" in servers.logs(light, "supervisor"))
    again = own.start(light, "postgres").postgres
    assert again == found
    with login(again) as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == ("still here",)


def test_a_server_that_cannot_start_is_named_with_its_log() -> None:
    with own.folder() as state_dir, socket.create_server(("127.0.0.1", 0)) as taken:
        place.make(state_dir)
        (state_dir / "ports.json").write_text(json.dumps({"postgres": taken.getsockname()[1]}))
        with pytest.raises(
            ServerFailed, match=r"postgres ended with code 1; the end of its log:[\s\S]*Address already in use"
        ):
            own.start(state_dir, "postgres")
        assert [each.state for each in servers.status(state_dir)] == ["failed"]


def test_stop_leaves_no_process_and_no_file() -> None:
    with own.folder() as state_dir:
        own.start(state_dir, "vault", "postgres")
        everyone = own.family(state_dir)
        assert len(everyone) > 3
        servers.stop(state_dir)
        assert own.alive(everyone) == []
        assert not state_dir.exists()


def test_postgres_keeps_nothing_in_shared_memory_that_would_outlive_it(light: Path) -> None:
    pid = next(each.pid for each in servers.status(light) if each.name == "postgres")
    assert pid is not None
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a worker may end while it is looked at
            assert "/dev/shm" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_stop_may_keep_the_data_for_the_next_start() -> None:
    with own.folder() as state_dir:
        first = own.start(state_dir, "vault").vault
        assert first is not None
        client(first).sys.enable_secrets_engine("kv", path="kept")
        everyone = own.family(state_dir)
        servers.stop(state_dir, keep_files=True)
        assert own.alive(everyone) == []
        with pytest.raises(NotRunning, match="make up"):
            servers.status(state_dir)
        second = own.start(state_dir, "vault").vault
        assert second == first
        assert "kept/" in client(first).sys.list_mounted_secrets_engines()["data"]


def test_a_killed_supervisor_takes_its_servers_along_and_the_next_start_finds_their_data() -> None:
    with own.folder() as state_dir:
        first = own.start(state_dir, "vault", "postgres")
        assert first.vault is not None
        assert first.postgres is not None
        client(first.vault).sys.enable_secrets_engine("kv", path="kept")
        with login(first.postgres) as connection:
            connection.execute("CREATE TABLE kept ()")
        everyone = own.kill_supervisor(state_dir)
        second = own.start(state_dir, "vault", "postgres")  # at once: the stale socket and processes are not in the way
        assert own.alive(everyone) == []
        assert second == first
        assert "kept/" in client(first.vault).sys.list_mounted_secrets_engines()["data"]
        with login(first.postgres) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_stop_after_the_supervisor_was_killed_leaves_nothing() -> None:
    with own.folder() as state_dir:
        own.start(state_dir, "vault", "postgres")
        everyone = own.kill_supervisor(state_dir)
        servers.stop(state_dir)
        assert own.alive(everyone) == []
        assert not state_dir.exists()


def test_a_sandbox_ends_and_goes_with_the_killed_process_that_owns_it() -> None:
    with own.folder() as state_dir:
        program = (
            "import os, sys, time; from pathlib import Path; from sandbox import servers\n"
            f"servers.start_parts(Path({str(state_dir)!r}), ['postgres'], owner=os.getpid())\n"
            "print('up', flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "up\n"
            everyone = own.family(state_dir)
            owner.kill()
        until("all has ended", lambda: own.alive(everyone) == [])
        until("the files are gone", lambda: not state_dir.exists())


def test_two_starts_at_once_share_one_supervisor() -> None:
    with own.folder() as state_dir:
        found: list[servers.Parts] = []
        threads = [threading.Thread(target=lambda: found.append(own.start(state_dir, "postgres"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert found[0] == found[1] == found[2]
        assert [each.name for each in servers.status(state_dir)] == ["postgres"]


def test_a_path_longer_than_a_socket_address_is_no_obstacle(tmp_path: Path) -> None:
    state_dir = tmp_path / ("long-" * 20) / ("longer-" * 10) / "state"
    state_dir.parent.mkdir(parents=True)
    try:
        assert own.start(state_dir, "postgres").postgres is not None
    finally:
        servers.stop(state_dir)
    assert not state_dir.exists()


def test_a_folder_with_other_content_is_refused_and_never_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ServerError, match=r"STRONGROOM_SANDBOX: .* is not empty and no sandbox's"):
        servers.start_parts(tmp_path, ["postgres"])
    servers.stop(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_users_own_settings_do_not_reach_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("BAO_API_ADDR", "https://192.0.2.1:8200")
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
    with own.folder() as state_dir:
        own.start(state_dir, "vault", "postgres")
        for process in own.family(state_dir)[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker may end while it is looked at
                assert "192.0.2.1" not in " ".join(process.environ().values())


def test_every_server_listens_on_loopback_only(sandbox_endpoints: Endpoints) -> None:
    listening: list[tuple[str, str]] = []
    for process in own.family(Path(sandbox_endpoints.state_dir)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker may end while it is looked at
            listening += [
                (process.name(), each.laddr.ip)
                for each in process.net_connections(kind="inet")
                if each.status == psutil.CONN_LISTEN or each.type == socket.SOCK_DGRAM
            ]
    assert len(listening) >= 6
    assert [each for each in listening if each[1] not in ("127.0.0.1", "::1")] == []


def test_a_full_sandbox_has_every_server_ready(sandbox_endpoints: Endpoints) -> None:
    found = {each.name: each.state for each in servers.status(Path(sandbox_endpoints.state_dir))}
    expected = ["etcd", "kube-apiserver", "kube-controller-manager", "vault", "postgres", "aws"]
    assert {name: found.get(name) for name in expected} == dict.fromkeys(expected, "ready")
