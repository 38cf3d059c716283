"""The pools on a real PostgreSQL: psycopg_pool's contract, and what happens around one change of the credential."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import psycopg_pool
import pytest
from psycopg.rows import dict_row

from rotation import (
    AsyncRotatingConnectionPool,
    Credential,
    Credentials,
    InvalidArgument,
    RotatingConnectionPool,
    SourceDenied,
    SourceError,
)
from rotation._pool_base import STAMP
from tests.rotation.conftest import Database, SecretStore, ending, password
from tests.rotation.fakes import Scripted

Eventually = Callable[..., None]
AUTOCOMMIT = {"autocommit": True}


def pool_on(database: Database, credentials: Any, **options: Any) -> RotatingConnectionPool[psycopg.Connection]:
    options = {"min_size": 4, "open": True, "timeout": 30.0, "kwargs": AUTOCOMMIT} | options
    return RotatingConnectionPool(database.conninfo, credentials=credentials, **options)


def who(pool: Any) -> str:
    with pool.connection() as connection:
        return str(connection.execute("SELECT session_user").fetchone()[0])


def no_back_off(pool: Any) -> bool:
    """psycopg_pool waits a second and more after a connection that failed; the credential's change must cause none."""
    return not pool.get_stats().get("connections_errors", 0)


def test_code_written_for_psycopg_pool_runs_unchanged(database: Database, user: tuple[str, str]) -> None:
    seen = []
    with RotatingConnectionPool(
        database.conninfo,
        kwargs={"user": user[0], "password": user[1], "row_factory": dict_row},
        min_size=1,
        max_size=2,
        configure=lambda connection: seen.append(connection),
        check=RotatingConnectionPool.check_connection,
        name="mine",
    ) as pool:
        assert isinstance(pool, psycopg_pool.ConnectionPool)
        pool.wait()
        with pool.connection() as connection:
            assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}
        connection = pool.getconn()
        with pytest.raises(psycopg_pool.PoolTimeout):
            [pool.getconn(timeout=0.2) for _ in range(3)]
        pool.putconn(connection)
        assert pool.get_stats()["requests_num"] >= 3
        assert (pool.name, pool.min_size, pool.max_size) == ("mine", 1, 2)
    assert seen
    with pytest.raises(psycopg_pool.PoolClosed):
        pool.getconn()


def test_a_connection_class_configure_and_callable_kwargs_are_kept(database: Database, source: Scripted) -> None:
    class Mine(psycopg.Connection[Any]):
        pass

    configured: list[Any] = []
    options: dict[str, Any] = {"connection_class": Mine, "kwargs": lambda: AUTOCOMMIT, "configure": configured.append}
    with pool_on(database, source, **options) as pool, pool.connection() as connection:
        assert isinstance(connection, Mine)
        assert connection.autocommit
        assert connection in configured


def test_a_new_credential_replaces_idle_connections_and_those_in_use_when_they_come_back(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str], eventually: Eventually
) -> None:
    with pool_on(database, source) as pool:
        pool.wait()
        with pool.connection() as busy:
            source.set(*second)
            pool.credentials.refresh()
            eventually(lambda: set(database.sessions_like("app%")) >= {second[0]})
            eventually(lambda: database.sessions_like(user[0]) == [user[0]])
            row = busy.execute("SELECT session_user").fetchone()
            assert row is not None
            assert row[0] == user[0]  # its work goes on
        eventually(lambda: database.sessions_like(user[0]) == [])
        assert who(pool) == second[0]
        assert pool.health().connections_replaced >= 3


def test_a_new_credential_that_the_server_refuses_costs_nothing_while_the_old_one_works(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str], eventually: Eventually
) -> None:
    with pool_on(database, source, max_size=12) as pool:
        pool.wait()
        source.set(second[0], "wrong-" + second[1])
        pool.credentials.refresh()
        time.sleep(0.3)
        held = [pool.getconn() for _ in range(12)]  # old ones, and new ones that fall back to the last good credential
        assert {connection.info.user for connection in held} == {user[0]}
        for connection in held:
            pool.putconn(connection)
        source.set(*second)
        pool.credentials.refresh()
        eventually(lambda: who(pool) == second[0])


def test_a_wrong_password_once_is_read_again_and_no_request_fails(
    database: Database, source: Scripted, second: tuple[str, str], eventually: Eventually
) -> None:
    with pool_on(database, source) as pool:
        pool.wait()
        source.once = [Credential(username=second[0], password="wrong-" + second[1])]
        source.set(*second)
        pool.credentials.refresh()
        eventually(lambda: who(pool) == second[0])
        assert pool.health().rejections >= 1


def test_the_first_credential_may_be_published_late(database: Database, user: tuple[str, str]) -> None:
    source = Scripted(Credential(username=user[0], password="old-" + user[1]), poll_interval=None)
    threading.Timer(0.5, lambda: source.set(*user)).start()
    with pool_on(database, source) as pool:
        assert who(pool) == user[0]
        assert no_back_off(pool)


def test_a_password_changed_without_notice_costs_one_refused_login(
    database: Database, source: Scripted, user: tuple[str, str]
) -> None:
    with pool_on(database, source, min_size=1, max_size=8) as pool:
        pool.wait()
        fresh = password()
        database.set_user(user[0], fresh)
        source.set(user[0], fresh)
        with ThreadPoolExecutor(8) as threads:
            assert set(threads.map(lambda _: who(pool), range(64))) == {user[0]}
        assert no_back_off(pool)
        assert source.fetches == 2


def test_ten_thousand_check_outs_during_changes_without_a_break_hand_out_nothing_replaced(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str]
) -> None:
    """Generations change as fast as they can be read, so logins overlap changes all the time."""
    stop = threading.Event()
    with Credentials(source) as credentials, pool_on(database, credentials, min_size=4) as pool:
        pool.wait()

        def rotate() -> None:
            for name, word in itertools.cycle((second, user)):
                if stop.wait(0.002):
                    return
                source.set(name, word)
                credentials.refresh()

        rotating = threading.Thread(target=rotate)
        rotating.start()
        wrong = number = 0
        try:
            while number < 10_000 or credentials.generation < 200:
                number += 1
                minimum = pool.guard.minimum
                connection = pool.getconn()
                wrong += getattr(connection, STAMP) < minimum
                pool.putconn(connection)
        finally:
            stop.set()
            rotating.join()
        assert wrong == 0


def test_a_login_that_a_change_overtakes_is_not_handed_out(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str], eventually: Eventually
) -> None:
    """The connection resolved before drain() and finished after it."""
    slow = threading.Event()

    class Slow(psycopg.Connection[Any]):
        @classmethod
        def connect(cls, conninfo: str = "", **kwargs: Any) -> Any:
            connection = super().connect(conninfo, **kwargs)
            if kwargs["user"] == user[0] and slow.is_set():
                time.sleep(0.5)
            return connection

    with pool_on(database, source, min_size=1, max_size=2, connection_class=Slow) as pool:
        pool.wait()
        slow.set()
        with pool.connection(), ThreadPoolExecutor(1) as thread:
            growing = thread.submit(who, pool)
            time.sleep(0.1)
            source.set(*second)
            pool.credentials.refresh()
            assert growing.result() == second[0]


def test_sixty_four_stale_connections_delay_the_next_check_out_little(
    database: Database, source: Scripted, second: tuple[str, str], eventually: Eventually
) -> None:
    with pool_on(database, source, min_size=64, timeout=30.0) as pool:
        pool.wait()
        source.set(*second)
        pool.credentials.refresh()
        with pool.connection():
            assert no_back_off(pool)  # the benchmark has the time
        eventually(lambda: who(pool) == second[0])


def test_get_connection_comes_back_with_close(database: Database, source: Scripted) -> None:
    with pool_on(database, source, min_size=1, max_size=1, close_returns=True) as pool:
        for _ in range(3):
            connection = pool.get_connection(timeout=30)
            connection.execute("SELECT 1")
            connection.close()
        assert pool.get_stats()["connections_num"] == 1


def test_the_seeds_call_works_on_a_secret_as_aws_makes_it(
    database: Database, store: SecretStore, user: tuple[str, str]
) -> None:
    secret = store.put(f"seed/{user[0]}", user[1], database, user[0])
    with RotatingConnectionPool.for_secrets_manager(secret, "us-east-1") as pool:
        connection = pool.get_connection()
        row = connection.execute("SELECT session_user, current_database()").fetchone()
        assert row == (user[0], database.endpoint.database)
        connection.close()
        assert (pool.min_size, pool.max_size) == (2, 10)
    with pytest.raises(SourceDenied, match="ResourceNotFound"):
        RotatingConnectionPool.for_secrets_manager("seed/none", "us-east-1")


def test_two_sources_of_a_password_are_refused(source: Scripted) -> None:
    for options in ({"conninfo": "user=somebody"}, {"kwargs": {"password": "x"}}):
        with pytest.raises(InvalidArgument, match="leave it out"):
            RotatingConnectionPool(**{"credentials": source, "open": False} | options)
    with pytest.raises(InvalidArgument, match="expected a Credentials, a Source"):
        RotatingConnectionPool(credentials="secret", open=False)  # type: ignore[arg-type]


def test_a_pool_that_cannot_read_its_credential_says_why(database: Database) -> None:
    source = Scripted()
    source.error = SourceDenied("no grant on app/db")
    with pool_on(database, source) as pool:
        with pytest.raises(psycopg_pool.PoolTimeout, match="no grant on app/db") as caught:
            pool.getconn(timeout=1.0)
        assert isinstance(caught.value.__cause__, SourceError)


def test_closing_a_pool_does_not_close_credentials_that_are_shared(database: Database, source: Scripted) -> None:
    with Credentials(source) as credentials:
        with pool_on(database, credentials) as pool:
            pool.wait()
        assert not credentials.closed
    own = pool_on(database, source)
    own.wait()
    own.close()
    assert own.credentials.closed


def test_a_replaced_lease_is_revoked_when_its_last_connection_comes_back(
    database: Database, user: tuple[str, str], second: tuple[str, str], eventually: Eventually
) -> None:
    source = Scripted(Credential(username=user[0], password=user[1], handle="lease-1"))
    with pool_on(database, source) as pool:
        pool.wait()
        with pool.connection():
            source.value = Credential(username=second[0], password=second[1], handle="lease-2")
            pool.credentials.refresh()
            time.sleep(1.5)
            assert source.revoked == []
        eventually(lambda: [each.username for each in source.revoked] == [user[0]])


def test_nothing_is_handed_out_after_the_end_of_the_credential(
    database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    credential = ending(user)
    source = Scripted(credential)
    with pool_on(database, source) as pool:
        pool.wait()
        source.error = SourceDenied("no more")
        eventually(lambda: credential.expired)
        with pytest.raises(psycopg_pool.PoolTimeout, match="no more"):
            pool.getconn(timeout=1.0)
        eventually(lambda: database.sessions_like(user[0]) == [])
        source.error = None
        source.set(*user)
        assert who(pool) == user[0]


def test_the_asyncio_pool_keeps_the_same_promises(
    database: Database, source: Scripted, user: tuple[str, str], second: tuple[str, str]
) -> None:
    async def name(pool: Any) -> str:
        async with pool.connection() as connection:
            return str((await (await connection.execute("SELECT session_user")).fetchone())[0])

    async def scenario() -> None:
        options: dict[str, Any] = {"min_size": 4, "open": False, "kwargs": AUTOCOMMIT, "timeout": 10}
        async with AsyncRotatingConnectionPool(database.conninfo, credentials=source, **options) as pool:
            await pool.wait()
            assert await name(pool) == user[0]
            async with pool.connection() as busy:
                source.once = [Credential(username=second[0], password="wrong")]
                source.set(*second)
                await asyncio.to_thread(pool.credentials.refresh)
                until = time.monotonic() + 60
                while await name(pool) != second[0]:
                    assert time.monotonic() < until
                    await asyncio.sleep(0.02)
                assert busy.info.user == user[0]
                await busy.execute("SELECT 1")
            connection = await pool.get_connection()
            await pool.putconn(connection)
            assert pool.health().generation == 3
        assert pool.credentials.closed

    asyncio.run(scenario())


def test_the_asyncio_pool_hands_nothing_out_after_the_end(
    database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    async def scenario() -> None:
        credential = ending(user)
        source = Scripted(credential)
        options: dict[str, Any] = {"min_size": 2, "open": False, "kwargs": AUTOCOMMIT}
        async with AsyncRotatingConnectionPool(database.conninfo, credentials=source, **options) as pool:
            await pool.wait()
            source.error = SourceDenied("no more")
            await asyncio.to_thread(eventually, lambda: credential.expired)
            with pytest.raises(psycopg_pool.PoolTimeout, match="no more"):
                await pool.getconn(timeout=1.0)
            source.error = None
            source.set(*user)
            async with pool.connection() as connection:
                assert connection.info.user == user[0]

    asyncio.run(scenario())


def test_the_asyncio_seeds_call_works(database: Database, store: SecretStore, user: tuple[str, str]) -> None:
    secret = store.put(f"seed/async-{user[0]}", user[1], database, user[0])

    async def scenario() -> None:
        pool: Any = await AsyncRotatingConnectionPool.for_secrets_manager(secret, "us-east-1")
        async with pool, pool.connection() as connection:
            assert connection.info.user == user[0]

    asyncio.run(scenario())


def test_nothing_is_handed_out_after_the_end_even_while_the_source_does_not_answer(
    database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    """The thread that would notice hangs in the source, as in a request to a host that swallows packets."""

    class Hanging(Scripted):
        def renew(self, credential: Credential) -> Credential | None:
            released.wait(60)
            raise SourceDenied("no more")

    released = threading.Event()
    credential = ending(user)
    source = Hanging(credential)
    with pool_on(database, source) as pool:
        pool.wait()
        eventually(lambda: credential.expired)
        with pytest.raises(psycopg_pool.PoolTimeout):
            pool.getconn(timeout=1.0)
        source.set(*user)
        released.set()
        assert who(pool) == user[0]
