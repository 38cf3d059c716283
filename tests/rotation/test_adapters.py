"""SQLAlchemy, Django and asyncpg on a real PostgreSQL, through a change of the credential."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from rotation import Credential, CredentialExpired, Credentials, InvalidArgument
from rotation.adapters.asyncpg import create_pool
from rotation.adapters.sqlalchemy import follow
from tests.rotation.conftest import Database, ending, password
from tests.rotation.fakes import Scripted

Eventually = Callable[..., None]


def url(database: Database, driver: str) -> str:
    endpoint = database.endpoint
    return f"postgresql+{driver}://{endpoint.host}:{endpoint.port}/{endpoint.database}"


def test_a_sqlalchemy_engine_follows_and_falls_back(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str]
) -> None:
    engine = create_engine(url(database, "psycopg"), pool_size=3)

    def who() -> str:
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT session_user")).scalar())

    with Credentials(source) as credentials:
        follow(engine, credentials)
        held = [engine.connect() for _ in range(3)]
        for connection in held:
            connection.close()
        assert who() == user[0]
        source.set(second[0], "wrong")
        credentials.refresh()
        assert [who() for _ in range(4)] == [user[0]] * 4  # refused: the last good one serves
        source.set(*second)
        credentials.refresh()
        assert [who() for _ in range(4)] == [second[0]] * 4
        source.set(*user)
        with engine.connect() as busy:
            credentials.refresh()
            assert who() == user[0]
            assert busy.execute(text("SELECT session_user")).scalar() == second[0]
        assert [who() for _ in range(4)] == [user[0]] * 4
        assert second[1] not in str(engine.url) + repr(engine.dialect.create_connect_args(engine.url))
    engine.dispose()


def test_a_sqlalchemy_engine_checks_nothing_out_after_the_end(
    database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    credential = ending(user)
    source = Scripted(credential)
    engine = create_engine(url(database, "psycopg"))
    with Credentials(source) as credentials:
        follow(engine, credentials, patience=0.2)
        engine.connect().close()
        source.error = RuntimeError("away")
        eventually(lambda: credential.expired)
        with pytest.raises(CredentialExpired):
            engine.connect()
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_an_async_sqlalchemy_engine_follows(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str], driver: str
) -> None:
    async def scenario() -> None:
        engine = create_async_engine(url(database, driver))

        async def who() -> str:
            async with engine.connect() as connection:
                return str((await connection.execute(text("SELECT session_user"))).scalar())

        with Credentials(source) as credentials:
            follow(engine, credentials)
            assert await who() == user[0]
            fresh = password()
            database.set_user(user[0], fresh)  # a password changed without notice
            source.set(user[0], fresh)
            await engine.dispose()
            assert await who() == user[0]
            assert credentials.generation == 2
            source.set(*second)
            credentials.refresh()
            assert await who() == second[0]
        await engine.dispose()

    asyncio.run(scenario())


def test_an_asyncpg_pool_follows(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str]
) -> None:
    async def scenario() -> None:
        endpoint = database.endpoint
        credentials = Credentials(source)
        pool = await create_pool(
            credentials=credentials,
            host=endpoint.host,
            port=endpoint.port,
            database=endpoint.database,
            min_size=2,
            max_size=4,
        )
        assert await pool.fetchval("SELECT session_user") == user[0]
        async with pool.acquire() as busy:
            source.once = [Credential(username=second[0], password="wrong")]
            source.set(*second)
            await asyncio.to_thread(credentials.refresh)
            until = time.monotonic() + 60
            while await pool.fetchval("SELECT session_user") != second[0]:
                assert time.monotonic() < until
                await asyncio.sleep(0.02)
            assert await busy.fetchval("SELECT session_user") == user[0]
        await pool.close()
        await asyncio.to_thread(credentials.close)

    asyncio.run(scenario())


DJANGO = """
import os, threading, time
import django
from django.conf import settings
from rotation import Credentials, Environment
from rotation.adapters.django import pool

credentials = Credentials(Environment("APP_USER", "APP_PASSWORD", poll_interval=0.05))
settings.configure(DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["DB"], "HOST": os.environ["HOST"], "PORT": os.environ["PORT"],
    "OPTIONS": {"pool": pool(credentials, min_size=2, max_size=4, timeout=30)},
}})
django.setup()
from django.db import close_old_connections, connection, connections

def who():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        name = cursor.fetchone()[0]
    connection.close()
    return name

print(who())
os.environ["APP_USER"], os.environ["APP_PASSWORD"] = os.environ["SECOND"].split(":")
until = time.monotonic() + 60
while who() != os.environ["APP_USER"] and time.monotonic() < until:
    time.sleep(0.02)
print(*{who() for _ in range(8)})
print(credentials.counters.replaced > 0)
connections["default"].close_pool()
credentials.close()
"""


def test_djangos_pool_follows(database: Database, user: tuple[str, str], second: tuple[str, str]) -> None:
    """In a process of its own, as Django's settings are one for a process."""
    endpoint = database.endpoint
    environment = {
        "APP_USER": user[0],
        "APP_PASSWORD": user[1],
        "SECOND": ":".join(second),
        "DB": endpoint.database,
        "HOST": endpoint.host,
        "PORT": str(endpoint.port),
        "PYTHONPATH": ":".join(sys.path),
    }
    command = [sys.executable, "-W", "error", "-c", DJANGO]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [user[0], second[0], "True"]


def test_django_options_that_the_adapter_sets_are_refused(source: Scripted) -> None:
    from rotation.adapters.django import pool as options

    with pytest.raises(InvalidArgument, match="kwargs: Django or this adapter sets these itself"):
        options(source, kwargs={})


def test_any_other_client_may_watch(source: Scripted, eventually: Eventually) -> None:
    """A Redis or HTTP client: told of each change through ``subscribe``."""

    class Client:
        password = ""

        def on_change(self, credential: Credential) -> bool:
            self.password = credential.password
            return True

        def on_end(self, credential: Credential) -> None:
            self.password = ""

        def in_use(self, generation: int) -> int:
            return 0

    client: Any = Client()
    with Credentials(source) as credentials:
        stop = credentials.subscribe(client)
        credentials.current()
        eventually(lambda: client.password == credentials.current().password)
        source.set("app", "next-password")
        credentials.refresh()
        eventually(lambda: client.password == "next-password")
        stop()
