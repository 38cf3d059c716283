"""One server's process: started, waited for until it is ready, watched, stopped, its log kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import psutil

from sandbox.process import die_with_parent
from sandbox.servers.errors import NotSupported, ServerFailed

TAIL_LINES = 15
GRACE_SECONDS = 10.0


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class ManagedProcess:
    """A child process with a name, a log and a readiness check. Start it from the supervisor's main thread."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        log: Path,
        address: str,
        ready: Callable[[], Awaitable[bool]],
        deadline: float = 60.0,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] = die_with_parent,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.log = log
        self.address = address
        self.state = "stopped"
        self.started_at = 0.0
        self.seconds_to_ready = 0.0
        self._ready = ready
        self._deadline = deadline
        self._environment = {**os.environ, **(environment or {})}
        self._prepare = prepare
        self._cwd = cwd
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def memory_bytes(self) -> int | None:
        """Resident memory of the process and its children, in bytes (shared pages counted once, as far as PSS is known)."""
        if self.pid is None:
            return None
        try:
            process = psutil.Process(self.pid)
            return sum(_memory(each) for each in [process, *process.children(recursive=True)])
        except psutil.Error:
            return None

    async def start(self) -> None:
        """Start and wait until ready. Raises ServerFailed with the end of the log, NotSupported where it cannot run here."""
        self.state = "starting"
        self.started_at = time.time()
        began = time.monotonic()
        with self.log.open("ab") as log:
            os.chmod(self.log, 0o600)
            try:
                self._process = subprocess.Popen(
                    self.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._cwd,
                    preexec_fn=self._prepare,
                    start_new_session=True,
                )
            except subprocess.SubprocessError as error:
                self.state = "failed"
                raise NotSupported(
                    f"{self.name}: cannot enter a user namespace here, which it needs; "
                    "allow them (sysctl user.max_user_namespaces), or run on a machine that does"
                ) from error
        while time.monotonic() - began < self._deadline:
            if self._process.poll() is not None:
                break
            if await self._ready():
                self.seconds_to_ready = time.monotonic() - began
                self.state = "ready"
                return
            await asyncio.sleep(0.05)
        ended = self._process.poll()
        what = f"ended with code {ended}" if ended is not None else f"was not ready within {self._deadline:.0f} s"
        await self.stop()
        self.state = "failed"
        raise ServerFailed(f"{self.name} {what}; the end of its log:\n{tail(self.log)}")

    async def stop(self) -> None:
        """Ask it to end, then insist."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self._stop_signal)
            for _ in range(int(GRACE_SECONDS / 0.05)):
                if process.poll() is not None:
                    break
                await asyncio.sleep(0.05)
            else:
                process.kill()
                process.wait()
        self.state = "stopped"

    def check(self) -> bool:
        """Whether it still runs; a ready one that ended becomes ``crashed``."""
        if self.state == "ready" and self.exit_code is not None:
            self.state = "crashed"
        return self.state != "crashed"


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return int(process.memory_info().rss)
