"""SQLAlchemy: an engine whose connections follow a credential that changes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.util import await_only

from rotation._credentials import Credentials
from rotation._login import Login, login_refused

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_STAMP = "rotation_generation"
T = TypeVar("T")


def follow(engine: Engine | AsyncEngine, credentials: Credentials, *, patience: float = 5.0) -> None:
    """Let every connection of ``engine`` log in with the credential of the moment.

    The engine's URL has no user and no password. A connection with a replaced credential is not checked out: the first
    one that meets a new credential tries it, and once the server has taken it the others are replaced one by one as they
    are checked out. After the credential's end nothing is checked out.

    Works with the dialects psycopg (sync and async), psycopg2 and asyncpg. SQLAlchemy does not tell when a connection has
    come back for good, so a replaced lease is not revoked early: it ends by itself, or with ``credentials.close()``.

    Args:
        engine: an Engine or AsyncEngine with any pool.
        credentials: shared and closed by the caller, after ``engine.dispose()``.
        patience: seconds for which a refused login is tried again while the source has no other credential; default 5.
    """
    target = getattr(engine, "sync_engine", engine)  # an AsyncEngine's, without importing what needs greenlet
    listeners = _Listeners(credentials, patience)
    event.listen(target, "do_connect", listeners.do_connect)
    event.listen(target, "checkout", listeners.checkout)


class _Listeners:
    def __init__(self, credentials: Credentials, patience: float) -> None:
        self._credentials = credentials
        self._patience = patience
        self._minimum = self._tried = 0
        self._lock = threading.Lock()

    def do_connect(self, dialect: Any, record: Any, cargs: Any, cparams: dict[str, Any]) -> Any:
        wait, call = (_pause_in_loop, _in_thread) if dialect.is_async else (time.sleep, _here)
        login = Login(self._credentials, patience=self._patience, wait_for_source=self._patience)
        while (seconds := call(login.choose)) is not None:
            wait(seconds)
        while True:
            assert login.credential is not None
            parameters = dict(cparams)  # the engine's own dict: it must not keep this password
            parameters |= {"user": login.credential.username, "password": login.credential.password}
            try:
                connection = dialect.connect(*cargs, **parameters)
            except dialect.loaded_dbapi.Error as error:
                seconds = call(partial(login.refused, error, by_server=_refused(error)))
                if seconds:
                    wait(seconds)
                    call(login.newest)
                continue
            credential = login.accepted()
            if record is not None:
                record.info[_STAMP] = credential.generation
            with self._lock:
                self._minimum = max(self._minimum, credential.generation)
            return connection

    def checkout(self, _connection: Any, record: Any, _proxy: Any) -> None:
        stamp = record.info.get(_STAMP, 0)
        latest = self._credentials.latest
        if latest is not None and latest.generation == stamp and not latest.expired:
            return
        if latest is None or latest.expired or stamp < self._minimum or self._first_to_try(latest.generation):
            self._credentials.counters.replaced += 1
            raise DisconnectionError("its credential was replaced or has ended")  # SQLAlchemy connects anew

    def _first_to_try(self, generation: int) -> bool:
        with self._lock:
            first, self._tried = self._tried < generation, max(self._tried, generation)
            return first


def _refused(error: Exception) -> bool:
    """psycopg tells by what libpq did; asyncpg by SQLSTATE class 28; psycopg2 not at all, so there every failure counts."""
    if getattr(error, "pgconn", None) is not None:
        return login_refused(error)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return type(error).__module__.startswith("psycopg2") if state is None else str(state).startswith("28")


def _here(call: Callable[[], T]) -> T:
    return call()


def _in_thread(call: Callable[[], T]) -> T:
    return await_only(asyncio.to_thread(call))


def _pause_in_loop(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))
