"""The program's process: started, its lines passed on, ended with the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
GRACE_SECONDS = 5.0  # how long a program may take to end by itself after the run has stopped
_LONGEST_LINE = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and as which stack."""

    path: Path
    project: str
    stack: str
    organization: str
    python: str = sys.executable
    root: Path | None = None


class Process:
    """The running program."""

    def __init__(self, process: asyncio.subprocess.Process, tell: Callable[[str, str], None]) -> None:
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, "stdout", tell)),
            asyncio.create_task(self._read(process.stderr, "stderr", tell)),
        ]

    @classmethod
    async def start(
        cls,
        program: Program,
        address: str,
        environment: Mapping[str, str],
        *,
        preview: bool,
        parallel: int,
        tell: Callable[[str, str], None],
    ) -> Process:
        """``environment`` is the program's whole environment; ``tell`` gets its lines with the stream's name."""
        folder = program.path if program.path.is_dir() else program.path.parent
        arguments = [str(LAUNCHER), "--project", program.project, "--stack", program.stack]
        arguments += ["--organization", program.organization, "--root", str(program.root or folder)]
        arguments += ["--monitor", address, "--engine", address, "--parallel", str(parallel)]
        if preview:
            arguments.append("--dry-run")
        process = await asyncio.create_subprocess_exec(
            program.python,
            *arguments,
            str(program.path),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            limit=_LONGEST_LINE,
            start_new_session=True,  # a Ctrl-C is the engine's to handle; the program is told by its calls
        )
        return cls(process, tell)

    @staticmethod
    async def _read(stream: asyncio.StreamReader, name: str, tell: Callable[[str, str], None]) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than anything that could be shown
                continue
            if not line:
                return
            tell(name, line.decode("utf-8", "replace").rstrip("\n"))

    async def wait(self) -> int:
        code = await self._process.wait()
        # A child of the program may keep its streams open: what the program itself wrote is there by then.
        await asyncio.wait(self._readers, timeout=1.0)
        return code

    async def stop(self) -> None:
        """Let it end, then end it with all that it started."""
        if self._process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await asyncio.wait(self._readers, timeout=1.0)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
