"""The state while it changes: a lock, an append-only journal, and the whole state at the end.

    STATE           the deployment as it was at the end of the last run that ended
    STATE.journal   what this run has done to it so far, one JSON line a change
    STATE.lock      held by the engine that works on it

Every change is a line of its own, written with one fsync for all that wait for it (so a run is linear in its steps, not
quadratic), and before anything is built on it. At the end the whole state is written at once and the journal removed. A
run that was killed leaves its journal: the next one replays it, provided that it belongs to this state (it names its digest).

    {"base": "<sha256 of STATE>"}                                 first line
    {"salt": "v1:..."}                                            the salt of the secrets that follow
    {"begin": 7, "type": "creating", "resource": {...}}           an operation begins
    {"put": {"n3": {...}}, "drop": ["o2"], "end": 7}              it ended so; o2 (the third of STATE) is gone
    {"end": 7}                                                    it ended and changed nothing
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from sandbox.engine import state
from sandbox.engine.errors import StateError, StateLocked
from sandbox.engine.secrets import Crypter
from sandbox.engine.state import Codec, Pending, Resource, Snapshot


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class Lock:
    """At most one engine on a state. The operating system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = _beside(path, ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises StateLocked where another engine has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read().strip() or "unknown"
                file.close()
                raise StateLocked(
                    f"{self._path}: the state is locked by another engine (process {holder}); wait for it to end"
                ) from None
            # The file may have been removed by its last holder between our open and our lock.
            try:
                same = self._path.stat().st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                same = False
            if same:
                break
            file.close()
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None


class Store:
    """A stack's resources on disk. With ``durable=False`` (a preview) nothing is written."""

    def __init__(self, path: Path, passphrase: str | None, *, durable: bool = True) -> None:
        """Reads the state and replays a leftover journal. Raises StateError, SecretsError."""
        self.path = path
        self.durable = durable
        self._journal_path = _beside(path, ".journal")
        document = state.read_document(path)
        self.codec = Codec(state.crypter_of(document, passphrase, path))
        leftover = self._leftover()
        salt = next((line["salt"] for line in leftover if "salt" in line), None)
        if salt and not self.codec.crypter.used:
            self.codec.crypter = Crypter(passphrase, salt, where=str(path))
        try:
            self.snapshot = state.load(document, self.codec)
        except StateError as error:
            raise StateError(f"{path}: {error}") from error
        self.replayed = bool(leftover)
        self._keys: dict[int, str] = {}
        self._live: dict[str, Resource] = {f"o{at}": item for at, item in enumerate(self.snapshot.resources)}
        if leftover:
            self._replay(leftover)
            self.snapshot.resources = state.in_order(self.snapshot.resources)
        # What follows is journalled against the resources as they are now.
        self._live = {f"o{at}": item for at, item in enumerate(self.snapshot.resources)}
        self._keys = {id(item): key for key, item in self._live.items()}
        self._pending: dict[int, Pending] = {-1 - at: item for at, item in enumerate(self.snapshot.pending)}
        self._operations = 0
        self._made = 0
        self._file: IO[bytes] | None = None
        self._salt_written = False
        self._buffer: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    # -- reading ----------------------------------------------------------------------------------------------------

    def _leftover(self) -> list[dict[str, Any]]:
        try:
            raw = self._journal_path.read_bytes()
        except FileNotFoundError:
            return []
        lines: list[dict[str, Any]] = []
        for text in raw.split(b"\n")[:-1]:  # what follows the last newline was never finished
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError as error:
                raise StateError(f"{self._journal_path}: line {len(lines) + 1} is damaged: {error}") from error
        if not lines or lines[0].get("base") != self._digest():
            return []  # it belongs to a state that has been written since: there is nothing in it that is not there
        return lines

    def _digest(self) -> str:
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

    def _replay(self, lines: Sequence[dict[str, Any]]) -> None:
        pending = {-1 - at: item for at, item in enumerate(self.snapshot.pending)}
        live = self._live
        made: dict[str, Resource] = {}
        for line in lines:
            if "begin" in line:
                pending[line["begin"]] = Pending(self.codec.load(line["resource"]), line["type"])
            for key in line.get("drop", ()):
                live.pop(key, None)
                made.pop(key, None)
            for key, data in line.get("put", {}).items():
                (live if key in live else made)[key] = self.codec.load(data)
            if "end" in line:
                pending.pop(line["end"], None)
        self.snapshot = Snapshot([*made.values(), *live.values()], list(pending.values()))

    # -- changes ----------------------------------------------------------------------------------------------------

    async def begin(self, kind: str, resource: Resource) -> int:
        """Record that an operation begins; returns its number once that is on disk."""
        self._operations += 1
        number = self._operations
        self._pending[number] = Pending(resource, kind)
        if self.durable:
            self._write({"begin": number, "type": kind, "resource": self.codec.dump(resource)})
            await self.flush()
        return number

    def put(self, *resources: Resource, drop: Sequence[Resource] = (), end: int | None = None) -> None:
        """Record resources as they are now, what they replace, and the end of the operation that made them so."""
        line: dict[str, Any] = {"put": {}}
        for resource in resources:
            key = self._keys.get(id(resource))
            if key is None:
                self._made += 1
                key = f"n{self._made}"
                self._keys[id(resource)] = key
            self._live[key] = resource
            if self.durable:
                line["put"][key] = self.codec.dump(resource)
        self._finish(line, [key for item in drop if (key := self._forget(item))], end)

    def same(self, old: Resource, new: Resource) -> None:
        """``put`` for a resource that may be just as it was: then there is nothing to record."""
        key = self._keys.get(id(old))
        if key is None or (self.durable and self.codec.dump(old) != self.codec.dump(new)):
            self.put(new, drop=[old])
            return
        del self._keys[id(old)]
        self._keys[id(new)] = key
        self._live[key] = new

    def drop(self, resources: Sequence[Resource], *, end: int | None = None) -> None:
        """Record that resources are gone."""
        self._finish({}, [key for item in resources if (key := self._forget(item))], end)

    def end(self, number: int) -> None:
        """Record that an operation ended without having changed anything."""
        self._finish({}, [], number)

    def forget_pending(self, pending: Pending) -> None:
        """Record that nobody waits for an operation of an earlier run any more."""
        for number, item in list(self._pending.items()):
            if item is pending:
                self._finish({}, [], number)

    def _forget(self, resource: Resource) -> str | None:
        key = self._keys.pop(id(resource), None)
        if key is not None:
            self._live.pop(key, None)
        return key

    def _finish(self, line: dict[str, Any], dropped: list[str], end: int | None) -> None:
        if dropped:
            line["drop"] = dropped
        if end is not None:
            line["end"] = end
            self._pending.pop(end, None)
        if self.durable and line:
            self._write(line)

    def resources(self) -> list[Resource]:
        """All resources: those made in this run first, in the order of their making."""
        made = [item for key, item in self._live.items() if key.startswith("n")]
        return made + [item for key, item in self._live.items() if key.startswith("o")]

    # -- writing ----------------------------------------------------------------------------------------------------

    def _write(self, line: dict[str, Any]) -> None:
        if not self._salt_written and self.codec.crypter.used:
            self._salt_written = True
            self._buffer.append(_encoded({"salt": self.codec.crypter.salt}))
        self._buffer.append(_encoded(line))

    async def flush(self) -> None:
        """Returns when all that was recorded before is on disk. Many may wait for one fsync."""
        if not self.durable or not (self._buffer or self._flushing):
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        await waiter

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # whatever ends in this turn of the loop shares the fsync
                waiting, self._waiting = self._waiting, []
                lines, self._buffer = self._buffer, []
                try:
                    if lines:
                        await asyncio.to_thread(self._append, b"".join(lines))
                except OSError as error:
                    failure = StateError(f"{self._journal_path}: cannot write the journal: {error}")
                    for waiter in waiting:
                        if not waiter.done():
                            waiter.set_exception(failure)
                    continue
                for waiter in waiting:
                    if not waiter.done():
                        waiter.set_result(None)
        finally:
            self._flushing = None

    def _append(self, data: bytes) -> None:
        if self._file is None:
            descriptor = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            self._file.write(_encoded({"base": self._digest()}))
        self._file.write(data)
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def start(self) -> None:
        """Before the first change: fold what a killed run left into the state, so that one journal has one base."""
        if self.durable and self.replayed:
            self._save(self.snapshot)

    def save(self) -> None:
        """Write the whole state and remove the journal."""
        if self.durable:
            self._save(Snapshot(self.resources(), list(self._pending.values())))

    def _save(self, snapshot: Snapshot) -> None:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state.write_document(self.path, state.dump(snapshot, self.codec))
        self._journal_path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
