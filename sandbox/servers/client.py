"""The public functions of ``sandbox.servers``: they start a supervisor and talk to it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.endpoints import Aws, Endpoints, Kubernetes, Postgres, Vault
from sandbox.servers import leftovers, place, wire
from sandbox.servers.errors import NotRunning, ServerFailed, SupervisorEnded
from sandbox.servers.managed import tail
from sandbox.servers.wire import Progress

ROOT = Path(__file__).resolve().parents[2]
ALL = ("vault", "postgres", "kubernetes", "aws")
START_DEADLINE = 180.0  # seconds without a word of progress
SUPERVISOR_DEADLINE = 60.0
STOP_DEADLINE = 60.0
ANSWER_DEADLINE = 60.0
_ours: dict[Path, list[subprocess.Popen[bytes]]] = {}  # kept so that they are reaped


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """One server or controller as it is now."""

    name: str
    state: str  # stopped, starting, ready, unhealthy, failed, crashed
    address: str
    pid: int | None
    memory_bytes: int | None  # with its children
    since: float  # seconds since the epoch, 0 where it was never started
    trouble: str = ""  # what is wrong with it, with the end of its log; empty where nothing is


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The endpoints of a sandbox of which only some parts were started."""

    vault: Vault | None = None
    postgres: Postgres | None = None
    kubernetes: Kubernetes | None = None
    aws: Aws | None = None


def start(state_dir: Path, on_progress: Progress | None = None, *, owner: int | None = None) -> Endpoints:
    """Start what does not run, and return when all is ready: idempotent, about 10 seconds for all of it.

    ``on_progress`` is called with a server's name, its state (starting, ready, failed) and the seconds that took.
    ``owner`` is a process with which the sandbox ends and goes (see ``supervisor``); by default it stays.
    Raises ServerFailed with the server's name and the end of its log, NotSupported where one cannot run here.
    """
    found = start_parts(state_dir, ALL, on_progress, owner=owner)
    assert found.vault is not None
    assert found.postgres is not None
    assert found.kubernetes is not None
    assert found.aws is not None
    endpoints = Endpoints(
        state_dir=str(state_dir.resolve()),
        vault=found.vault,
        postgres=found.postgres,
        kubernetes=found.kubernetes,
        aws=found.aws,
    )
    endpoints.save()
    return endpoints


def start_parts(
    state_dir: Path, parts: Sequence[str], on_progress: Progress | None = None, *, owner: int | None = None
) -> Parts:
    """As ``start``, of some of vault, postgres, kubernetes and aws only (aws brings kubernetes: its issuer)."""
    wanted = [*parts, "kubernetes"] if "aws" in parts and "kubernetes" not in parts else list(parts)
    place.make(state_dir.resolve())
    request = {"do": "start", "parts": wanted}

    def ask() -> dict[str, Any]:
        connection = _supervisor(state_dir.resolve(), owner)
        found: dict[str, Any] = wire.ask(connection, request, deadline=START_DEADLINE, on_progress=on_progress)
        return found

    try:
        found = ask()
    except SupervisorEnded:  # it was killed a moment ago: a new one starts
        found = ask()
    types: dict[str, Any] = {"vault": Vault, "postgres": Postgres, "kubernetes": Kubernetes, "aws": Aws}
    return Parts(**{part: types[part](**found[part]) for part in wanted})


def stop(state_dir: Path, *, keep_files: bool = False) -> None:
    """Stop everything and remove the state directory with all its data; ``keep_files`` leaves it for the next ``start``.

    It also cleans up after a supervisor that was killed, and does nothing where there is no sandbox.
    """
    state_dir = state_dir.resolve()
    if not (state_dir / place.MARK).exists():
        return
    connection = wire.connect(state_dir)
    if connection is not None:
        with suppress(SupervisorEnded):  # it was killed a moment ago
            wire.ask(connection, {"do": "stop", "kill": not keep_files}, deadline=ANSWER_DEADLINE)
    _wait_for_end(state_dir)
    leftovers.sweep(state_dir)
    if not keep_files:
        place.remove(state_dir)


def status(state_dir: Path) -> list[ServerStatus]:
    """Every server and controller, in the order of their start. Raises NotRunning where there is no sandbox."""
    found = wire.ask(connected(state_dir), {"do": "status"}, deadline=ANSWER_DEADLINE)
    return [ServerStatus(**each) for each in found]


def logs(state_dir: Path, name: str | None = None) -> str:
    """The log of one server, or of all, each under its name. Raises NotRunning for a name that has none."""
    folder = state_dir / "logs"
    files = {file.stem: file for file in sorted(folder.glob("*.log"))}
    if name is not None:
        if name not in files:
            known = ", ".join(files) or "none: no sandbox runs here"
            raise NotRunning(f"no server {name!r} has a log at {state_dir}; there are: {known}")
        return files[name].read_text(encoding="utf-8", errors="replace")
    return "".join(f"==> {each} <==\n{file.read_text(errors='replace')}\n" for each, file in files.items())


def connected(state_dir: Path) -> Any:
    """A connection to the running supervisor. Raises NotRunning."""
    connection = wire.connect(state_dir.resolve()) if state_dir.is_dir() else None
    if connection is None:
        raise NotRunning(f"no sandbox runs at {state_dir}: start it with `make up`")
    return connection


def _supervisor(state_dir: Path, owner: int | None) -> Any:
    """A connection to the supervisor, which is started where none answers."""
    end = time.monotonic() + SUPERVISOR_DEADLINE
    started: subprocess.Popen[bytes] | None = None
    log = state_dir / "logs" / "supervisor.log"
    while time.monotonic() < end:
        connection = wire.connect(state_dir)
        if connection is not None:
            return connection
        if started is not None and started.poll() not in (None, 0):
            break
        # One that ended well found the lock taken. While it is, that supervisor is about to answer, or to end.
        if (started is None or started.poll() == 0) and place.unlocked(state_dir):
            started = _spawn(state_dir, owner, log)
        time.sleep(0.05)
    raise ServerFailed(f"the supervisor did not start; the end of its log:\n{tail(log)}")


def _spawn(state_dir: Path, owner: int | None, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "sandbox.servers.supervisor", str(state_dir)]
    if owner is not None:
        command.append(f"--owner={owner}")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=state_dir,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    _ours.setdefault(state_dir, []).append(process)
    return process


def _wait_for_end(state_dir: Path) -> None:
    """Until no supervisor holds the lock. Raises ServerFailed where one does not end."""
    end = time.monotonic() + STOP_DEADLINE
    while True:
        with place.lock(state_dir) as held:
            if held:
                for process in _ours.pop(state_dir, []):
                    process.terminate()  # without the lock it serves nobody: it came too late, or has ended
                    process.wait(timeout=STOP_DEADLINE)
                return
        if time.monotonic() > end:
            raise ServerFailed(f"the supervisor at {state_dir} did not end within {STOP_DEADLINE:.0f} s")
        time.sleep(0.02)
