"""The rotation function against a real PostgreSQL: four steps, each of which may come twice."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg
import pytest

from rotation import InvalidArgument
from rotation import function as module
from rotation.function import STEPS, RotationFailed, RotationFunction
from tests.rotation.conftest import Database, SecretStore


def value(store: SecretStore, secret: str, stage: str = "AWSCURRENT") -> dict[str, Any]:
    answer = store.client.get_secret_value(SecretId=secret, VersionStage=stage)
    found: dict[str, Any] = json.loads(answer["SecretString"])
    return found


def logs_in(database: Database, found: dict[str, Any]) -> bool:
    try:
        with psycopg.connect(database.conninfo, user=found["username"], password=found["password"]) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def single(store: SecretStore, database: Database, user: tuple[str, str]) -> str:
    return store.put(f"function/{user[0]}", user[1], database, user[0])


@pytest.fixture
def alternating(store: SecretStore, database: Database, user: tuple[str, str]) -> str:
    endpoint = database.endpoint
    master = store.put("function/master", endpoint.superuser_password, database, endpoint.superuser)
    return store.put(f"function/{user[0]}", user[1], database, user[0], masterarn=master)


def test_a_single_user_gets_a_new_password_and_the_old_one_is_refused(
    store: SecretStore, database: Database, single: str
) -> None:
    before = value(store, single)
    RotationFunction(store.client).rotate(single)
    after = value(store, single)
    assert after["username"] == before["username"]
    assert logs_in(database, after)
    assert not logs_in(database, before)
    assert value(store, single, "AWSPREVIOUS") == before


def test_alternating_users_take_turns_and_the_old_one_works_until_the_next_rotation(
    store: SecretStore, database: Database, alternating: str
) -> None:
    function = RotationFunction(store.client, "alternating-users")
    first = value(store, alternating)
    function.rotate(alternating)
    second = value(store, alternating)
    assert second["username"] == first["username"] + "_clone"
    assert logs_in(database, first)
    assert logs_in(database, second)
    function.rotate(alternating)
    third = value(store, alternating)
    assert third["username"] == first["username"]
    assert not logs_in(database, first)
    assert logs_in(database, second)
    assert logs_in(database, third)


def test_what_the_clone_makes_belongs_to_the_first_user(
    store: SecretStore, database: Database, alternating: str, user: tuple[str, str]
) -> None:
    RotationFunction(store.client, "alternating-users").rotate(alternating)
    found = value(store, alternating)
    with psycopg.connect(database.conninfo, user=found["username"], password=found["password"]) as connection:
        row = connection.execute("SELECT session_user, current_user").fetchone()
    assert row == (found["username"], user[0])


@pytest.mark.parametrize("name", ["single", "alternating"])
def test_every_step_may_come_twice(
    store: SecretStore, database: Database, name: str, request: pytest.FixtureRequest
) -> None:
    secret = request.getfixturevalue(name)
    function = RotationFunction(store.client, "single-user" if name == "single" else "alternating-users")
    token = str(uuid.uuid4())
    for step in STEPS:
        for _ in range(2):
            function.handle({"SecretId": secret, "ClientRequestToken": token, "Step": step})
    assert logs_in(database, value(store, secret))
    with pytest.raises(store.client.exceptions.ResourceNotFoundException):
        value(store, secret, "AWSPENDING")


def test_a_rotation_that_stopped_half_way_is_taken_up_again(
    store: SecretStore, database: Database, single: str
) -> None:
    function = RotationFunction(store.client)
    token = str(uuid.uuid4())
    event = {"SecretId": single, "ClientRequestToken": token}
    for step in STEPS[:2]:
        function.handle({**event, "Step": step})
    for step in STEPS:
        function.handle({**event, "Step": step})
    assert logs_in(database, value(store, single))


def test_the_password_is_in_none_of_the_servers_statements(
    store: SecretStore, database: Database, single: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    original = psycopg.Connection.execute

    def execute(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(query if isinstance(query, str) else query.as_string(self))
        return original(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    RotationFunction(store.client).rotate(single)
    changed = [text for text in seen if text.startswith("ALTER ROLE")]
    assert len(changed) == 1
    assert "SCRAM-SHA-256$" in changed[0]
    assert value(store, single)["password"] not in "".join(seen)


def test_lambdas_entry_point_reads_its_strategy(
    store: SecretStore, database: Database, single: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = str(uuid.uuid4())
    for step in STEPS:
        module.handler({"SecretId": single, "ClientRequestToken": token, "Step": step}, None)
    assert logs_in(database, value(store, single))
    monkeypatch.setenv("ROTATION_STRATEGY", "both")
    with pytest.raises(InvalidArgument, match="ROTATION_STRATEGY is 'both'; expected one of single-user"):
        module.handler({"SecretId": single, "ClientRequestToken": token, "Step": "createSecret"}, None)


def test_what_cannot_be_rotated_is_said_clearly(store: SecretStore, database: Database, user: tuple[str, str]) -> None:
    secret = store.put(f"function/bad-{user[0]}", "not-the-password", database, user[0])
    with pytest.raises(RotationFailed, match="refuses the pending, the current and the previous"):
        RotationFunction(store.client).rotate(secret)
    with pytest.raises(RotationFailed, match="no masterarn"):
        RotationFunction(store.client, "alternating-users").rotate(store.put(secret, user[1], database, user[0]))
    with pytest.raises(InvalidArgument, match="Step is 'dance'"):
        RotationFunction(store.client).handle({"SecretId": secret, "ClientRequestToken": "x" * 36, "Step": "dance"})
