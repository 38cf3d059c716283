"""Fifty rotations of each source under 100,000 requests, with threads and with asyncio: none may fail."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rotation import (
    AsyncRotatingConnectionPool,
    Credentials,
    Environment,
    MountedFiles,
    RotatingConnectionPool,
    SecretsManager,
    Source,
    VaultDynamic,
    VaultStatic,
)
from rotation.drill import load
from rotation.function import RotationFunction
from tests.rotation.conftest import Database, SecretStore, VaultDatabase, password

REQUESTS = int(os.environ.get("ROTATION_TEST_REQUESTS", "100000"))
ROTATIONS = 50


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Eight busy threads keep the rotator's waiting 5 ms at each turn otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


@dataclass
class Case:
    """A source, what rotates it, and what must be gone when all is over."""

    source: Source
    rotate: Callable[[], None]
    users: str | None = None
    on_start: Callable[[Credentials], None] = field(default=lambda _: None)


@dataclass
class Setting:
    database: Database
    vault: VaultDatabase
    store: SecretStore
    folder: Path


@contextmanager
def vault_dynamic(given: Setting) -> Iterator[Case]:
    role = given.vault.dynamic_role("10m", "1h")
    holder: list[Credentials] = []
    yield Case(
        VaultDynamic(role, **given.vault.options),
        lambda: void(holder[0].refresh()),
        users=f"v-%-{role}-%",
        on_start=holder.append,
    )
    assert given.vault.leases(role) == []


@contextmanager
def vault_static(given: Setting) -> Iterator[Case]:
    with a_user(given) as (name, _):
        role = given.vault.static_role(name)
        yield Case(VaultStatic(role, poll_interval=0.1, **given.vault.options), lambda: given.vault.rotate_static(role))
        given.vault.call("DELETE", f"rotation-test/static-roles/{role}")


@contextmanager
def single_user(given: Setting) -> Iterator[Case]:
    with a_user(given) as (name, word):
        secret = given.store.put(f"test/{name}", word, given.database, name)
        function = RotationFunction(given.store.client, "single-user")
        yield Case(SecretsManager(secret, poll_interval=0.1), lambda: void(function.rotate(secret)))


@contextmanager
def alternating_users(given: Setting) -> Iterator[Case]:
    endpoint = given.database.endpoint
    master = given.store.put("test/master", endpoint.superuser_password, given.database, endpoint.superuser)
    with a_user(given) as (name, word):
        secret = given.store.put(f"test/{name}", word, given.database, name, masterarn=master)
        function = RotationFunction(given.store.client, "alternating-users")
        yield Case(SecretsManager(secret, poll_interval=0.1), lambda: void(function.rotate(secret)))


@contextmanager
def volume(given: Setting) -> Iterator[Case]:
    """A Secret's volume: the kubelet writes a new folder, then swaps the symlink."""
    mount = given.folder / "volume"
    mount.mkdir()
    with ExitStack() as users:
        number = iter(range(1000))

        def rotate() -> None:
            name, word = users.enter_context(a_user(given))
            version = mount / f"..v{next(number)}"
            version.mkdir()
            (version / "username").write_text(name)
            (version / "password").write_text(word)
            (mount / "..next").symlink_to(version.name)
            (mount / "..next").replace(mount / "..data")

        rotate()
        for key in ("username", "password"):
            (mount / key).symlink_to(Path("..data") / key)
        yield Case(MountedFiles(mount, poll_interval=0.05), rotate)


@contextmanager
def agent_file(given: Setting) -> Iterator[Case]:
    """What the seed's template renders, replaced as the agent does."""
    file = given.folder / "db-creds"
    with ExitStack() as users:

        def rotate() -> None:
            name, word = users.enter_context(a_user(given))
            fresh = file.with_suffix(".tmp")
            fresh.write_text(f'export DB_USERNAME="{name}"\nexport DB_PASSWORD="{word}"\n')
            fresh.replace(file)

        rotate()
        yield Case(MountedFiles(file, poll_interval=0.05), rotate)


@contextmanager
def environment(given: Setting) -> Iterator[Case]:
    with a_user(given) as (name, word), pytest.MonkeyPatch.context() as patch:
        patch.setenv("APP_USER", name)
        patch.setenv("APP_PASSWORD", word)

        def rotate() -> None:
            fresh = password()
            given.database.set_user(name, fresh)
            patch.setenv("APP_PASSWORD", fresh)

        yield Case(Environment("APP_USER", "APP_PASSWORD", poll_interval=0.05), rotate)


@contextmanager
def a_user(given: Setting) -> Iterator[tuple[str, str]]:
    name, word = given.database.new_name(), password()
    given.database.set_user(name, word)
    try:
        yield name, word
    finally:
        given.database.drop_user(name, f"{name}_clone")


def void(_: object) -> None:
    """For lambdas that must return None."""


CASES = [vault_dynamic, vault_static, single_user, alternating_users, volume, agent_file, environment]


@pytest.fixture
def setting(database: Database, vault: VaultDatabase, store: SecretStore, tmp_path: Path) -> Setting:
    return Setting(database, vault, store, tmp_path)


def check(result: load.Load, given: Setting, case: Case) -> None:
    assert result.failures == []
    assert result.waited == []
    assert len(result.rotations) == ROTATIONS
    assert result.requests >= REQUESTS
    assert all(result.began < began and ended < result.ended for began, ended in result.rotations)
    if case.users is not None:
        assert given.database.users_like(case.users) == []
    print(f"{result.requests} requests, {result.per_second:.0f}/s, {ROTATIONS} rotations")


@pytest.mark.parametrize("case_of", CASES, ids=lambda case: case.__name__)
def test_no_request_of_threads_fails_while_the_credential_rotates(setting: Setting, case_of: Any) -> None:
    with case_of(setting) as case:
        with Credentials(case.source) as credentials:
            case.on_start(credentials)
            options = {"min_size": 8, "max_size": 8, "kwargs": {"autocommit": True}, "open": True}
            with RotatingConnectionPool(setting.database.conninfo, credentials=credentials, **options) as pool:
                pool.wait()
                result = load.run(
                    pool, requests=REQUESTS, rotations=ROTATIONS, rotate=case.rotate, threads=8, rate=6000
                )
                assert pool.health().healthy
        check(result, setting, case)


@pytest.mark.parametrize("case_of", CASES, ids=lambda case: case.__name__)
def test_no_request_of_asyncio_fails_while_the_credential_rotates(setting: Setting, case_of: Any) -> None:
    async def scenario(credentials: Credentials, case: Case) -> load.Load:
        options = {"min_size": 8, "max_size": 8, "kwargs": {"autocommit": True}, "open": False}
        async with AsyncRotatingConnectionPool(setting.database.conninfo, credentials=credentials, **options) as pool:
            await pool.wait()
            return await load.run_async(pool, requests=REQUESTS, rotations=ROTATIONS, rotate=case.rotate, tasks=8)

    with case_of(setting) as case:
        with Credentials(case.source) as credentials:
            case.on_start(credentials)
            result = asyncio.run(scenario(credentials, case))
        check(result, setting, case)
