"""The one process that owns every server and controller of a sandbox: they end when it ends, however it ends.

    python -m sandbox.servers.supervisor STATE_DIR [--owner PID]

With ``--owner`` it ends when that process does, and removes the state directory: a test run's sandbox leaves nothing
behind, also when the run is killed. ``sandbox.servers`` starts it and talks to it (``wire``).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox.servers import leftovers, wire
from sandbox.servers.controller_host import ControllerHost
from sandbox.servers.controllers import ControllerSpec
from sandbox.servers.errors import ServerError
from sandbox.servers.files import private_folder
from sandbox.servers.fleet import Fleet
from sandbox.servers.managed import ManagedProcess, ending, tail
from sandbox.servers.place import MARK, lock, remove
from sandbox.toolchain.paths import cache_root

UNEXPECTED = "ServerError"
LOCK_ATTEMPTS = 5


def note(message: str) -> None:
    """One line of the supervisor's own log."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


class Supervisor:
    """Serves requests until it is told to stop."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._record = leftovers.Record(state_dir)
        self._fleet = Fleet(state_dir, self._prepare)
        self._controllers = ControllerHost(state_dir, self._fleet.ports, self._fleet.authority, self._prepare, note)
        self._ended = asyncio.Event()
        self._kill = False
        self.orphaned = False  # the owner has ended

    async def run(self, owner: int | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        if owner is not None:
            self._follow(owner)
        listening = wire.listen(self._state_dir)
        server = await asyncio.start_unix_server(self._serve, sock=listening, limit=wire.LINE_LIMIT)
        note(f"supervisor {os.getpid()} listens")
        await self._ended.wait()
        await self._controllers.stop(kill=self._kill)
        await self._fleet.stop(kill=self._kill)
        server.close()

    def _follow(self, owner: int) -> None:
        def end() -> None:
            self._kill = self.orphaned = True
            self._ended.set()

        try:
            asyncio.get_running_loop().add_reader(os.pidfd_open(owner), end)
        except ProcessLookupError:
            end()

    def _prepare(self, process: ManagedProcess) -> None:
        process.on_start = self._record.add
        process.on_end = self._record.discard
        process.on_crash = self._crashed

    @staticmethod
    def _crashed(process: ManagedProcess) -> None:
        code = process.exit_code
        how = ending(code) if code is not None else "ended"
        note(f"{process.name} {how}; the end of its log:\n{tail(process.log)}")

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def progress(name: str, state: str, seconds: float) -> None:
            writer.write(wire.encode({"progress": [name, state, round(seconds, 3)]}))

        try:
            line = await reader.readline()
            if not line:
                return
            writer.write(wire.encode(await self._answer(json.loads(line), progress)))
            await writer.drain()
        except ConnectionError:
            pass  # the caller went away; what it asked for goes on
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any], progress: Callable[[str, str, float], None]) -> dict[str, Any]:
        try:
            return {"result": await self._do(request, progress)}
        except ServerError as error:
            note(str(error))
            return {"error": type(error).__name__.lstrip("_"), "message": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            note(f"{request.get('do')}: {type(error).__name__}: {error}")
            return {"error": UNEXPECTED, "message": f"the supervisor failed at {request.get('do')!r}: {error!r}"}

    async def _do(self, request: dict[str, Any], progress: Callable[[str, str, float], None]) -> Any:
        verb = request["do"]
        if verb == "start":
            await self._fleet.ensure(request["parts"], progress)
            await self._resume(progress)
            return self._fleet.endpoints()
        if verb == "status":
            return await asyncio.gather(*(_status(process) for process in self._processes()))
        if verb == "apply":
            self._tell()
            return await self._controllers.apply(ControllerSpec(**request["spec"]))
        if verb == "remove":
            return await self._controllers.remove(request["name"])
        if verb == "stop":
            self._kill = request["kill"]
            self._ended.set()
            return None
        raise ServerError(f"the supervisor knows no {verb!r}")

    def _processes(self) -> list[ManagedProcess]:
        return [*self._fleet.processes, *self._controllers.processes]

    async def _resume(self, progress: Callable[[str, str, float], None]) -> None:
        if "kube-apiserver" in self._fleet.started:
            self._tell()
            await self._controllers.resume(progress)

    def _tell(self) -> None:
        """Tell the controllers where the servers are that run now."""
        started, told = self._fleet.started, self._controllers.endpoints
        if "kube-apiserver" not in started:
            raise ServerError("controllers need the API server, which this sandbox does not run")
        told.kubernetes, told.vault, told.aws = started["kube-apiserver"], started.get("vault"), started.get("aws")


async def _status(process: ManagedProcess) -> dict[str, Any]:
    trouble, memory = await asyncio.gather(process.trouble(), asyncio.to_thread(process.memory_bytes))
    state = "unhealthy" if trouble and process.state == "ready" else process.state
    return {
        "name": process.name,
        "state": state,
        "address": process.address,
        "pid": process.pid,
        "memory_bytes": memory,
        "since": process.started_at,
        "trouble": trouble,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.servers.supervisor")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--owner", type=int, help="end, and remove the state directory, when this process ends")
    options = parser.parse_args()
    state_dir: Path = options.state_dir
    os.umask(0o077)
    for _ in range(LOCK_ATTEMPTS):  # somebody may look, at this moment, whether it is taken
        with lock(state_dir) as held:
            if held:
                _serve(state_dir, options.owner)
                return 0
        time.sleep(0.1)
    return 0  # another one was quicker: that one serves


def _serve(state_dir: Path, owner: int | None) -> None:
    if not (state_dir / MARK).exists():
        return  # it was stopped and removed before this one had begun
    for name in leftovers.sweep(state_dir):
        note(f"killed {name}, which an earlier supervisor had left")
    os.environ["STRONGROOM_CACHE"] = str(cache_root())  # where it is by the user's own HOME
    # Servers must not write to the user's own folders.
    os.environ["HOME"] = str(private_folder(state_dir / "home"))
    os.environ["TMPDIR"] = str(private_folder(state_dir / "tmp"))
    tempfile.tempdir = None
    private_folder(state_dir / "logs")
    supervisor = Supervisor(state_dir)
    asyncio.run(supervisor.run(owner))
    note("supervisor ended")
    if supervisor.orphaned:
        remove(state_dir)


if __name__ == "__main__":
    sys.exit(main())
