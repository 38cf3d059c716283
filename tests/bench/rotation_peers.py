"""What the rotation library is measured against: plain psycopg_pool, and the class that it grew out of."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
import psycopg2
import psycopg2.pool
from psycopg import sql
from psycopg_pool import ConnectionPool

from rotation import Credential, RotatingConnectionPool, Source, _clock

SIZE = 8
AUTOCOMMIT = {"autocommit": True}


class Published(Source):
    """Where the application reads its credential: what the rotator has published last."""

    name = "published"

    def __init__(self, poll_interval: float | None = 0.2) -> None:
        self.poll_interval = poll_interval
        self.value = ("", "")
        self.fetches = 0
        self.life: float | None = None

    def fetch(self, rejected: Any = ()) -> Credential:
        self.fetches += 1
        ends = None if self.life is None else _clock.now() + self.life
        return Credential(username=self.value[0], password=self.value[1], expires_at=ends)


@dataclass
class Server:
    """The database and its administrator."""

    host: str
    port: int
    name: str
    password: str
    made: list[str] = field(default_factory=list)

    @property
    def conninfo(self) -> str:
        return f"host={self.host} port={self.port} dbname={self.name}"

    def run(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.conninfo, user="postgres", password=self.password, autocommit=True) as admin:
            parts = [
                sql.Identifier(str(each)) if number == 0 else sql.Literal(each) for number, each in enumerate(values)
            ]
            admin.execute(sql.SQL(statement).format(*parts))

    def user(self) -> tuple[str, str]:
        name, word = f"bench_{secrets.token_hex(4)}", secrets.token_hex(12)
        self.run("CREATE ROLE {} LOGIN PASSWORD {}", name, word)
        self.made.append(name)
        return name, word

    def now(self) -> Any:
        with psycopg.connect(self.conninfo, user="postgres", password=self.password, autocommit=True) as admin:
            row = admin.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            return row[0]

    def kill(self, name: str, before: Any = None) -> None:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND backend_start < %s"
        with psycopg.connect(self.conninfo, user="postgres", password=self.password, autocommit=True) as admin:
            admin.execute(query, [name, before or "infinity"])


class FirstClass:
    """The pool of the pattern's document, word for word but for where it reads its secret and psycopg2's autocommit."""

    def __init__(self, server: Server, source: Published) -> None:
        self.server, self.source = server, source
        self._pool: Any = None
        self._refresh_pool()

    def _get_credentials(self) -> dict[str, str]:
        return {"username": self.source.value[0], "password": self.source.value[1]}

    def _refresh_pool(self) -> None:
        creds = self._get_credentials()
        self._pool = psycopg2.pool.ThreadedConnectionPool(
            minconn=2, maxconn=10, host=self.server.host, port=self.server.port, database=self.server.name,
            user=creds["username"], password=creds["password"],
        )  # fmt: skip

    def get_connection(self) -> Any:
        try:
            return self._pool.getconn()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                self._pool.closeall()
                self._refresh_pool()
                return self._pool.getconn()
            raise

    @contextmanager
    def connection(self) -> Any:
        """What its user has to write around it."""
        connection = self.get_connection()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            self._pool.putconn(connection)

    def close(self) -> None:
        with suppress(psycopg2.Error):
            self._pool.closeall()


Maker = Callable[[Server, Published], Any]


def first_class(server: Server, source: Published) -> Any:
    return FirstClass(server, source)


def plain(server: Server, source: Published) -> Any:
    kwargs = {**AUTOCOMMIT, "user": source.value[0], "password": source.value[1]}
    return ConnectionPool(server.conninfo, kwargs=kwargs, min_size=SIZE, open=True, timeout=5)


def with_callable(server: Server, source: Published) -> Any:
    def kwargs() -> dict[str, Any]:
        return {**AUTOCOMMIT, "user": source.value[0], "password": source.value[1]}

    return ConnectionPool(server.conninfo, kwargs=kwargs, min_size=SIZE, open=True, timeout=5)


def ours(server: Server, source: Published) -> Any:
    return RotatingConnectionPool(
        server.conninfo, credentials=source, kwargs=AUTOCOMMIT, min_size=SIZE, open=True, timeout=5
    )


POOLS: dict[str, Maker] = {
    "the first class (psycopg2)": first_class,
    "psycopg_pool": plain,
    "psycopg_pool, callable": with_callable,
    "rotation": ours,
}


@contextmanager
def opened(maker: Maker, server: Server, source: Published) -> Any:
    pool = maker(server, source)
    try:
        if hasattr(pool, "wait"):
            pool.wait()
        yield pool
    finally:
        pool.close()
