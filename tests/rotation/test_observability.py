"""Logs without secrets, metrics, and what an import costs."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import prometheus_client
import pytest

import rotation
from rotation import Credential, Credentials, RedactingFilter, instrument
from rotation._redaction import MASK, redact
from tests.rotation.fakes import Scripted

SECRET = "Zx9-" + "k2/q+W=7"


@pytest.fixture
def logged() -> io.StringIO:
    with Credentials(Scripted(Credential(username="app", password=SECRET))) as credentials:
        credentials.current()
    return io.StringIO()


@pytest.fixture
def logger(logged: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(logged)
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("test")  # one that no other test shares
    logger.addHandler(handler)
    return logger


def test_a_secret_that_was_read_is_masked_in_messages_arguments_and_tracebacks(
    logger: logging.Logger, logged: io.StringIO
) -> None:
    logger.info("plain %s", SECRET)
    logger.info("in a dict %(p)s", {"p": SECRET})
    logger.info("in a URL postgresql://app:%s@host/db", "Zx9-k2%2Fq%2BW%3D7")
    try:
        raise ValueError(f"could not use {SECRET}")
    except ValueError:
        logger.exception("failed")
    text = logged.getvalue()
    assert SECRET not in text
    assert "Zx9-k2%2F" not in text
    assert text.count(MASK) >= 4
    assert "ValueError: could not use" in text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://app:never-read-here@db:5432/x", "never-read-here"),
        ("host=db password=never-read-here dbname=x", "never-read-here"),
        ("{'password': 'never read here', 'a': 1}", "never read here"),
        ("token hvs.CAESIJabcdefghij1234567890 used", "CAESIJabcdefghij"),
    ],
)
def test_what_looks_like_a_secret_is_masked_without_having_been_read(text: str, hidden: str) -> None:
    assert hidden not in redact(text)
    assert MASK in redact(text)


def test_ordinary_text_is_left_alone(logger: logging.Logger, logged: io.StringIO) -> None:
    logger.info("user %s has %d connections at https://vault:8200/v1/x", "app", 3)
    assert logged.getvalue() == "user app has 3 connections at https://vault:8200/v1/x\n"


def test_prometheus_gets_counters_and_gauges_without_a_value_of_a_secret() -> None:
    registry = prometheus_client.CollectorRegistry()
    source = Scripted(Credential(username="app", password=SECRET))
    with Credentials(source) as credentials, Credentials(Scripted()) as other:
        credentials.current()
        instrument(credentials, registry=registry)
        instrument(other, name="second", registry=registry)
        text = prometheus_client.generate_latest(registry).decode()
        assert 'rotation_credential_healthy{source="scripted"} 1.0' in text
        assert 'rotation_credential_healthy{source="second"} 0.0' in text
        assert 'rotation_refreshes_total{source="scripted"} 1.0' in text
        assert 'rotation_credential_age_seconds{source="scripted"}' in text
        assert 'rotation_credential_ends_in_seconds{source="scripted"}' not in text
        source.set("app", "another-password")
        credentials.refresh()
        assert registry.get_sample_value("rotation_rotations_total", {"source": "scripted"}) == 1
    assert SECRET not in text


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert set(rotation.__all__) == {
        "RotatingConnectionPool", "AsyncRotatingConnectionPool", "Credentials", "Credential", "Source",
        "SecretsManager", "VaultDynamic", "VaultStatic", "VaultKubernetesAuth", "VaultTokenAuth", "MountedFiles",
        "Environment", "Health", "RedactingFilter", "instrument", "RotationError", "InvalidArgument", "SourceError",
        "SourceUnavailable", "SourceDenied", "SourceMalformed", "CredentialExpired",
    }  # fmt: skip
    for name in rotation.__all__:
        assert getattr(rotation, name) is not None
    assert set(rotation.__dir__()) == set(rotation.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        rotation.Nothing  # noqa: B018


def test_importing_the_sources_imports_no_sdk_no_driver_and_no_framework() -> None:
    program = (
        "import sys\n"
        "from rotation import Credentials, SecretsManager, VaultDynamic, MountedFiles, Environment, instrument\n"
        "heavy = {'psycopg', 'boto3', 'botocore', 'hvac', 'requests', 'httpx', 'sqlalchemy', 'django', 'asyncpg', "
        "'prometheus_client', 'pulumi', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
