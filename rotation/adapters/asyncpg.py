"""asyncpg: its own pool, following a credential that changes."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import Any

import asyncpg

from rotation._credential import Credential
from rotation._credentials import Credentials
from rotation._login import Login
from rotation._pool_base import PATIENCE, Guard

_REFUSED = "28"  # SQLSTATE class: invalid authorization specification
_TIMEOUT = 10.0


async def create_pool(
    dsn: str | None = None, *, credentials: Credentials, patience: float = PATIENCE, **options: Any
) -> Any:
    """``asyncpg.create_pool`` with credentials; give no user and no password.

    When the server has taken a new credential, idle connections are replaced at their next use and those in use when they
    come back (``Pool.expire_connections``). An ended credential leaves idle connections to the server's own end of the session.

    Args:
        credentials: shared and closed by the caller, after the pool.
        patience: seconds for which a refused login is tried again while the source has no other credential; default 5.
        options: asyncpg's own, but ``connect``.
    """
    given = {key: options.get(key) for key in ("user", "password")}
    follower = _Follower(Guard(credentials, "", given), patience)
    pool = asyncpg.create_pool(dsn, connect=follower.connect, **options)
    follower.pool = pool
    follower.credentials.subscribe(follower)
    return await pool


class _Follower:
    def __init__(self, guard: Guard, patience: float) -> None:
        self.guard = guard
        self.pool: Any = None
        self._patience = patience
        self._loop = asyncio.get_running_loop()

    @property
    def credentials(self) -> Credentials:
        assert self.guard.credentials is not None
        return self.guard.credentials

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        login = Login(self.credentials, patience=self._patience, wait_for_source=self._patience)
        while (seconds := await asyncio.to_thread(login.choose)) is not None:  # noqa: ASYNC110 - a thread's answer
            await asyncio.sleep(seconds)
        while True:
            assert login.credential is not None
            options |= {"user": login.credential.username, "password": login.credential.password}
            try:
                connection = await asyncpg.connect(*arguments, **options)
            except asyncpg.PostgresError as error:
                refused = (error.sqlstate or "").startswith(_REFUSED)
                seconds = await asyncio.to_thread(login.refused, error, by_server=refused)
                if seconds:
                    await asyncio.sleep(seconds)
                    await asyncio.to_thread(login.newest)
                continue
            credential = login.accepted()
            self.guard.prove(credential)
            if self.guard.claim(credential.generation):
                if credential.generation > 1:
                    await self.pool.expire_connections()
                self.guard.raise_to(credential.generation)
            return connection

    # What the credentials tell, in their thread

    def on_change(self, credential: Credential) -> bool:
        if not self.guard.minimum or self.guard.minimum >= credential.generation or self._loop.is_closed():
            return True
        future = asyncio.run_coroutine_threadsafe(self._probe(), self._loop)
        try:
            future.result(_TIMEOUT)
        except (TimeoutError, CancelledError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            future.cancel()
            return False
        return self.guard.minimum >= credential.generation

    def on_end(self, credential: Credential) -> None:
        if self.guard.claim(credential.generation + 1) and not self._loop.is_closed():
            self.guard.raise_to(credential.generation + 1)
            asyncio.run_coroutine_threadsafe(self.pool.expire_connections(), self._loop)

    def in_use(self, generation: int) -> int:  # noqa: ARG002 - a Subscriber's
        """asyncpg does not tell, so a replaced lease is not revoked early: it ends by itself, or on close."""
        return 1

    async def _probe(self) -> None:
        arguments, options = self.pool._connect_args, self.pool._connect_kwargs
        connection = await self.connect(*arguments, **options)
        await connection.close()
