"""Processes of an earlier supervisor: recorded as they start, so that none of them survives it unseen.

The kernel ends them with their supervisor. It takes a moment, and PostgreSQL's take one more; and a new supervisor must not
start beside them, nor a folder be removed under them.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sandbox.servers.files import private_write

FILE = "processes.json"
PATIENCE = 30.0  # seconds in which they end by themselves


class Record:
    """The sessions that this supervisor started: each server leads one, and all its children stay in it."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / FILE
        self._sessions: dict[str, float] = {}

    def add(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):
            self._sessions[str(pid)] = psutil.Process(pid).create_time()
        self._save()

    def discard(self, pid: int) -> None:
        self._sessions.pop(str(pid), None)
        self._save()

    def _save(self) -> None:
        private_write(self._file, json.dumps(self._sessions))


def sweep(state_dir: Path) -> list[str]:
    """Wait for what an ended supervisor started, then kill what is left of it; the names of the killed."""
    try:
        sessions = {int(pid): float(since) for pid, since in json.loads((state_dir / FILE).read_text()).items()}
    except (FileNotFoundError, ValueError):
        return []
    end = time.monotonic() + PATIENCE
    while left := _members(state_dir, sessions):
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    names = []
    for process in left:
        with suppress(psutil.NoSuchProcess):
            names.append(process.name())
            process.kill()
    psutil.wait_procs(left, timeout=PATIENCE)
    return names


def _members(state_dir: Path, sessions: dict[int, float]) -> list[psutil.Process]:
    """Living processes of these sessions. A number alone proves nothing, since numbers come again: each must have
    started since, belong to this user, and work in this state directory or on a file of it."""
    if not sessions:
        return []
    root, user = state_dir.resolve(), os.geteuid()
    earliest = min(sessions.values())
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) not in sessions or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.uids().effective != user or process.create_time() < earliest - 1:
                continue
            if Path(process.cwd()).is_relative_to(root) or any(str(root) in part for part in process.cmdline()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
