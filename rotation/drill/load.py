"""Load on a pool while its credential is rotated: every request's latency and outcome, every rotation's time."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

QUERY = "SELECT 1"
_ADOPTED_WITHIN = 30.0


@dataclass
class Load:
    """What happened. Times are seconds of ``time.perf_counter``."""

    began: float = 0.0
    ended: float = 0.0
    starts: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))
    failures: list[str] = field(default_factory=list)
    rotations: list[tuple[float, float]] = field(default_factory=list)
    """Begin of the rotation, and when the pool had replaced its connections."""
    waited: list[str] = field(default_factory=list)
    """Rotations that did not arrive in time."""

    @property
    def requests(self) -> int:
        return len(self.starts) + len(self.failures)

    @property
    def per_second(self) -> float:
        return self.requests / (self.ended - self.began)


class _Conductor:
    """Rotates whenever another share of the requests is done."""

    def __init__(
        self, requests: int, rotations: int, pause: float, rotate: Callable[[], None], generation: Callable[[], int]
    ) -> None:
        self._pause = pause
        self.counter = itertools.count(1)
        self.done = 0
        self._requests, self._rotations = requests, rotations
        self._rotate, self._generation = rotate, generation
        self._all_rotated = False
        self.stop = threading.Event()

    def more(self) -> bool:
        """Whether another request is due; they go on until the last rotation is done."""
        self.done = next(self.counter)
        return self.done <= self._requests or not self._all_rotated

    def run(self, load: Load) -> None:
        try:
            self._run(load)
        finally:
            self.stop.wait(2 * self._pause)  # a quiet end, to compare with
            self._all_rotated = True

    def _run(self, load: Load) -> None:
        for number in range(self._rotations):
            share = self._requests * (number + 1) / (self._rotations + 1)
            while self.done < share:
                if self.stop.wait(0.005):
                    return
            if self.stop.wait(self._pause):
                return
            before = self._generation()
            began = time.perf_counter()
            try:
                self._rotate()
            except Exception as error:  # noqa: BLE001 - reported as what it is
                load.waited.append(f"rotation {number + 1}: {type(error).__name__}: {error}")
                continue
            until = began + _ADOPTED_WITHIN
            while self._generation() <= before and time.perf_counter() < until:
                time.sleep(0.005)
            if self._generation() <= before:
                load.waited.append(f"rotation {number + 1} was not taken over within {_ADOPTED_WITHIN:.0f} s")
            load.rotations.append((began, time.perf_counter()))


def run(
    pool: Any,
    *,
    requests: int,
    rotations: int,
    rotate: Callable[[], None],
    threads: int = 8,
    pause: float = 0.0,
    rate: float = 0.0,
    generation: Callable[[], int] | None = None,
    query: str = QUERY,
) -> Load:
    """At least ``requests`` queries from ``threads`` threads, and ``rotations`` rotations spread evenly over them.

    ``pause``: at least so many seconds between two rotations. ``rate``: requests a second of all threads together, at an
    even pace, late ones at once; 0: as many as possible.
    """
    load = Load()
    conductor = _Conductor(requests, rotations, pause, rotate, generation or (lambda: int(pool.guard.minimum)))
    lock = threading.Lock()

    def work(number: int) -> None:
        starts, latencies, failures = array("d"), array("d"), []
        clock = time.perf_counter
        pace = threads / rate if rate else 0.0
        due = clock() + pace * number / threads
        while conductor.more():
            if pace and (early := due - clock()) > 0:
                time.sleep(early)
            due += pace
            start = clock()
            try:
                with pool.connection() as connection:
                    connection.execute(query)
            except Exception as error:  # noqa: BLE001 - a failed request is what is counted
                failures.append(f"{type(error).__name__}: {error}")
            else:
                starts.append(start)
                latencies.append(clock() - start)
        with lock:
            load.starts.extend(starts)
            load.latencies.extend(latencies)
            load.failures.extend(failures)

    workers = [threading.Thread(target=work, args=(number,), name=f"load-{number}") for number in range(threads)]
    conducting = threading.Thread(target=conductor.run, args=(load,), name="load-rotations")
    load.began = time.perf_counter()
    for worker in [*workers, conducting]:
        worker.start()
    for worker in workers:
        worker.join()
    load.ended = time.perf_counter()
    conducting.join(_ADOPTED_WITHIN + 30)
    conductor.stop.set()
    return load


async def run_async(
    pool: Any,
    *,
    requests: int,
    rotations: int,
    rotate: Callable[[], None],
    tasks: int = 8,
    pause: float = 0.0,
    rate: float = 0.0,
    query: str = QUERY,
) -> Load:
    """The same from ``tasks`` tasks of one event loop; ``rotate`` runs in a thread."""
    load = Load()
    conductor = _Conductor(requests, rotations, pause, rotate, lambda: int(pool.guard.minimum))

    async def work(number: int) -> None:
        clock = time.perf_counter
        pace = tasks / rate if rate else 0.0
        due = clock() + pace * number / tasks
        while conductor.more():
            if pace and (early := due - clock()) > 0:
                await asyncio.sleep(early)
            due += pace
            start = clock()
            try:
                async with pool.connection() as connection:
                    await connection.execute(query)
            except Exception as error:  # noqa: BLE001 - a failed request is what is counted
                load.failures.append(f"{type(error).__name__}: {error}")
            else:
                load.starts.append(start)
                load.latencies.append(clock() - start)

    load.began = time.perf_counter()
    conducting: Awaitable[None] = asyncio.ensure_future(asyncio.to_thread(conductor.run, load))
    await asyncio.gather(*(work(number) for number in range(tasks)))
    load.ended = time.perf_counter()
    await conducting
    conductor.stop.set()
    return load
