"""The servers that a drill runs on, named by the ordinary environment: PG*, VAULT_*, AWS_*, KUBECONFIG."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from rotation._vault_session import VaultSession
from rotation.errors import InvalidArgument


class Database:
    """PostgreSQL: PGHOST, PGPORT, PGDATABASE, and in PGUSER and PGPASSWORD who may create roles and end sessions."""

    def __init__(self) -> None:
        missing = [name for name in ("PGHOST", "PGDATABASE", "PGUSER") if not os.environ.get(name)]
        if missing:
            raise InvalidArgument(
                f"{', '.join(missing)} not set: name the database under load, and an administrator of it, in PGHOST, "
                'PGPORT, PGDATABASE, PGUSER, PGPASSWORD (the sandbox: make drill, or eval "$(make -s env)")'
            )
        self.host, self.port = os.environ["PGHOST"], os.environ.get("PGPORT", "5432")
        self.name = os.environ["PGDATABASE"]
        self.sslmode = os.environ.get("PGSSLMODE", "prefer")
        self.conninfo = f"host={self.host} port={self.port} dbname={self.name}"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(connect_timeout=10, autocommit=True)

    def set_password(self, user: str, password: str) -> None:
        """Make the user where it is not there, and set its password, as a SCRAM verifier."""
        with self.connect() as admin:
            verifier = admin.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
            there = admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone()
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}" if there else "CREATE ROLE {} LOGIN PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(user), sql.Literal(verifier)))

    def administrator_for_vault(self, user: str, password: str) -> None:
        """May make roles and end their sessions, and no more."""
        self.set_password(user, password)
        with self.connect() as admin:
            admin.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(user)))
            admin.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(user)))

    def let_manage(self, manager: str, user: str) -> None:
        with self.connect() as admin:
            statement = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION, INHERIT FALSE")
            admin.execute(statement.format(sql.Identifier(user), sql.Identifier(manager)))

    def drop(self, *users: str) -> None:
        with self.connect() as admin:
            for user in users:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user])
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(user)))

    def roles(self, pattern: str) -> list[str]:
        with self.connect() as admin:
            return [row[0] for row in admin.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [pattern])]

    def sessions(self, pattern: str) -> int:
        with self.connect() as admin:
            row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE %s", [pattern]).fetchone()
            return int(row[0]) if row else 0

    @contextmanager
    def user(self) -> Iterator[tuple[str, str]]:
        """A user of the drill's own: name and password. Dropped afterwards, with its clone."""
        name, password = f"drill_{secrets.token_hex(4)}", secrets.token_urlsafe(24)
        self.set_password(name, password)
        try:
            yield name, password
        finally:
            self.drop(f"{name}_clone", name)


CREATE = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
REVOKE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'; DROP ROLE IF EXISTS \"{{name}}\";"


class VaultMount:
    """A database secrets engine of the drill's own, removed afterwards; VAULT_TOKEN may mount and configure."""

    def __init__(self, database: Database) -> None:
        if not os.environ.get("VAULT_ADDR") or not os.environ.get("VAULT_TOKEN"):
            raise InvalidArgument(
                "VAULT_ADDR or VAULT_TOKEN not set: name the Vault, and a token that may mount an engine"
            )
        self.session = VaultSession()
        self.database = database
        self.path = f"drill-{secrets.token_hex(4)}"
        self.administrator = f"drill_vault_{secrets.token_hex(4)}"

    def __enter__(self) -> VaultMount:
        password = secrets.token_urlsafe(24)
        self.database.administrator_for_vault(self.administrator, password)
        self.session.request("post", f"sys/mounts/{self.path}", {"type": "database"})
        host, database = f"{self.database.host}:{self.database.port}", self.database
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@{host}/{database.name}?sslmode={database.sslmode}"
        config = {
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": ["drill", "drill-static"],
            "connection_url": url,
            "username": self.administrator,
            "password": password,
            "max_open_connections": 4,
        }
        self.session.request("post", f"{self.path}/config/db", config)
        return self

    def dynamic(self, ttl: str, max_ttl: str) -> str:
        body = {
            "db_name": "db",
            "default_ttl": ttl,
            "max_ttl": max_ttl,
            "creation_statements": [CREATE],
            "revocation_statements": [REVOKE],
        }
        self.session.request("post", f"{self.path}/roles/drill", body)
        return "drill"

    def static(self, user: str) -> str:
        self.database.let_manage(self.administrator, user)
        body = {"db_name": "db", "username": user, "rotation_period": "24h"}
        self.session.request("post", f"{self.path}/static-roles/drill-static", body)
        return "drill-static"

    def __exit__(self, *_: Any) -> None:
        self.session.request("post", f"sys/leases/revoke-force/{self.path}", {})
        self.session.request("delete", f"sys/mounts/{self.path}")
        self.database.drop(*self.database.roles("v-%-drill-%"), self.administrator)
        self.session.close()
