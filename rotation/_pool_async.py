"""AsyncRotatingConnectionPool: the same for asyncio. Sources block, so they are asked in threads, never in the loop."""

from __future__ import annotations

import asyncio
import itertools
import time
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Self, TypeVar, cast

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from rotation._credential import Credential, Source
from rotation._credentials import Credentials
from rotation._health import Health
from rotation._login import Login, parameters
from rotation._pool_base import GRACE, PATIENCE, PROBE_TIMEOUT, STAMP, STEP, Guard, age
from rotation.errors import InvalidArgument, RotationError

ACT = TypeVar("ACT", bound=AsyncConnection[Any])
_PROBE = "_rotation_probe"


class AsyncRotatingConnectionPool(AsyncConnectionPool[ACT]):
    """RotatingConnectionPool for asyncio; its arguments and promises are the same, its methods are coroutines."""

    def __init__(
        self,
        conninfo: Any = "",
        *,
        credentials: Credentials | Source | None = None,
        patience: float = PATIENCE,
        connection_class: type[ACT] = cast(type[ACT], AsyncConnection),  # noqa: B008 - the signature of AsyncConnectionPool
        kwargs: Any = None,
        **options: Any,
    ) -> None:
        self.guard = Guard(credentials, conninfo, kwargs)
        self.patience = patience
        self._unsubscribe: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        if self.guard.credentials is not None:
            connection_class = _rotating(connection_class, self)
            self._unsubscribe = self.guard.credentials.subscribe(_Subscriber(self))
        super().__init__(conninfo, connection_class=connection_class, kwargs=kwargs, **options)

    @classmethod
    async def for_secrets_manager(cls, secret_name: str, region: str, **options: Any) -> Self:
        """As RotatingConnectionPool.for_secrets_manager: an open pool on a database's secret."""
        from rotation._secrets_manager import SecretsManager

        credentials = Credentials(SecretsManager(secret_name, region=region))
        try:
            await asyncio.to_thread(credentials.current)
            pool = cls(
                credentials=credentials,
                **({"min_size": 2, "max_size": 10, "close_returns": True} | options),
                open=False,
            )
            pool.guard.owned = True
            await pool.open()
        except BaseException:
            await asyncio.to_thread(credentials.close)
            raise
        return pool

    @property
    def credentials(self) -> Credentials:
        """What this pool logs in with."""
        if self.guard.credentials is None:
            raise InvalidArgument("this pool was made without credentials")
        return self.guard.credentials

    def health(self) -> Health:
        """Which credential is in use, its age and its end. Never its value."""
        return self.credentials.health()

    async def getconn(self, timeout: float | None = None) -> ACT:  # noqa: ASYNC109 - psycopg_pool's signature
        """As AsyncConnectionPool.getconn; never a connection whose credential has ended, or was replaced in the whole pool."""
        try:
            conn = await super().getconn(timeout)
            if not self.guard.stale(conn):
                return conn
            return await self._next_fresh(conn, self.timeout if timeout is None else timeout)
        except PoolTimeout as error:
            reason = self.guard.credentials.last_error if self.guard.credentials is not None else None
            if reason is None:
                raise
            raise PoolTimeout(f"{error}; the credential's source says: {reason}") from reason

    async def get_connection(self, timeout: float | None = None) -> ACT:  # noqa: ASYNC109 - as getconn
        """A connection, as ``getconn``. Give it back with ``putconn``, or with ``close()`` when ``close_returns=True``."""
        return await self.getconn(timeout)

    async def _next_fresh(self, conn: ACT, seconds: float) -> ACT:
        deadline = time.monotonic() + seconds
        while self.guard.stale(conn):
            if self.credentials.ended:  # its thread may be waiting for the source
                await self.replace_before(self.credentials.generation + 1, grace=0)
            age(conn)
            await self.putconn(conn)
            conn = await super().getconn(max(deadline - time.monotonic(), 0.001))
        return conn

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - psycopg_pool's signature
        """As AsyncConnectionPool.close; then credentials that are the pool's own are closed, which revokes their leases."""
        self._unsubscribe()
        await super().close(timeout)
        if self.guard.owned and self.guard.credentials is not None:
            await asyncio.to_thread(self.guard.credentials.close)

    async def replace_before(self, generation: int, *, grace: float = GRACE) -> None:
        """As RotatingConnectionPool.replace_before."""
        if self.guard.claim(generation):
            try:
                await self._roll(generation, grace)
                if self.guard.older(generation) and not self.closed:
                    await self.drain()
            finally:
                self.guard.raise_to(generation)

    async def _roll(self, generation: int, grace: float) -> None:
        until = time.monotonic() + grace
        while time.monotonic() < until and self.guard.older(generation):
            fresh = self.guard.fresh(generation)
            try:
                connection = await super().getconn(STEP)
            except (PoolTimeout, PoolClosed, TooManyRequests):
                return
            stale = getattr(connection, STAMP, 0) < generation
            if stale:
                age(connection)
            await self.putconn(connection)
            replaced = time.monotonic() + STEP
            while stale and self.guard.fresh(generation) <= fresh and time.monotonic() < replaced:  # noqa: ASYNC110 - a worker's
                await asyncio.sleep(0.001)

    async def adopt(self, generation: int) -> bool:
        """Try the new credential where nobody has yet, then replace what is older. False: the server refuses it."""
        if self.guard.proved < generation:
            try:
                conninfo = await _resolved(self.conninfo)
                kwargs = await _resolved(self.kwargs) or {}
                async with await self.connection_class.connect(conninfo, **kwargs, **{_PROBE: cast(Any, True)}):
                    pass
            except (psycopg.Error, RotationError):
                return False
            if self.guard.proved < generation:  # refused, and it fell back to the last good one
                return False
        await self.replace_before(generation)
        return True


async def _resolved(value: Any) -> Any:
    if not callable(value):
        return value
    result = value()
    return await result if asyncio.iscoroutine(result) else result


class _Subscriber:
    """The pool as its credentials see it, from their thread; it does not keep the pool alive."""

    def __init__(self, pool: AsyncRotatingConnectionPool[Any]) -> None:
        self._pool = weakref.ref(pool)

    def on_change(self, credential: Credential) -> bool:
        pool = self._pool()
        if pool is None or pool.guard.minimum >= credential.generation:
            return True
        if pool.closed or not pool.guard.proved or pool._loop is None or pool._loop.is_closed():
            return False
        return bool(self._in_loop(pool._loop, pool.adopt(credential.generation)))

    def on_end(self, credential: Credential) -> None:
        pool = self._pool()
        if pool is not None and pool._loop is not None and not pool._loop.is_closed():
            self._in_loop(pool._loop, pool.replace_before(credential.generation + 1, grace=0))

    def in_use(self, generation: int) -> int:
        pool = self._pool()
        return pool.guard.in_use(generation) if pool is not None else 0

    @staticmethod
    def _in_loop(loop: asyncio.AbstractEventLoop, work: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result(PROBE_TIMEOUT)
        except (TimeoutError, CancelledError):  # cancelled: the loop ends
            future.cancel()
            return None


def _rotating(connection_class: type[ACT], pool: AsyncRotatingConnectionPool[ACT]) -> type[ACT]:
    """The class of connections, logging in with the pool's credential of the moment."""
    reference = weakref.ref(pool)
    credentials, guard = pool.credentials, pool.guard

    async def connect(cls: type[Any], /, conninfo: str = "", **kwargs: Any) -> Any:
        owner = reference()
        probe = kwargs.pop(_PROBE, False)
        if owner is None:
            raise psycopg.OperationalError("the pool of this connection is gone")
        owner._loop = asyncio.get_running_loop()
        login = Login(
            credentials,
            patience=0.0 if probe else owner.patience,
            wait_for_source=0.0 if probe else owner.reconnect_timeout,
        )
        while (wait := await asyncio.to_thread(login.choose)) is not None:
            await _pause(owner, credentials, wait)
        for tries in itertools.count():
            assert login.credential is not None
            try:
                attempt = parameters(login.credential, conninfo, kwargs)
                connection = await super(made, cls).connect(conninfo, **attempt)
            except psycopg.OperationalError as error:
                wait = await asyncio.to_thread(login.refused, error)
                if wait:
                    await _pause(owner, credentials, wait)
                    await asyncio.to_thread(login.newest)
                continue
            credential = login.accepted()
            if guard.outdated(credential, tries):
                await connection.close()
                await asyncio.to_thread(login.newest)
                continue
            guard.stamp(connection, credential)
            guard.prove(credential)
            return connection
        raise AssertionError("unreachable")

    made: type[Any] = type(
        f"Rotating{connection_class.__name__}", (connection_class,), {"connect": classmethod(connect)}
    )
    return cast(type[ACT], made)


async def _pause(pool: AsyncRotatingConnectionPool[Any], credentials: Credentials, seconds: float) -> None:
    """Until there is a newer credential, for at most this time; without holding a thread meanwhile."""
    if pool.closed:
        raise psycopg.OperationalError("the pool was closed while a connection was being made")
    generation, until = credentials.generation, time.monotonic() + seconds
    while credentials.generation == generation and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(min(left, 0.05))
