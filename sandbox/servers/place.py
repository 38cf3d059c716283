"""The state directory: made private, marked as the sandbox's own, and removed only where it bears the mark."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.servers.errors import ServerError
from sandbox.servers.files import private_folder, private_write

LOCK = "supervisor.lock"
MARK = ".strongroom-sandbox"


def make(state_dir: Path) -> Path:
    """The directory, mode 0700, made where it is not there. Raises ServerError where it holds something else."""
    if state_dir.exists() and not (state_dir / MARK).exists():
        if not state_dir.is_dir():
            raise ServerError(f"STRONGROOM_SANDBOX: {state_dir} is no folder: name one for the sandbox alone")
        # Another start may be making it at this very moment: its own temporary file is there before its mark is.
        if not _marked_soon(state_dir) and any(state_dir.iterdir()):
            raise ServerError(
                f"STRONGROOM_SANDBOX: {state_dir} is not empty and no sandbox's: `down` would remove what it holds. "
                "Name an empty folder, or one that does not exist"
            )
    private_folder(state_dir)
    if not (state_dir / MARK).exists():
        private_write(state_dir / MARK, "A sandbox's own: `make down` removes this folder.\n")
    return state_dir


def _marked_soon(state_dir: Path) -> bool:
    for _ in range(10):
        if (state_dir / MARK).exists() or not any(state_dir.iterdir()):
            return True
        time.sleep(0.05)
    return False


@contextmanager
def lock(state_dir: Path) -> Iterator[bool]:
    """Hold the supervisor's lock, as one does for its life; gives False where another process has it."""
    try:
        file = os.fdopen(os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "w")
    except FileNotFoundError:  # nothing is there to be locked
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def unlocked(state_dir: Path) -> bool:
    """Whether no supervisor serves the directory at this moment."""
    with lock(state_dir) as held:
        return held


def remove(state_dir: Path) -> None:
    """Remove it with all that it holds; a folder without the mark is left alone."""
    if (state_dir / MARK).exists():
        shutil.rmtree(state_dir, ignore_errors=True)
