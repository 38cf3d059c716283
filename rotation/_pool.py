"""RotatingConnectionPool: psycopg_pool's ConnectionPool whose connections follow a credential that changes."""

from __future__ import annotations

import itertools
import time
import weakref
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import psycopg
from psycopg import Connection
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from rotation._credential import Credential, Source
from rotation._credentials import Credentials
from rotation._health import Health
from rotation._login import Login, parameters
from rotation._pool_base import GRACE, PATIENCE, PROBE_TIMEOUT, STAMP, STEP, Guard, Owner, age
from rotation.errors import InvalidArgument, RotationError

CT = TypeVar("CT", bound=Connection[Any])


class RotatingConnectionPool(ConnectionPool[CT]):
    """A connection pool that survives the rotation of its credential.

    It is psycopg_pool's ``ConnectionPool``: the same arguments, methods, statistics and errors. ``credentials`` is new;
    without it this is a plain pool.

    * New connections log in with the newest credential. A refused login asks the source once, for all threads, and tries
      again at once.
    * A new credential is tried with a connection of its own first; until the server takes it everything goes on with the
      old one. Then connections are replaced one by one, for a quarter of a second at most; what is left is closed at
      once, and those in use as they come back.
    * From then on no connection with an older credential is handed out, not even one whose login overlapped the change;
      nor is any after its credential's end.

    Args:
        credentials: a Credentials (shared, stays open) or a Source (the pool's own, closed with it).
        patience: seconds for which a refused login is tried again while the source has no other credential; default 5.

    Set ``max_lifetime`` below the time for which an old credential outlives its replacement where sessions must not stay.
    """

    def __init__(
        self,
        conninfo: Any = "",
        *,
        credentials: Credentials | Source | None = None,
        patience: float = PATIENCE,
        connection_class: type[CT] = cast(type[CT], Connection),  # noqa: B008 - the signature of ConnectionPool
        kwargs: Any = None,
        **options: Any,
    ) -> None:
        self.guard = Guard(credentials, conninfo, kwargs)
        self.patience = patience
        self._unsubscribe: Callable[[], None] = lambda: None
        if self.guard.credentials is not None:
            connection_class = rotating(connection_class, self)
            self._unsubscribe = self.guard.credentials.subscribe(Subscriber(self))
        super().__init__(conninfo, connection_class=connection_class, kwargs=kwargs, **options)

    @classmethod
    def for_secrets_manager(cls, secret_name: str, region: str, **options: Any) -> Self:
        """An open pool on the secret that AWS made for a database: username, password, host, port, dbname as JSON.

        The call of the class that this one grew out of. 2 to 10 connections by default; a connection of
        ``get_connection()`` goes back to the pool with its ``close()``. Raises SourceError when the secret cannot be read.
        """
        from rotation._secrets_manager import SecretsManager

        credentials = Credentials(SecretsManager(secret_name, region=region))
        try:
            credentials.current()
            options = {"min_size": 2, "max_size": 10, "close_returns": True, "open": True} | options
            pool = cls(credentials=credentials, **options)
        except BaseException:
            credentials.close()
            raise
        pool.guard.owned = True
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

    def getconn(self, timeout: float | None = None) -> CT:
        """As ConnectionPool.getconn; never a connection whose credential has ended, or was replaced in the whole pool."""
        try:
            conn = super().getconn(timeout)
            if not self.guard.stale(conn):
                return conn
            return self._next_fresh(conn, self.timeout if timeout is None else timeout)
        except PoolTimeout as error:
            reason = self.guard.credentials.last_error if self.guard.credentials is not None else None
            if reason is None:
                raise
            raise PoolTimeout(f"{error}; the credential's source says: {reason}") from reason

    def get_connection(self, timeout: float | None = None) -> CT:
        """A connection, as ``getconn``. Give it back with ``putconn``, or with ``close()`` when ``close_returns=True``."""
        return self.getconn(timeout)

    def _next_fresh(self, conn: CT, timeout: float) -> CT:
        deadline = time.monotonic() + timeout
        while self.guard.stale(conn):
            if self.credentials.ended:  # its thread may be waiting for the source
                self.replace_before(self.credentials.generation + 1, grace=0)
            age(conn)
            self.putconn(conn)
            conn = super().getconn(max(deadline - time.monotonic(), 0.001))
        return conn

    def close(self, timeout: float = 5.0) -> None:
        """As ConnectionPool.close; then credentials that are the pool's own are closed, which revokes their leases."""
        self._unsubscribe()
        super().close(timeout)
        if self.guard.owned and self.guard.credentials is not None:
            self.guard.credentials.close()

    def replace_before(self, generation: int, *, grace: float = GRACE) -> None:
        """Replace every connection older than ``generation``, and hand none of them out any more.

        For ``grace`` seconds one by one, so that no request waits while there are others; then the rest at once.
        """
        if self.guard.claim(generation):
            try:
                roll(super(), self.guard, generation, grace)
                if self.guard.older(generation) and not self.closed:
                    self.drain()
            finally:
                self.guard.raise_to(generation)


def roll(pool: Any, guard: Guard, generation: int, grace: float) -> None:
    """Take stale connections out of a psycopg_pool one by one; each is replaced before the next is taken."""
    until = time.monotonic() + grace
    while time.monotonic() < until and guard.older(generation):
        fresh = guard.fresh(generation)
        try:
            connection = pool.getconn(STEP)
        except (PoolTimeout, PoolClosed, TooManyRequests):
            return
        stale = getattr(connection, STAMP, 0) < generation
        if stale:
            age(connection)
        pool.putconn(connection)
        replaced = time.monotonic() + STEP
        while stale and guard.fresh(generation) <= fresh and time.monotonic() < replaced:
            time.sleep(0.001)


class Subscriber:
    """The pool as its credentials see it; it does not keep the pool alive."""

    def __init__(self, pool: Owner) -> None:
        self._pool = weakref.ref(pool)

    def on_change(self, credential: Credential) -> bool:
        pool = self._pool()
        if pool is None or pool.guard.minimum >= credential.generation:
            return True
        if pool.closed or not pool.guard.proved:  # nothing has logged in yet: whoever does takes the newest
            return False
        if pool.guard.proved < credential.generation:
            try:
                conninfo = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
                kwargs = pool.kwargs() if callable(pool.kwargs) else pool.kwargs
                options = {**(kwargs or {}), "connect_timeout": PROBE_TIMEOUT, _PROBE: True}
                with pool.connection_class.connect(conninfo, **options):
                    pass
            except (psycopg.Error, RotationError):
                return False
            if pool.guard.proved < credential.generation:  # refused, and it fell back to the last good one
                return False
        pool.replace_before(credential.generation)
        return True

    def on_end(self, credential: Credential) -> None:
        pool = self._pool()
        if pool is not None:
            pool.replace_before(credential.generation + 1, grace=0)

    def in_use(self, generation: int) -> int:
        pool = self._pool()
        return pool.guard.in_use(generation) if pool is not None else 0


_PROBE = "_rotation_probe"


def rotating(connection_class: type[CT], pool: Owner) -> type[CT]:
    """The class of connections, logging in with the pool's credential of the moment."""
    reference = weakref.ref(pool)
    credentials, guard = pool.credentials, pool.guard

    def connect(cls: type[Any], /, conninfo: str = "", **kwargs: Any) -> Any:
        owner = reference()
        probe = kwargs.pop(_PROBE, False)
        if owner is None:
            raise psycopg.OperationalError("the pool of this connection is gone")
        login = Login(
            credentials,
            patience=0.0 if probe else owner.patience,
            wait_for_source=0.0 if probe else owner.reconnect_timeout,
        )
        while (wait := login.choose()) is not None:
            _pause(owner, credentials, wait)
        for tries in itertools.count():
            assert login.credential is not None
            try:
                attempt = parameters(login.credential, conninfo, kwargs)
                connection = super(made, cls).connect(conninfo, **attempt)
            except psycopg.OperationalError as error:
                wait = login.refused(error)
                if wait:
                    _pause(owner, credentials, wait)
                    login.newest()
                continue
            credential = login.accepted()
            if guard.outdated(credential, tries):
                connection.close()
                login.newest()
                continue
            guard.stamp(connection, credential)
            guard.prove(credential)
            return connection
        raise AssertionError("unreachable")

    made: type[Any] = type(
        f"Rotating{connection_class.__name__}", (connection_class,), {"connect": classmethod(connect)}
    )
    return cast(type[CT], made)


def _pause(pool: Owner, credentials: Credentials, seconds: float) -> None:
    if pool.closed:
        raise psycopg.OperationalError("the pool was closed while a connection was being made")
    credentials.wait_for_change(credentials.generation, seconds)
