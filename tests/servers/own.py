"""A sandbox of a test's own, for what would disturb the others: crashes, kills, restarts."""

from __future__ import annotations

import os
import signal
import socket
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from sandbox import servers
from sandbox.servers import place, wire


@contextmanager
def folder() -> Iterator[Path]:
    """A state directory that does not exist yet, cleaned up whatever the test did to it."""
    parent = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        yield parent / "state"
    finally:
        servers.stop(parent / "state")
        place.remove(parent / "state")
        parent.rmdir()


def start(state_dir: Path, *parts: str) -> servers.Parts:
    return servers.start_parts(state_dir, parts, owner=os.getpid())


def supervisor(state_dir: Path) -> psutil.Process:
    """The process that answers at this state directory's socket."""
    connection = wire.connect(state_dir)
    assert connection is not None
    with connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return psutil.Process(struct.unpack("3i", credentials)[0])


def family(state_dir: Path) -> list[psutil.Process]:
    """The supervisor and all its descendants."""
    parent = supervisor(state_dir)
    return [parent, *parent.children(recursive=True)]


def kill_supervisor(state_dir: Path) -> list[psutil.Process]:
    """SIGKILL the supervisor alone; the processes that it had."""
    everyone = family(state_dir)
    os.kill(everyone[0].pid, signal.SIGKILL)
    return everyone


def alive(processes: Sequence[psutil.Process]) -> list[str]:
    """Those that still run, by name."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
        except psutil.NoSuchProcess:
            continue
    return found
