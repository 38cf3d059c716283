"""The state directory: made private, marked as the sandbox's own, and removed only where it bears the mark."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.servers.errors import ServerError
from sandbox.servers.files import private_folder

LOCK = "supervisor.lock"
MARK = ".strongroom-sandbox"


def make(state_dir: Path) -> Path:
    """The directory, mode 0700, made where it is not there. Raises ServerError where it holds something else."""
    mark = state_dir / MARK
    if state_dir.exists() and not state_dir.is_dir():
        raise ServerError(f"STRONGROOM_SANDBOX: {state_dir} is no folder: name one for the sandbox alone")
    # In this order: another start may be making it at this very moment, and the mark is the first thing in it.
    if state_dir.exists() and any(state_dir.iterdir()) and not mark.exists():
        raise ServerError(
            f"STRONGROOM_SANDBOX: {state_dir} is not empty and no sandbox's: `down` would remove what it holds. "
            "Name an empty folder, or one that does not exist"
        )
    private_folder(state_dir)
    mark.touch(mode=0o600)
    return state_dir


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
