"""Set-up as the Makefile calls it, on this checkout, which is set up."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.toolchain import display, go
from sandbox.toolchain.store import Status, Store
from tests.toolchain.small_module import CHECKOUT
from tests.waiting import until


def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **changed}
    return subprocess.run(
        [sys.executable, "-m", "sandbox.toolchain", *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def set_up() -> None:
    said = run("setup")
    assert said.returncode == 0, said.stderr


def test_a_second_set_up_does_nothing() -> None:
    said = run("setup")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "set up: nothing to do\n")


def test_a_command_runs_in_the_environment_and_only_its_output_is_printed() -> None:
    said = run("run", "--", "-c", "import os, sys; print(sys.prefix, os.environ['PATH'].split(':')[0])")
    folder = CHECKOUT / ".venv"
    assert said.stdout == f"{folder} {folder / 'bin'}\n"
    assert said.stderr == ""


def test_a_commands_exit_code_is_passed_on() -> None:
    assert run("run", "--python-only", "--", "-c", "raise SystemExit(3)").returncode == 3


def test_a_command_that_needs_no_binaries_runs_without_them(tmp_path: Path) -> None:
    said = run("run", "--python-only", "--", "-c", "print('ran')", STRONGROOM_CACHE=str(tmp_path))
    assert said.stdout == "ran\n"
    assert not list(tmp_path.iterdir())


def test_a_build_that_fails_fails_the_set_up_and_says_why(tmp_path: Path) -> None:
    said = run("setup", STRONGROOM_CACHE=str(tmp_path), GOPROXY="http://127.0.0.1:1")
    assert said.returncode == 1
    assert "error: " in said.stderr
    assert "127.0.0.1 does not answer" in said.stderr or "free disk" in said.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_set_up_that_is_ended_takes_the_build_with_it(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a module proxy that takes calls and never answers
        environment = {
            **os.environ,
            "STRONGROOM_CACHE": str(tmp_path),
            "GOPROXY": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "sandbox.toolchain", "setup"],
            cwd=CHECKOUT,
            env=environment,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                silent.settimeout(60)
                connection, _ = silent.accept()
                store = Store.of(go.store().pins, tmp_path)
                status = store.read_status()
                assert status is not None
                assert status.alive()
                if sent == signal.SIGINT:
                    os.killpg(process.pid, sent)  # as a terminal does
                else:
                    process.kill()
                assert process.wait(60) == code
                until("the installer has ended", lambda: not status.alive())
                connection.close()
            finally:
                process.kill()


def test_without_a_terminal_progress_is_plain_lines_one_a_step() -> None:
    stream = io.StringIO()
    lines = display.Lines(stream)
    for done in range(100):
        lines.now(f"compiling {done}", topic="compiling")
    lines.now("linking")
    lines.say("✓ finished 3 s")
    assert stream.getvalue() == "  compiling 0\n  linking\n✓ finished 3 s\n"


def test_on_a_terminal_progress_is_one_line_that_fits() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    lines = display.Lines(stream)
    lines.now("x" * 500)
    lines.say("done")
    painted = stream.getvalue().split("\r\x1b[K")
    assert len(painted[1]) < 500
    assert painted[2] == "done\n"


def test_each_finished_step_is_told_once() -> None:
    steps, late = display.Steps(), display.Steps(late=True)
    status = Status(pid=1, steps=[("first", 61.0)])
    assert steps.new(status) == ["✓ first 1 m 01 s"]
    assert late.new(status) == []
    status.steps.append(("second", 2.0))
    assert steps.new(status) == late.new(status) == ["✓ second 2 s"]
