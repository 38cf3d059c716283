"""Processes that end with whoever started them, also when that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """For ``preexec_fn``: the kernel kills this process when its parent ends (prctl(2), PR_SET_PDEATHSIG).

    The parent is a thread: start such processes from one that lives as long as they should.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent ended between fork and prctl
        os._exit(1)
