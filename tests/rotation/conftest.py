"""A database, OpenBao's database engine on it, and Secrets Manager, for the rotation tests."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import httpx
import psycopg
import pytest
from psycopg import sql

from rotation import Credential, VaultTokenAuth, _clock
from sandbox.endpoints import Postgres, Vault
from sandbox.process import die_with_parent
from sandbox.servers.files import free_port
from tests.rotation.fakes import Scripted

MOUNT = "rotation-test"
REVOKE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'; "
    'DROP ROLE IF EXISTS "{{name}}";'
)
CREATE = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"


def password() -> str:
    return secrets.token_urlsafe(18)


class Database:
    """The application's database as its administrator sees it."""

    def __init__(self, endpoint: Postgres) -> None:
        self.endpoint = endpoint
        self.conninfo = f"host={endpoint.host} port={endpoint.port} dbname={endpoint.database}"
        self._numbers = itertools.count(1)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self.conninfo, user=self.endpoint.superuser, password=self.endpoint.superuser_password, autocommit=True
        )

    def new_name(self) -> str:
        return f"app_{next(self._numbers)}_{secrets.token_hex(3)}"

    def set_user(self, name: str, word: str) -> None:
        with self.connect() as admin:
            there = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}" if there else "CREATE ROLE {} LOGIN PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(name), sql.Literal(word)))

    def drop_user(self, *names: str) -> None:
        with self.connect() as admin:
            for name in names:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))

    def users_like(self, pattern: str) -> list[str]:
        with self.connect() as admin:
            return [row[0] for row in admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [pattern])]

    def sessions_like(self, pattern: str) -> list[str]:
        with self.connect() as admin:
            rows = admin.execute("SELECT usename FROM pg_stat_activity WHERE usename LIKE %s", [pattern])
            return [row[0] for row in rows]


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> Database:
    return Database(postgres)


@pytest.fixture
def user(database: Database) -> Iterator[tuple[str, str]]:
    """A database user of the test's own: name and password."""
    name, word = database.new_name(), password()
    database.set_user(name, word)
    yield name, word
    database.drop_user(name, f"{name}_clone")


@dataclass
class VaultDatabase:
    """OpenBao with the database engine on the test database."""

    endpoint: Vault
    database: Database
    client: httpx.Client

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.request(method, path, json=body or None)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result

    def dynamic_role(self, ttl: str, max_ttl: str) -> str:
        role = f"d{secrets.token_hex(4)}"
        self.call(
            "POST",
            f"{MOUNT}/roles/{role}",
            db_name="db",
            default_ttl=ttl,
            max_ttl=max_ttl,
            creation_statements=[CREATE],
            revocation_statements=[REVOKE],
        )
        return role

    def static_role(self, username: str, period: str = "24h") -> str:
        role = f"s{secrets.token_hex(4)}"
        self.call("POST", f"{MOUNT}/static-roles/{role}", db_name="db", username=username, rotation_period=period)
        return role

    def rotate_static(self, role: str) -> None:
        self.call("POST", f"{MOUNT}/rotate-role/{role}")

    def leases(self, role: str) -> list[str]:
        answer = self.client.request("LIST", f"sys/leases/lookup/{MOUNT}/creds/{role}")
        return list(answer.json().get("data", {}).get("keys", [])) if answer.is_success else []

    def token(self, **options: Any) -> str:
        return str(self.call("POST", "auth/token/create", **options)["auth"]["client_token"])

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the Vault sources."""
        auth = VaultTokenAuth(token=self.endpoint.token)
        return {"mount": MOUNT, "auth": auth, "address": self.endpoint.address, "ca_file": self.endpoint.ca_file}


@pytest.fixture(scope="session")
def vault(openbao: Vault, database: Database) -> Iterator[VaultDatabase]:
    import ssl

    administrator, word = f"vault_{secrets.token_hex(3)}", password()
    with database.connect() as admin:
        statement = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}")
        admin.execute(statement.format(sql.Identifier(administrator), sql.Literal(word)))
    context = ssl.create_default_context(cafile=openbao.ca_file)
    headers = {"X-Vault-Token": openbao.token}
    with httpx.Client(base_url=f"{openbao.address}/v1/", verify=context, headers=headers, timeout=30) as client:
        found = VaultDatabase(openbao, database, client)
        found.call("POST", f"sys/mounts/{MOUNT}", type="database")
        endpoint = database.endpoint
        found.call(
            "POST",
            f"{MOUNT}/config/db",
            plugin_name="postgresql-database-plugin",
            allowed_roles=["*"],
            connection_url="postgresql://{{username}}:{{password}}@"
            f"{endpoint.host}:{endpoint.port}/{endpoint.database}?sslmode=disable",
            username=administrator,
            password=word,
            max_open_connections=8,
        )
        yield found
        found.call("POST", f"sys/leases/revoke-force/{MOUNT}")
        found.call("DELETE", f"sys/mounts/{MOUNT}")
    database.drop_user(administrator)


@dataclass
class SecretStore:
    """Secrets Manager: moto's server in a process of its own, with no IAM in front of it."""

    client: Any
    endpoint_url: str

    def put(self, name: str, word: str, database: Database, user: str, **more: Any) -> str:
        """The secret as AWS makes it for a database; returns its name."""
        endpoint = database.endpoint
        value = {
            "engine": "postgres",
            "host": endpoint.host,
            "port": endpoint.port,
            "dbname": endpoint.database,
            "username": user,
            "password": word,
            **more,
        }
        try:
            self.client.put_secret_value(SecretId=name, SecretString=json.dumps(value))
        except self.client.exceptions.ResourceNotFoundException:
            self.client.create_secret(Name=name, SecretString=json.dumps(value))
        return name


@pytest.fixture(scope="session")
def aws_endpoint() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, preexec_fn=die_with_parent, **quiet)  # type: ignore[call-overload]
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/moto-api/", timeout=5)
            break
        except httpx.TransportError:
            assert server.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def store(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> SecretStore:
    for name, value in {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return SecretStore(boto3.client("secretsmanager"), aws_endpoint)


@pytest.fixture
def source(user: tuple[str, str]) -> Scripted:
    return Scripted(Credential(username=user[0], password=user[1]))


@pytest.fixture
def second(database: Database) -> Iterator[tuple[str, str]]:
    name, word = database.new_name(), password()
    database.set_user(name, word)
    yield name, word
    database.drop_user(name)


def ending(user: tuple[str, str]) -> Credential:
    """It ends in eight seconds: time enough for a busy machine to log in with it."""
    return Credential(username=user[0], password=user[1], expires_at=_clock.now() + 8.0)


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Until it holds, or fail with what it was. The time is for the slowest machine; what is fast ends at once."""

    def wait(holds: Callable[[], Any], seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not (value := holds()):
            assert time.monotonic() < until, f"not within {seconds} s: {value!r}"
            time.sleep(0.02)

    return wait


@contextmanager
def environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield
