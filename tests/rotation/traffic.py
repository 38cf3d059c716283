"""A pool under requests without end: from four threads, or from four tasks of an event loop that has a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from rotation import AsyncRotatingConnectionPool, RotatingConnectionPool

AUTOCOMMIT = {"autocommit": True}
OPTIONS: dict[str, Any] = {"min_size": 4, "timeout": 60.0, "kwargs": AUTOCOMMIT}
WORKERS = 4
PAUSE = 0.002  # seconds between two requests of a worker
RESULT = TypeVar("RESULT")


class Requests:
    """When each of those that ended well had its connection; when each of those that failed began, and how it failed."""

    def __init__(self) -> None:
        self.good: list[float] = []
        self.bad: list[tuple[float, str]] = []
        self.stop = threading.Event()

    def failed(self, began: float, error: Exception) -> None:
        self.bad.append((began, f"{type(error).__name__}: {error}"))

    def served_since(self, moment: float) -> bool:
        """Whether a request has been served on a connection that it got after that moment."""
        return bool(self.good) and max(self.good[-4 * WORKERS :]) > moment


class ThreadedPool(RotatingConnectionPool[Any]):
    """RotatingConnectionPool, asked by threads."""

    def __init__(self, conninfo: str, credentials: Any, **options: Any) -> None:
        super().__init__(conninfo, credentials=credentials, **OPTIONS | {"open": True} | options)

    def user(self) -> str:
        """Whom a request runs as."""
        with self.connection() as connection:
            return str(connection.info.user)

    def traffic(self) -> Threads:
        return Threads(self)


class Threads(Requests):
    def __init__(self, pool: ThreadedPool) -> None:
        super().__init__()
        self._pool = pool
        self._threads = [threading.Thread(target=self._run) for _ in range(WORKERS)]

    def _run(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                with self._pool.connection() as connection:
                    handed_out = time.monotonic()
                    connection.execute("SELECT 1")
                self.good.append(handed_out)
            except Exception as error:  # noqa: BLE001 - counted
                self.failed(began, error)
            time.sleep(PAUSE)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()


class AsyncioPool:
    """AsyncRotatingConnectionPool in a loop's thread, as the tests' own thread sees it."""

    def __init__(self, conninfo: str, credentials: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._make: Callable[[], AsyncRotatingConnectionPool[Any]] = lambda: AsyncRotatingConnectionPool(
            conninfo, credentials=credentials, **OPTIONS | {"open": False} | options
        )

    def __enter__(self) -> Self:
        self._thread.start()

        async def opened() -> AsyncRotatingConnectionPool[Any]:
            pool = self._make()
            await pool.open()
            return pool

        try:
            self.pool = self.run(opened())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.run(self.pool.close())
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, RESULT]) -> RESULT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(180)

    def wait(self) -> None:
        self.run(self.pool.wait())

    def user(self) -> str:
        async def user() -> str:
            async with self.pool.connection() as connection:
                return str(connection.info.user)

        return self.run(user())

    @property
    def guard(self) -> Any:
        return self.pool.guard

    @property
    def credentials(self) -> Any:
        return self.pool.credentials

    def health(self) -> Any:
        return self.pool.health()

    def traffic(self) -> Tasks:
        return Tasks(self)


class Tasks(Requests):
    def __init__(self, pool: AsyncioPool) -> None:
        super().__init__()
        self._pool = pool

    async def _run(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                async with self._pool.pool.connection() as connection:
                    handed_out = time.monotonic()
                    await connection.execute("SELECT 1")
                self.good.append(handed_out)
            except Exception as error:  # noqa: BLE001 - counted
                self.failed(began, error)
            await asyncio.sleep(PAUSE)

    async def _start(self) -> None:
        self._tasks = [asyncio.ensure_future(self._run()) for _ in range(WORKERS)]

    async def _finish(self) -> None:
        await asyncio.gather(*self._tasks)

    def __enter__(self) -> Self:
        self._pool.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._pool.run(self._finish())
