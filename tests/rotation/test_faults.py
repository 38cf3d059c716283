"""What may fail a request, and how it recovers. docs/rotation.md says the same in a table."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from rotation import Credential, Credentials, SecretsManager, VaultDynamic, _pool, _pool_async
from rotation.drill import load
from sandbox.servers import openbao as vault_server
from sandbox.servers.files import Ports
from sandbox.servers.postgres import PostgreSQL
from tests.rotation.conftest import Database, SecretStore, VaultDatabase, password
from tests.rotation.fakes import Scripted
from tests.rotation.proxy import Proxy
from tests.rotation.traffic import AsyncioPool, ThreadedPool

Eventually = Callable[..., None]


@pytest.fixture(params=[ThreadedPool, AsyncioPool], ids=["threads", "asyncio"])
def pool_on(request: pytest.FixtureRequest) -> Any:
    """Opens a pool of either kind: ``with pool_on(conninfo, credentials) as pool, pool.traffic() as traffic``."""
    return request.param


def test_vault_sealed_for_half_a_lease_fails_no_request(
    pool_on: Any, vault: VaultDatabase, database: Database, eventually: Eventually
) -> None:
    lease = 24.0  # an unsealed OpenBao needs seconds to become active: as many are left when it is unsealed
    role = vault.dynamic_role(f"{lease:.0f}s", "10m")
    state_dir = Path(vault.endpoint.token_file).parent.parent
    with pool_on(database.conninfo, VaultDynamic(role, **vault.options)) as pool:
        pool.wait()
        had = pool.credentials.current()
        with pool.traffic() as traffic:
            time.sleep(lease * 0.2)
            vault_server.seal(vault.endpoint)
            try:
                time.sleep(lease / 2)
                eventually(lambda: pool.health().failures >= 1)  # the renewal at two thirds
            finally:
                vault_server.unseal(state_dir, vault.endpoint)
            eventually(lambda: had.expired)  # the end that the lease had
            ended = time.monotonic()
            eventually(lambda: traffic.served_since(ended))
        assert traffic.bad == []
        assert pool.health().generation == 1  # renewed, not replaced
        assert pool.health().failures >= 1
        assert pool.health().healthy
    assert vault.leases(role) == []


def test_vault_sealed_beyond_the_lease_makes_requests_wait_and_none_runs_on_the_ended_credential(
    pool_on: Any, vault: VaultDatabase, database: Database, eventually: Eventually
) -> None:
    role = vault.dynamic_role("6s", "10m")
    state_dir = Path(vault.endpoint.token_file).parent.parent
    with pool_on(database.conninfo, VaultDynamic(role, **vault.options)) as pool:
        pool.wait()
        ends = time.monotonic() + (pool.credentials.current().seconds_left() or 0)
        vault_server.seal(vault.endpoint)
        try:
            with pool.traffic() as traffic:
                time.sleep(11)
                assert max(traffic.good) <= ends + 3  # handed out before it; a busy machine notes it late
                assert database.sessions_like(f"v-%{role}%") == []
                vault_server.unseal(state_dir, vault.endpoint)
                unsealed = time.monotonic()
                eventually(lambda: traffic.served_since(unsealed))
        finally:
            vault_server.unseal(state_dir, vault.endpoint)
        assert traffic.bad == []  # they waited, as the pool's timeout is longer than the outage


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgreSQL]:
    """A PostgreSQL that this test may stop."""
    (tmp_path / "logs").mkdir()
    server = PostgreSQL(tmp_path, Ports(tmp_path))
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.process.stop())


def test_a_restarted_database_fails_only_what_was_under_way_or_finds_its_session_cut(
    pool_on: Any, own_postgres: PostgreSQL, eventually: Eventually
) -> None:
    database = Database(own_postgres.endpoint)
    name, word = database.new_name(), password()
    database.set_user(name, word)
    source = Scripted(Credential(username=name, password=word))
    with pool_on(database.conninfo, source) as pool:
        pool.wait()
        with pool.traffic() as traffic:
            time.sleep(0.5)
            asyncio.run(own_postgres.process.stop())
            time.sleep(0.5)
            asyncio.run(own_postgres.start())
            back = time.monotonic()
            eventually(lambda: traffic.served_since(back))  # after psycopg_pool's back-off
        assert len(traffic.bad) <= 4 + 4  # one for each session, and what was under way
        assert all("OperationalError" in text or "AdminShutdown" in text for _, text in traffic.bad)
        assert max(began for began, _ in traffic.bad) < back
        assert source.fetches == 1  # a server that is away is no refused login


def test_throttled_reads_of_secrets_manager_fail_no_request(
    pool_on: Any,
    database: Database,
    store: SecretStore,
    user: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    """moto does not throttle: the real client gets a real ThrottlingException from its transport."""
    from botocore.awsrequest import AWSResponse

    secret = store.put(f"fault/{user[0]}", user[1], database, user[0])
    throttled = threading.Event()
    answered = []

    def throttle(**_: object) -> AWSResponse | None:
        if not throttled.is_set():
            return None
        answered.append(time.monotonic())
        body = b'{"__type":"ThrottlingException","message":"Rate exceeded"}'

        class Raw:
            def stream(self, *_: object, **__: object) -> Iterator[bytes]:
                yield body

        return AWSResponse("https://secretsmanager", 400, {"content-type": "application/x-amz-json-1.1"}, Raw())

    client = boto3.client("secretsmanager")  # the source's own; the test's puts are not throttled
    client.meta.events.register("before-send.secrets-manager", throttle)
    with pool_on(database.conninfo, SecretsManager(secret, client=client, poll_interval=0.2)) as pool:
        pool.wait()
        with pool.traffic() as traffic:
            throttled.set()
            fresh = password()
            database.set_user(user[0], fresh)
            store.put(secret, fresh, database, user[0])
            eventually(lambda: pool.health().failures >= 1)
            assert "ThrottlingException" in str(pool.health().last_error)
            throttled.clear()
            eventually(lambda: pool.health().healthy and pool.health().generation == 2)
        assert traffic.bad == []
        assert answered


def test_a_wrong_password_given_once_fails_no_request(
    pool_on: Any, database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    source = Scripted(Credential(username=user[0], password=user[1]), poll_interval=0.1)
    with pool_on(database.conninfo, source) as pool:
        pool.wait()
        with pool.traffic() as traffic:
            for _ in range(10):
                refused = pool.health().rejections
                source.once = [Credential(username=user[0], password="wrong-" + password())]
                eventually(lambda refused=refused: pool.health().rejections > refused)
            eventually(lambda: pool.credentials.current().password == user[1])
        assert traffic.bad == []


def test_clock_jumps_fail_no_request(
    pool_on: Any, database: Database, user: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rotation import _clock

    moment = _clock.now()
    source = Scripted(Credential(username=user[0], password=user[1], obtained_at=moment, expires_at=moment + 600))
    real = time.time
    with pool_on(database.conninfo, source) as pool:
        pool.wait()
        with pool.traffic() as traffic:
            for jump in (86_400.0, -86_400.0, 0.0):
                monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
                time.sleep(0.3)
        assert traffic.bad == []
        assert source.fetches == 1


def test_a_cut_network_fails_what_was_under_way_and_recovers_without_asking_the_source(
    pool_on: Any, database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    endpoint = database.endpoint
    proxy = Proxy((endpoint.host, endpoint.port))
    conninfo = f"host=127.0.0.1 port={proxy.port} dbname={endpoint.database}"
    source = Scripted(Credential(username=user[0], password=user[1]))
    try:
        with pool_on(conninfo, source) as pool:
            pool.wait()
            with pool.traffic() as traffic:
                time.sleep(0.3)
                proxy.cut()
                time.sleep(1)
                proxy.mend()
                mended = time.monotonic()
                eventually(lambda: traffic.served_since(mended))
            assert 1 <= len(traffic.bad) <= 8
            assert source.fetches <= 2  # at most a login cut in the middle looks like a refused one
    finally:
        proxy.close()


def test_a_rotation_while_the_network_is_cut_is_adopted_afterwards(
    pool_on: Any, database: Database, user: tuple[str, str], eventually: Eventually
) -> None:
    endpoint = database.endpoint
    proxy = Proxy((endpoint.host, endpoint.port))
    source = Scripted(Credential(username=user[0], password=user[1]), poll_interval=0.1)
    name, word = database.new_name(), password()
    database.set_user(name, word)
    try:
        with pool_on(f"host=127.0.0.1 port={proxy.port} dbname={endpoint.database}", source) as pool:
            pool.wait()
            proxy.cut()
            source.set(name, word)
            eventually(lambda: pool.credentials.generation == 2)
            proxy.mend()
            eventually(lambda: pool.guard.minimum == 2)
            eventually(lambda: set(database.sessions_like("app%")) == {name})
            assert pool.user() == name
    finally:
        proxy.close()
        database.drop_user(name)


def test_a_silent_network_fails_no_request_and_holds_up_no_renewal(
    pool_on: Any, database: Database, user: tuple[str, str], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_pool, _pool_async):
        monkeypatch.setattr(module, "PROBE_TIMEOUT", 2)
    endpoint = database.endpoint
    proxy = Proxy((endpoint.host, endpoint.port))
    source = Scripted(Credential(username=user[0], password=user[1]), poll_interval=0.1)
    name, word = database.new_name(), password()
    database.set_user(name, word)
    try:
        with pool_on(f"host=127.0.0.1 port={proxy.port} dbname={endpoint.database}", source) as pool:
            pool.wait()
            with pool.traffic() as traffic:
                time.sleep(0.3)
                proxy.hush()
                time.sleep(3)  # what was under way has ended
                served = len(traffic.good)
                source.set(name, word)
                eventually(lambda: pool.credentials.generation == 2)
                fetches = source.fetches
                eventually(lambda: source.fetches > fetches + 1)  # the login that hangs was given up
                assert len(traffic.good) == served
                proxy.speak()
                eventually(lambda: pool.guard.minimum == 2)
                eventually(lambda: set(database.sessions_like("app%")) == {name})
            assert traffic.bad == []
    finally:
        proxy.close()
        database.drop_user(name)


def test_no_session_outlives_its_credential_under_load(pool_on: Any, vault: VaultDatabase, database: Database) -> None:
    """Short leases under load; a sampler looks for sessions whose user Vault has already dropped or that has expired."""
    role = vault.dynamic_role("4s", "8s")
    overdue: list[str] = []
    stop = threading.Event()

    def sample() -> None:
        query = (
            "SELECT usename FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.rolname = a.usename "
            "WHERE a.usename LIKE %s AND (r.rolname IS NULL OR r.rolvaliduntil < now())"
        )
        with database.connect() as admin:
            while not stop.wait(0.05):
                overdue.extend(row[0] for row in admin.execute(query, [f"v-%{role}%"]))

    sampler = threading.Thread(target=sample)
    with Credentials(VaultDynamic(role, **vault.options)) as credentials:
        with pool_on(database.conninfo, credentials) as pool:
            pool.wait()
            sampler.start()
            with pool.traffic() as traffic:
                time.sleep(24)
            stop.set()
            sampler.join()
        assert traffic.bad == []
        assert credentials.generation >= 3
    assert overdue == []
    assert vault.leases(role) == []
    assert database.users_like(f"v-%{role}%") == []


def test_a_load_that_fails_is_counted_as_failed(database: Database, user: tuple[str, str]) -> None:
    """The counter that all this rests on can count."""
    source = Scripted(Credential(username=user[0], password=user[1]))

    def cut() -> None:
        with database.connect() as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user[0]])
        pool.credentials.refresh()

    with ThreadedPool(database.conninfo, source) as pool:
        pool.wait()
        source.once = []
        done = load.run(pool, requests=500, rotations=2, rotate=cut, threads=4, generation=iter(range(100)).__next__)
    assert done.failures
