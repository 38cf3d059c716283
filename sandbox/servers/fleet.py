"""The servers of one sandbox: what each needs, started side by side, stopped in the order in which they can be missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sandbox.servers.aws import AwsServer
from sandbox.servers.certificates import Authority
from sandbox.servers.errors import NotSupported, ServerError, ServerFailed
from sandbox.servers.files import Ports, private_folder
from sandbox.servers.kubernetes import ApiServer, ControllerManager, Etcd
from sandbox.servers.managed import ManagedProcess, tail
from sandbox.servers.openbao import OpenBao
from sandbox.servers.postgres import PostgreSQL
from sandbox.servers.wire import Progress
from sandbox.toolchain.errors import ToolchainError

# Each server and those that must be ready before it starts.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "etcd": (),
    "kube-apiserver": ("etcd",),
    "kube-controller-manager": ("kube-apiserver",),
    "vault": (),
    "postgres": (),
    "aws": (),
}
# What a caller asks for, and the servers that make it up.
PARTS: Mapping[str, tuple[str, ...]] = {
    "vault": ("vault",),
    "postgres": ("postgres",),
    "kubernetes": ("etcd", "kube-apiserver", "kube-controller-manager"),
    "aws": ("aws",),
}


class Server(Protocol):
    process: ManagedProcess

    def start(self) -> Awaitable[Any]: ...


class Fleet:
    """The servers at one state directory. Not for several threads: it lives in the supervisor's event loop."""

    def __init__(self, state_dir: Path, prepare: Callable[[ManagedProcess], None]) -> None:
        self._state_dir = state_dir
        self._prepare = prepare
        self.ports = Ports(state_dir)
        self.authority = Authority(private_folder(state_dir / "certificates"))
        self._servers: dict[str, Server] = {}
        self.started: dict[str, Any] = {}  # what each server's start gave: its endpoint
        self._lock = asyncio.Lock()

    @property
    def processes(self) -> list[ManagedProcess]:
        return [self._servers[name].process for name in NEEDS if name in self._servers]

    async def ensure(self, parts: Iterable[str], on_progress: Progress) -> None:
        """Start what these parts need and what does not run; return once all is ready.

        Raises the first failure, when all have come to an end: a ServerError with the name and the end of the log.
        """
        names = [name for name in NEEDS if any(name in PARTS[part] for part in parts)]
        async with self._lock:
            tasks: dict[str, asyncio.Task[None]] = {}
            for name in names:
                before = [tasks[needed] for needed in NEEDS[name]]
                tasks[name] = asyncio.create_task(self._start(name, before, on_progress), name=name)
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in sorted(failures, key=lambda failure: isinstance(failure, _NeedFailed)):
            raise failure

    async def _start(self, name: str, before: Sequence[asyncio.Task[None]], on_progress: Progress) -> None:
        began = time.monotonic()
        try:
            await asyncio.gather(*before)
        except Exception as error:
            raise _NeedFailed(f"{name} was not started: {error}") from error
        try:
            server = self._server(name)
        except (ToolchainError, FileNotFoundError) as error:
            on_progress(name, "failed", 0.0)
            raise NotSupported(f"{name}: {error}") from error
        running = server.process.check() and server.process.state == "ready"
        if running and not isinstance(server, OpenBao):
            return
        try:
            if running and isinstance(server, OpenBao):
                await server.unseal_if_sealed()
                return
            on_progress(name, "starting", 0.0)
            self.started[name] = await server.start()
        except ServerError:
            on_progress(name, "failed", time.monotonic() - began)
            raise
        except Exception as error:
            on_progress(name, "failed", time.monotonic() - began)
            log = tail(server.process.log)
            raise ServerFailed(f"{name}: {type(error).__name__}: {error}; the end of its log:\n{log}") from error
        on_progress(name, "ready", time.monotonic() - began)

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            server = self._made(name)
            self._prepare(server.process)
            self._servers[name] = server
        return self._servers[name]

    def _made(self, name: str) -> Server:
        place, ports, authority = self._state_dir, self.ports, self.authority
        if name == "vault":
            return OpenBao(place, ports, authority)
        if name == "postgres":
            return PostgreSQL(place, ports)
        if name == "etcd":
            return Etcd(place, ports, authority)
        if name == "kube-apiserver":
            etcd = self._server("etcd")
            assert isinstance(etcd, Etcd)
            return ApiServer(place, ports, authority, etcd.address)
        kubernetes = self._api_server().endpoint
        if name == "kube-controller-manager":
            return ControllerManager(place, ports, authority, kubernetes)
        return AwsServer(place, ports, kubernetes)

    def _api_server(self) -> ApiServer:
        server = self._server("kube-apiserver")
        assert isinstance(server, ApiServer)
        return server

    def endpoints(self) -> dict[str, Any]:
        """The endpoint of each part that runs, as plain data."""
        names = {part: "kube-apiserver" if part == "kubernetes" else part for part in PARTS}
        return {
            part: asdict(self.started[name])
            for part, name in names.items()
            if name in self.started and self._servers[name].process.state == "ready"
        }

    async def stop(self, *, kill: bool) -> None:
        """Stop all. etcd goes last: an API server that loses it first can hang for a minute."""
        await asyncio.gather(
            *(
                # PostgreSQL is always asked: killed, it would leave a segment of shared memory.
                server.process.stop(kill=kill and name != "postgres")
                for name, server in self._servers.items()
                if name != "etcd"
            )
        )
        if "etcd" in self._servers:
            await self._servers["etcd"].process.stop(kill=kill)


class _NeedFailed(ServerFailed):
    """Another server, which this one needs, failed: that one's own failure says why."""
