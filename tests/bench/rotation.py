"""The rotation library against plain psycopg_pool and the class it grew out of: ``python -m tests.bench.rotation``.

One run, one PostgreSQL of its own, every figure beside its peer's. The first class is the one of the pattern's document,
on psycopg2 as it was; it is written here for comparison only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import random
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rotation import Credential, Credentials, Source, _clock
from rotation.drill import load
from rotation.drill.report import percentile
from sandbox import servers
from tests.bench.rotation_peers import POOLS, Published, Server, first_class, opened, ours, plain, with_callable

THREADS = 8
ROOT = Path(__file__).resolve().parents[2]
console = Console(width=130)


# Figures


def check_out(server: Server) -> None:
    """One thread, get and put, the best of interleaved rounds."""
    source = Published(None)
    source.value = server.user()
    rounds: dict[str, list[float]] = {name: [] for name in ("psycopg_pool", "rotation", "rotation, a lease")}
    lease = Published(None)
    lease.value, lease.life = source.value, 3600.0
    with (
        opened(plain, server, source) as one,
        opened(ours, server, source) as two,
        opened(ours, server, lease) as three,
    ):
        for _ in range(100):
            for name, pool in zip(rounds, (one, two, three), strict=True):
                began = time.perf_counter()
                for _ in range(500):
                    pool.putconn(pool.getconn())
                rounds[name].append((time.perf_counter() - began) / 500 * 1e6)
    best = {name: min(values) for name, values in rounds.items()}
    table = Table(
        "check-out and back, one thread", "best, us", "median, us", "above psycopg_pool, us", title_justify="left"
    )
    for name, values in rounds.items():
        table.add_row(
            name, f"{best[name]:.2f}", f"{statistics.median(values):.2f}", f"{best[name] - best['psycopg_pool']:+.2f}"
        )
    console.print(table)


def throughput(server: Server) -> None:
    table = Table(f"steady load, {THREADS} threads", "requests/s", "p50, ms", "p99, ms", title_justify="left")
    results: dict[str, list[load.Load]] = {name: [] for name in POOLS}
    for _ in range(3):
        for name, maker in POOLS.items():
            source = Published(None)
            source.value = server.user()
            with opened(maker, server, source) as pool:
                options = {"requests": 15_000, "rotations": 0, "threads": THREADS, "generation": int}
                results[name].append(load.run(pool, rotate=lambda: None, **options))
    for name, loads in results.items():
        best = max(loads, key=lambda each: each.per_second)
        p50, p99 = percentile(best.latencies, 50), percentile(best.latencies, 99)
        table.add_row(name, f"{best.per_second:,.0f}", f"{p50:.2f}", f"{p99:.2f}")
    console.print(table)


@dataclass
class Scenario:
    """One way in which a credential is changed under an application."""

    name: str
    rotate: Callable[[Server, Published], None]


def at_once(server: Server, source: Published) -> None:
    name, word = source.value[0], secrets.token_hex(12)
    server.run("ALTER ROLE {} PASSWORD {}", name, word)
    source.value = (name, word)


def late(server: Server, source: Published) -> None:
    name, word = source.value[0], secrets.token_hex(12)
    server.run("ALTER ROLE {} PASSWORD {}", name, word)
    time.sleep(0.2)
    source.value = (name, word)


def sessions_killed(server: Server, source: Published) -> None:
    moment = server.now()
    at_once(server, source)
    time.sleep(0.8)
    server.kill(source.value[0], before=moment)


def alternating(server: Server, source: Published) -> None:
    old = source.value[0]
    source.value = server.user()
    time.sleep(0.8)
    server.run("ALTER ROLE {} NOLOGIN", old)
    server.kill(old)


SCENARIOS = [
    Scenario("password changed, published at once", at_once),
    Scenario("password changed, published 0.2 s late", late),
    Scenario("password changed, old sessions killed 0.8 s later", sessions_killed),
    Scenario("alternating users, 0.8 s overlap, old sessions killed", alternating),
]


class Paced:
    """Requests at a steady pace from 8 threads; one fresh login a second, as pools that grow and shrink make."""

    def __init__(self, pool: Any, server: Server, rate: float) -> None:
        self.pool, self.rate = pool, rate
        self.good: list[tuple[float, float]] = []
        self.failed = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(THREADS)]

    def _work(self, number: int) -> None:
        pace = THREADS / self.rate
        due = time.perf_counter() + pace * number / THREADS
        while not self._stop.is_set():
            if (left := due - time.perf_counter()) > 0:
                time.sleep(left)
            due += pace * random.uniform(0.8, 1.2)
            start = time.perf_counter()
            try:
                with self.pool.connection() as connection:
                    connection.execute("SELECT 1")
            except Exception:  # noqa: BLE001 - counted
                self.failed += 1
            else:
                self.good.append((start, time.perf_counter() - start))

    def __enter__(self) -> Paced:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def rotations(server: Server, seconds: float = 2.0, times: int = 4) -> None:
    table = Table(
        "4 rotations at 400 requests/s",
        "pool",
        "ok",
        "failed",
        "p99 steady, ms",
        "p99 in the second of a rotation, ms",
        "ratio",
    )
    for scenario, (name, maker) in itertools.product(SCENARIOS, POOLS.items()):
        source = Published()
        source.value = server.user()
        with opened(maker, server, source) as pool, Paced(pool, server, 400) as paced:
            time.sleep(seconds)
            moments = []
            for _ in range(times):
                moments.append(time.perf_counter())
                scenario.rotate(server, source)
                time.sleep(max(seconds - (time.perf_counter() - moments[-1]), 0))
            time.sleep(0.5)
        steady = [took for start, took in paced.good if start < moments[0]]
        during = [took for start, took in paced.good if any(0 <= start - each < 1 for each in moments)]
        before, after = percentile(steady, 99), percentile(during, 99)
        ratio = f"{after / before:.2f}" if before and after else "-"
        failed = f"[red]{paced.failed:,}[/]" if paced.failed else "0"
        table.add_row(
            scenario.name if maker is first_class else "", name, f"{len(paced.good):,}", failed,
            f"{before:.2f}" if before else "-", f"{after:.2f}" if after else "-", ratio,
        )  # fmt: skip
    console.print(table)


def overlap(server: Server, number: int) -> None:
    """Changes between two users, each valid throughout."""
    source = Published(None)
    pair = itertools.cycle([server.user(), server.user()])
    source.value = next(pair)
    with opened(ours, server, source) as pool:

        def rotate() -> None:
            source.value = next(pair)
            pool.credentials.refresh()

        done = load.run(pool, requests=20_000, rotations=number, rotate=rotate, threads=4)
        replaced = pool.health().connections_replaced
    table = Table(
        f"{number:,} rotations with an overlap, 4 threads", "requests", "failed", "connections replaced", "requests/s"
    )
    table.add_row("rotation", f"{done.requests:,}", str(len(done.failures)), f"{replaced:,}", f"{done.per_second:,.0f}")
    console.print(table)


def stale(server: Server) -> None:
    """64 idle connections turn stale: the first check-out afterwards."""
    table = Table(
        "64 stale connections", "first check-out, ms", "first check-out that is fresh, ms", "all replaced after, ms"
    )
    for name in ("psycopg_pool, callable, drain()", "rotation"):
        firsts, fresh, whole = [], [], []
        for _ in range(5):
            source = Published(None)
            source.value = server.user()
            make = ours if name == "rotation" else with_callable
            with opened(lambda *_, make=make, source=source: make(server, source), server, source) as pool:
                pool.resize(64)
                while pool.get_stats()["pool_available"] < 64:
                    time.sleep(0.01)
                source.value = server.user()
                if name == "rotation":
                    pool.credentials.refresh()
                began = time.perf_counter()
                if name != "rotation":
                    pool.drain()
                with pool.connection():
                    firsts.append((time.perf_counter() - began) * 1000)
                found = ""
                while found != source.value[0]:
                    with pool.connection() as connection:
                        found = connection.info.user
                fresh.append((time.perf_counter() - began) * 1000)
                while pool.get_stats()["pool_available"] < 64 or any(
                    each.info.user != source.value[0] for each in list(pool._pool)
                ):
                    time.sleep(0.002)
                whole.append((time.perf_counter() - began) * 1000)
        table.add_row(name, *(f"{statistics.median(each):.1f}" for each in (firsts, fresh, whole)))
    console.print(table)


def fleet(pods: int = 100, connections: int = 16, life: float = 20.0) -> None:
    """100 pods whose leases of one length began together: when and how often each asks."""
    asked: dict[int, list[float]] = {number: [] for number in range(pods)}

    class Leased(Source):
        name = "leased"

        def __init__(self, number: int) -> None:
            self.number = number

        def fetch(self, rejected: Any = ()) -> Credential:
            asked[self.number].append(time.monotonic())
            time.sleep(0.005)
            return Credential(username=f"u{secrets.token_hex(3)}", password="p" * 12, expires_at=_clock.now() + life)

    everyone = [Credentials(Leased(number)) for number in range(pods)]
    began = time.monotonic()

    def pod(credentials: Credentials) -> None:
        while time.monotonic() - began < life * 0.8:
            for _ in range(connections):
                credentials.current()
            time.sleep(0.1)

    threads = [threading.Thread(target=pod, args=(each,)) for each in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in everyone:
        each.close()
    second = [times[1] - times[0] for times in asked.values() if len(times) > 1]
    table = Table(
        f"{pods} pods x {connections} connections, a life of {life:.0f} s",
        "most fetches a rotation",
        "first",
        "last",
        "spread",
    )
    table.add_row(
        "rotation", str(max(len(times) - 1 for times in asked.values())), f"{min(second) / life:.0%}", f"{max(second) / life:.0%}",
        f"{(max(second) - min(second)) / life:.1%} of its life",
    )  # fmt: skip
    console.print(table)


IMPORTS = {
    "psycopg_pool": "import psycopg, psycopg_pool",
    "rotation, sources only": "from rotation import Credentials, VaultDynamic, SecretsManager, MountedFiles, Environment",
    "rotation, with the pool": "from rotation import RotatingConnectionPool, VaultDynamic",
}


def imports() -> None:
    table = Table("import", "median, ms", "memory, MB", "modules")
    program = (
        "import time, sys, resource; began = time.perf_counter(); {}; took = time.perf_counter() - began; "
        "print(took * 1000, int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20, len(sys.modules))"
    )
    for name, statement in {"nothing": "pass", **IMPORTS}.items():
        found = []
        for _ in range(7):
            command = [sys.executable, "-c", program.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            found.append([float(each) for each in done.stdout.split()])
        table.add_row(
            name, f"{statistics.median(each[0] for each in found):.1f}", f"{statistics.median(each[1] for each in found):.1f}",
            f"{found[0][2]:.0f}",
        )  # fmt: skip
    console.print(table)


def memory(server: Server) -> None:
    """A pool of 64 connections, in a process of its own."""
    table = Table("a pool of 64 connections", "memory above the import, MB")
    program = """
import json, resource, sys
server, value, kind = json.loads(sys.argv[1])
import psycopg, psycopg_pool
from rotation import Credential, Credentials, RotatingConnectionPool, Source
class Fixed(Source):
    def fetch(self, rejected=()):
        return Credential(username=value[0], password=value[1])
def used():
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
before = used()
if kind == "rotation":
    pool = RotatingConnectionPool(server, credentials=Fixed(), min_size=64, open=True)
else:
    pool = psycopg_pool.ConnectionPool(server, kwargs={"user": value[0], "password": value[1]}, min_size=64, open=True)
pool.wait()
print((used() - before) / 2**20)
pool.close()
"""
    for kind in ("psycopg_pool", "rotation"):
        found = []
        for _ in range(3):
            argument = json.dumps([server.conninfo, server.user(), kind])
            done = subprocess.run(
                [sys.executable, "-c", program, argument], capture_output=True, text=True, check=True, cwd=ROOT
            )
            found.append(float(done.stdout))
        table.add_row(kind, f"{statistics.median(found):.1f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rotation", description="Measure the rotation library.")
    parser.add_argument("--rotations", type=int, default=200, help="with an overlap (default 200; 1000 take minutes)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="strongroom-bench-") as folder:
        state_dir = Path(folder) / "servers"
        endpoint = servers.start_parts(state_dir, ["postgres"], owner=os.getpid()).postgres
        assert endpoint is not None
        server = Server(endpoint.host, endpoint.port, endpoint.database, endpoint.superuser_password)
        try:
            check_out(server)
            throughput(server)
            stale(server)
            rotations(server)
            overlap(server, options.rotations)
            fleet()
            memory(server)
            imports()
        finally:
            servers.stop(state_dir)
    console.print(f"this process at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
