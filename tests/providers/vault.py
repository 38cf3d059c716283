"""What the tests of the vault provider share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from sandbox.endpoints import Postgres, Vault
from sandbox.providers.vault import VaultProvider
from sandbox.providers.vault.client import VaultClient
from tests.providers.driver import Driven, secret

MOUNT, AUTH, AUDIT = "vault:index/mount:Mount", "vault:index/authBackend:AuthBackend", "vault:index/audit:Audit"
POLICY = "vault:index/policy:Policy"
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
ROLE, STATIC_ROLE = (
    "vault:database/secretBackendRole:SecretBackendRole",
    "vault:database/secretBackendStaticRole:SecretBackendStaticRole",
)
KUBERNETES_CONFIG = "vault:kubernetes/authBackendConfig:AuthBackendConfig"
KUBERNETES_ROLE = "vault:kubernetes/authBackendRole:AuthBackendRole"
KV = "vault:kv/secretV2:SecretV2"
TRANSIT, TOKEN = "vault:transit/secretBackendKey:SecretBackendKey", "vault:index/token:Token"
CREATE = [
    "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
    'GRANT pg_read_all_data TO "{{name}}"',
]


def unique(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def vault(openbao: Vault, monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultProvider]:
    monkeypatch.setenv("VAULT_ADDR", openbao.address)
    monkeypatch.setenv("VAULT_CACERT", openbao.ca_file)
    monkeypatch.setenv("VAULT_TOKEN", openbao.token)
    made = VaultProvider()
    yield made
    made.close()


@pytest.fixture
def client(openbao: Vault) -> Iterator[VaultClient]:
    made = VaultClient(openbao.address, openbao.token, ca_file=openbao.ca_file)
    yield made
    made.close()


def made(vault: VaultProvider, kind: str, logical: str = "it", /, **inputs: Any) -> Driven:
    found = Driven(vault, kind, logical)
    assert found.up(**inputs) == "create"
    return found


class Database:
    """A database engine with a connection of its own PostgreSQL user, whose password Vault may rotate."""

    def __init__(self, vault: VaultProvider, postgres: Postgres) -> None:
        self.postgres = postgres
        self.user, self.password = f"admin_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        self.sql(f"CREATE ROLE {self.user} LOGIN SUPERUSER PASSWORD '{self.password}'")
        self.mount = made(vault, MOUNT, path=unique("db"), type="database")
        self.backend = str(self.mount.id)
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@{postgres.host}:{postgres.port}/{postgres.database}"
        self.inputs: dict[str, Any] = {
            "backend": self.backend,
            "name": "pg",
            "allowedRoles": ["app"],
            "postgresql": {"connectionUrl": url, "username": self.user, "password": secret(self.password)},
        }
        self.connection = made(vault, CONNECTION, **self.inputs)
        self.role_inputs: dict[str, Any] = {
            "backend": self.backend,
            "name": "app",
            "dbName": "pg",
            "creationStatements": CREATE,
            "defaultTtl": 600,
            "maxTtl": 3600,
        }
        self.role = made(vault, ROLE, **self.role_inputs)

    def sql(self, statement: str, **credentials: str) -> list[tuple[Any, ...]]:
        who = credentials or {"user": self.postgres.superuser, "password": self.postgres.superuser_password}
        place = {"host": self.postgres.host, "port": self.postgres.port, "dbname": self.postgres.database}
        with psycopg.connect(**place, **who, autocommit=True) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def users(self) -> list[str]:
        return [row[0] for row in self.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%app%'")]

    def credentials(self, client: VaultClient) -> dict[str, str]:
        found = client.data(f"{self.backend}/creds/app")
        assert found is not None
        return {"user": found["username"], "password": found["password"]}

    def close(self) -> None:
        for resource in (self.role, self.connection, self.mount):
            if resource.id is not None:
                resource.delete()
        self.sql(f"DROP ROLE IF EXISTS {self.user}")


@pytest.fixture
def database(vault: VaultProvider, postgres: Postgres) -> Iterator[Database]:
    found = Database(vault, postgres)
    yield found
    found.close()


def mount_exists(client: VaultClient, path: str) -> bool:
    mounts = client.read("sys/mounts") or {}
    return f"{path}/" in (mounts.get("data") or {})
