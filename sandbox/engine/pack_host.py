"""Runs a Python policy pack as Pulumi's analyzer plugin for Python does: ``python -m pulumi.policy ADDRESS .`` in its folder.

Started by the engine as a script, in a process of its own, which ends with the engine.
"""

import contextlib
import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    with contextlib.suppress(OSError, AttributeError):  # Linux; elsewhere the engine ends it when it closes
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as -m does; this script's folder is no place to import from
    runpy.run_module("pulumi.policy", run_name="__main__", alter_sys=True)
