"""Secrets Manager, mounted files and the environment, each with what delivers to it."""

from __future__ import annotations

import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import aws_secretsmanager_caching
import pytest

from rotation import (
    Credential,
    Credentials,
    Environment,
    InvalidArgument,
    MountedFiles,
    SecretsManager,
    SourceDenied,
    SourceError,
    SourceMalformed,
    SourceUnavailable,
)
from tests.rotation.conftest import Database, SecretStore

SECRET = "pass-" + "word-value"


# Mounted files


def swap(mount: Path, version: str, **values: str) -> None:
    """As the kubelet's AtomicWriter does it, the old folder gone afterwards."""
    old = mount / "..data"
    before = Path(os.path.realpath(old)) if old.is_symlink() else None
    folder = mount / f"..{version}"
    folder.mkdir()
    for key, value in values.items():
        (folder / key).write_text(value)
        if not (mount / key).is_symlink():
            (mount / key).symlink_to(Path("..data") / key)
    (mount / "..data_tmp").symlink_to(folder.name)
    (mount / "..data_tmp").replace(old)
    if before is not None:
        for file in before.iterdir():
            file.unlink()
        before.rmdir()


def test_a_swapped_volume_is_noticed_and_never_read_half_old_half_new(tmp_path: Path) -> None:
    swap(tmp_path, "0", username="user-0", password="password-0")
    source = MountedFiles(tmp_path, poll_interval=0.01)
    stop = threading.Event()

    def swapping() -> None:
        number = 1
        while not stop.is_set():
            swap(tmp_path, str(number), username=f"user-{number}", password=f"password-{number}")
            number += 1

    writer = threading.Thread(target=swapping)
    writer.start()
    seen = set()
    try:
        until = time.monotonic() + 60
        while len(seen) <= 100 and time.monotonic() < until:
            try:
                found = source.fetch()
            except SourceUnavailable:  # swapped five times during one read
                continue
            assert found.username.removeprefix("user-") == found.password.removeprefix("password-")
            seen.add(found.username)
    finally:
        stop.set()
        writer.join()
    assert len(seen) > 100


@pytest.mark.parametrize(
    "text",
    [
        'export DB_USERNAME="app"\nexport DB_PASSWORD="pass-word-value"\nexport DATABASE_URL="postgresql://x:y@h:5432/d"\n',
        '{"username": "app", "password": "pass-word-value"}',
        '{"data": {"data": {"username": "app", "password": "pass-word-value"}, "metadata": {"version": 3}}}',
        "DATABASE_URL=postgresql://app:pass-word-value@db.internal:5433/myapp\n",
        "PGUSER=app\nPGPASSWORD='pass-word-value'\n",
    ],
    ids=["exports", "json", "kv2", "url", "assignments"],
)
def test_what_agents_render_is_understood(tmp_path: Path, text: str) -> None:
    file = tmp_path / "db-creds"
    file.write_text(text)
    found = MountedFiles(file).fetch()
    assert (found.username, found.password) == ("app", SECRET)
    found = MountedFiles(tmp_path).fetch()  # the folder with that one file
    assert (found.username, found.password) == ("app", SECRET)


def test_a_url_tells_the_place_too(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("DATABASE_URL=postgresql://app:p%40ss@db.internal:5433/myapp\n")
    found = MountedFiles(file).fetch()
    assert found.password == "p@ss"
    assert found.parameters == {"host": "db.internal", "port": "5433", "dbname": "myapp"}


def test_a_replaced_file_is_noticed_within_the_poll_interval(tmp_path: Path, eventually: Any) -> None:
    file = tmp_path / "creds"
    file.write_text("PGUSER=one\nPGPASSWORD=abcdef\n")
    with Credentials(MountedFiles(file, poll_interval=0.1)) as credentials:
        assert credentials.current().username == "one"
        fresh = tmp_path / "fresh"
        fresh.write_text("PGUSER=two\nPGPASSWORD=abcdef\n")
        fresh.replace(file)
        eventually(lambda: credentials.current().username == "two")


def test_a_file_with_a_known_lifetime_ends(tmp_path: Path) -> None:
    file = tmp_path / "creds"
    file.write_text("PGUSER=one\nPGPASSWORD=abcdef\n")
    os.utime(file, (time.time() - 30, time.time() - 30))
    assert MountedFiles(file, lifetime=60).fetch().seconds_left() == pytest.approx(30, abs=10)
    os.utime(file, (time.time() + 3600, time.time() + 3600))  # the wall clock was set back since
    assert (MountedFiles(file, lifetime=60).fetch().seconds_left() or 0) <= 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a JSON object nor lines"),
        ('{"username": "app", "password": "pass-word-value"', "not valid JSON at character"),
        ('{"username": "app"}', "no password; expected password, DB_PASSWORD"),
        ('{"user_name": "app", "password": "pass-word-value"}', "there are the keys password, user_name"),
        ('export DB_PASSWORD="pass-word-value', "DB_PASSWORD has an unclosed quote"),
    ],
)
def test_a_malformed_file_names_keys_and_no_value(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "creds"
    file.write_text(text)
    with pytest.raises(SourceMalformed, match=message) as caught:
        MountedFiles(file).fetch()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_missing_mount_and_a_bad_lifetime_are_clear(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="is the volume mounted"):
        MountedFiles(tmp_path / "none").fetch()
    with pytest.raises(InvalidArgument, match="lifetime is 0"):
        MountedFiles(tmp_path, lifetime=0)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceMalformed, match="not UTF-8"):
        MountedFiles(tmp_path / "binary").fetch()


# Environment


def test_environment_variables_are_read_and_missing_ones_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_USER", "app")
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    with pytest.raises(SourceMalformed, match="APP_PASSWORD not set"):
        Environment("APP_USER", "APP_PASSWORD").fetch()
    monkeypatch.setenv("APP_PASSWORD", SECRET)
    found = Environment("APP_USER", "APP_PASSWORD").fetch()
    assert (found.username, found.password, found.expires_at) == ("app", SECRET, None)


# Secrets Manager


@pytest.fixture
def secret(store: SecretStore, database: Database) -> str:
    name = f"source/{database.new_name()}"
    store.put(name, "first-password", database, "app")
    return name


def stage(store: SecretStore, name: str, word: str, stages: list[str]) -> str:
    text = f'{{"username": "app", "password": "{word}"}}'
    answer = store.client.put_secret_value(SecretId=name, SecretString=text, VersionStages=stages)
    return str(answer["VersionId"])


def test_the_current_version_is_used_with_its_place(store: SecretStore, secret: str, database: Database) -> None:
    found = SecretsManager(secret, region="us-east-1").fetch()
    assert (found.username, found.password) == ("app", "first-password")
    assert found.parameters["port"] == str(database.endpoint.port)
    assert len(found.version) == 36


def test_a_refused_current_version_leads_to_the_pending_and_then_to_the_previous_one(
    store: SecretStore, secret: str
) -> None:
    source = SecretsManager(secret)
    first = source.fetch()
    stage(store, secret, "pending-password", ["AWSPENDING"])
    assert source.fetch().password == "first-password"
    pending = source.fetch([first])
    assert pending.password == "pending-password"
    assert "AWSPENDING" in pending.version
    stage(store, secret, "second-password", ["AWSCURRENT"])
    second = source.fetch()
    assert second.password == "second-password"
    assert source.fetch([second, pending]).password == "first-password"


def test_where_every_version_is_refused_the_current_one_stands(store: SecretStore, secret: str) -> None:
    source = SecretsManager(secret)
    first = source.fetch()
    assert source.fetch([first]).password == "first-password"


def test_the_caching_client_is_used_until_a_login_is_refused(store: SecretStore, secret: str) -> None:
    cache = aws_secretsmanager_caching.SecretCache(client=store.client)
    source = SecretsManager(secret, cache=cache)
    first = source.fetch()
    stage(store, secret, "second-password", ["AWSCURRENT"])
    assert source.fetch().password == "first-password"  # the cache is behind, as it may be for an hour
    assert source.fetch([first]).password == "second-password"
    assert source.fetch().password == "second-password"  # not back to what was refused


def test_it_tells_when_the_secret_is_expected_to_change(secret: str) -> None:
    """moto keeps no NextRotationDate; the API's answer is given by hand."""
    import datetime

    class Client:
        described = 0

        def get_secret_value(self, **_: str) -> dict[str, str]:
            return {"SecretString": '{"username": "a", "password": "bcdefg"}', "VersionId": "v1"}

        def describe_secret(self, **_: str) -> dict[str, object]:
            self.described += 1
            return {"NextRotationDate": datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)}

    client = Client()
    with Credentials(SecretsManager(secret, client=client)) as credentials:
        credentials.current()
        credentials.refresh()
        assert 3540 < (credentials.health().rotates_in_seconds or 0) <= 3600
        assert client.described == 1  # once a version, not once a poll


def test_errors_of_secrets_manager_say_what_to_do(store: SecretStore, secret: str) -> None:
    with pytest.raises(SourceDenied, match="ResourceNotFoundException; is the name right"):
        SecretsManager("no/such/secret").fetch()
    store.client.create_secret(Name=f"{secret}-text", SecretString=SECRET)
    with pytest.raises(SourceMalformed, match="not valid JSON") as caught:
        SecretsManager(f"{secret}-text").fetch()
    assert SECRET not in str(caught.value)
    store.client.create_secret(Name=f"{secret}-binary", SecretBinary=b"x")
    with pytest.raises(SourceMalformed, match="binary"):
        SecretsManager(f"{secret}-binary").fetch()
    with pytest.raises(InvalidArgument, match="leave region out"):
        SecretsManager(secret, client=store.client, region="us-east-1")
    with pytest.raises(InvalidArgument, match="secret_id is empty"):
        SecretsManager("")


def test_an_unreachable_endpoint_is_unavailable_and_the_last_value_stays(
    monkeypatch: pytest.MonkeyPatch, store: SecretStore, secret: str
) -> None:
    source = SecretsManager(secret, poll_interval=None)
    with Credentials(source) as credentials:
        assert credentials.current().username == "app"
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        source._client = None
        with pytest.raises(SourceError, match="EndpointConnectionError"):
            credentials.refresh()
        assert isinstance(credentials.current(), Credential)
