"""One server's process: started, waited for until it is ready, watched, stopped, its log kept."""

from __future__ import annotations

import asyncio
import contextlib
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
PROBE_SECONDS = 5.0
LOG_LIMIT = 20 * 2**20  # bytes; what a log has grown beyond it is kept as `.old` at the next start

# The user's own settings for the same programs would change what the sandbox's servers do.
_FOREIGN = ("AWS_", "BAO_", "ETCD_", "KUBE", "MOTO_", "PG", "PULUMI_", "SSL_", "VAULT_", "POD_", "STRONGROOM_DB_")
_FOREIGN_SUFFIX = "_PROXY"


def clean_environment() -> dict[str, str]:
    """This process's environment without what would reconfigure a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(_FOREIGN) and not name.upper().endswith(_FOREIGN_SUFFIX)
    }


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


class ManagedProcess:
    """A child process with a name, a log and a readiness check. Start it from the supervisor's main thread.

    ``ready`` says whether it may be used; ``health``, where given, what is wrong with a running one ("" for nothing).
    ``state`` is stopped, starting, ready, failed (never became ready) or crashed (was ready, and ended by itself).
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        log: Path,
        address: str,
        ready: Callable[[], Awaitable[bool]],
        health: Callable[[], Awaitable[str]] | None = None,
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
        self.on_start: Callable[[int], None] = lambda _pid: None
        self.on_end: Callable[[int], None] = lambda _pid: None
        self.on_crash: Callable[[ManagedProcess], None] = lambda _process: None
        self._ready = ready
        self._health = health
        self._deadline = deadline
        self._environment = {**clean_environment(), **(environment or {})}
        self._prepare = prepare
        self._cwd = cwd
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

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
            own, children = _memory(process), process.children(recursive=True)
        except psutil.Error:
            return None
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):  # a server's workers come and go
                own += _memory(child)
        return own

    async def start(self) -> None:
        """Start and wait until ready. Raises ServerFailed with the end of the log, NotSupported where it cannot run here."""
        self.state = "starting"
        self._stopping = False
        self.started_at = time.time()
        began = time.monotonic()
        process = self._process = self._spawn()
        self.on_start(process.pid)
        self._watch(process)
        while time.monotonic() - began < self._deadline:
            if process.poll() is not None:
                break
            if await self._ready():
                self.state = "ready"
                return
            await asyncio.sleep(0.05)
        ended = process.poll()
        what = ending(ended) if ended is not None else f"was not ready within {self._deadline:.0f} s"
        await self.stop()
        self.state = "failed"
        raise ServerFailed(f"{self.name} {what}; the end of its log:\n{tail(self.log)}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as log:
            self.log.chmod(0o600)
            try:
                return subprocess.Popen(
                    self.arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._cwd or self.log.parent,
                    preexec_fn=self._prepare,
                    start_new_session=True,
                )
            except OSError as error:
                self.state = "failed"
                raise ServerFailed(f"{self.name} could not be started: {error}") from error
            except subprocess.SubprocessError as error:
                self.state = "failed"
                raise NotSupported(
                    f"{self.name}: cannot enter a user namespace here, which it needs; "
                    "allow them (sysctl user.max_user_namespaces), or run on a machine that does"
                ) from error

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Learn of its end from the kernel, without asking again and again."""
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(process.pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            process.wait()
            self.on_end(process.pid)
            if process is self._process:
                self.check()

        loop.add_reader(descriptor, ended)

    async def stop(self, *, kill: bool = False) -> None:
        """Ask it to end, then insist; with ``kill`` insist at once."""
        self._stopping = True
        process = self._process
        if process is not None and process.poll() is None:
            if kill:
                process.kill()
            else:
                process.send_signal(self._stop_signal)
            for _ in range(int(GRACE_SECONDS / 0.02)):
                if process.poll() is not None:
                    break
                await asyncio.sleep(0.02)
            else:
                process.kill()
                process.wait()
        self.state = "stopped"

    def check(self) -> bool:
        """Whether it still runs; a ready one that ended becomes ``crashed``, and whoever sees it first reports it."""
        if self.state == "ready" and self.exit_code is not None and not self._stopping:
            self.state = "crashed"
            self.on_crash(self)
        return self.state != "crashed"

    async def trouble(self) -> str:
        """What is wrong with it now; empty where it runs and answers in time."""
        if not self.check() or self.state == "failed":
            code = self.exit_code
            end = ending(code) if code is not None else "did not start"
            return f"{end}; the end of its log:\n{tail(self.log)}"
        if self.state != "ready":
            return ""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                if self._health is not None:
                    return await self._health()
                return "" if await self._ready() else "runs, but does not answer"
        except TimeoutError:
            return f"did not answer within {PROBE_SECONDS:.0f} s"


def ending(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        return int(process.memory_info().rss)
