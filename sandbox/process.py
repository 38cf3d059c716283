"""Processes that end with whoever started them, also when that one is killed; and what plays a container's view of files."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)


def foreground(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> int:
    """Run it on this terminal; its exit code, as a shell tells it: 128 + N where signal N ended it.

    The terminal's interrupt reaches the command too, which ends in order; until then this process does not end by it.
    """
    child = subprocess.Popen(command, env=env, cwd=cwd, preexec_fn=preexec_fn)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def die_with_parent() -> None:
    """For ``preexec_fn``: the kernel kills this process when its parent ends (prctl(2), PR_SET_PDEATHSIG).

    The parent is a thread: start such processes from one that lives as long as they should.
    """
    _die_with_parent(signal.SIGKILL)


def end_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """As ``die_with_parent``, with a signal that lets the process clean up after itself."""
    return lambda: _die_with_parent(death_signal)


def _die_with_parent(death_signal: signal.Signals) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() == 1:  # the parent ended between fork and prctl
        os._exit(1)


def in_namespace(
    *,
    user_id: int | None = None,
    run_files: Mapping[str, bytes] | None = None,
    run_links: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> Callable[[], None]:
    """For ``preexec_fn``: a user namespace of its own, in which this user is ``user_id`` (default: as outside).

    With ``run_files`` or ``run_links`` a mount namespace too, in which ``/run`` is empty but for these files (path ->
    content) and symbolic links (path -> target outside of ``/run``, for what changes): what a container would find there.
    Nothing of it is visible outside or left behind. Also does what ``die_with_parent`` does, with ``death_signal``.
    """
    own_run = run_files is not None or run_links is not None

    def enter() -> None:
        uid, gid = os.geteuid(), os.getegid()
        flags = _CLONE_NEWUSER | (_CLONE_NEWNS if own_run else 0)
        _checked(_libc.unshare(flags), "unshare")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid if user_id is None else user_id} {uid} 1")
        _write("/proc/self/gid_map", f"{gid if user_id is None else user_id} {gid} 1")
        if own_run:
            _checked(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "mount")
            _checked(_libc.mount(b"tmpfs", b"/run", b"tmpfs", 0, b"mode=0755"), "mount")
            for path, content in (run_files or {}).items():
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - little may run after a fork
                with open(path, "wb") as file:  # noqa: PTH123
                    file.write(content)
            for path, target in (run_links or {}).items():
                os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
                os.symlink(target, path)  # noqa: PTH211
        _die_with_parent(death_signal)  # after unshare, which clears it

    return enter


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(text)


def _checked(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")
