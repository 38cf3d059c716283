"""PostgreSQL: passwords over SCRAM on loopback, the application's database, and the user that Vault administers it with."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from sandbox.endpoints import Postgres
from sandbox.process import end_with_parent, in_namespace
from sandbox.servers.errors import ServerFailed
from sandbox.servers.files import Ports, private_folder, secret_file
from sandbox.servers.managed import ManagedProcess
from sandbox.toolchain.paths import postgres_binary

DATABASE = "myapp"
SUPERUSER = "postgres"
ADMIN = "vault_admin"
_INSIDE = 1000  # PostgreSQL refuses user 0; in a namespace of its own root is this user


class PostgreSQL:
    """The server and what sets its database up."""

    def __init__(self, state_dir: Path, ports: Ports) -> None:
        self.folder = private_folder(state_dir / "postgres")
        self._data = self.folder / "data"
        self._prepare = _prepare()
        self._superuser_password = secret_file(self.folder / "superuser-password")
        self._admin_password = secret_file(self.folder / "admin-password")
        self.endpoint = Postgres(
            host="127.0.0.1",
            port=ports["postgres"],
            database=DATABASE,
            superuser=SUPERUSER,
            superuser_password_file=str(self._superuser_password),
            admin_user=ADMIN,
            admin_password_file=str(self._admin_password),
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing in /dev/shm outlives it
            "max_wal_size": "128MB",
            "autovacuum_naptime": "5min",
            "password_encryption": "scram-sha-256",
            "max_connections": "300",
            "fsync": "off",  # a sandbox that crashes is made anew
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = ManagedProcess(
            "postgres",
            [postgres_binary("postgres"), "-D", self._data, "-p", str(self.endpoint.port), *options],
            log=state_dir / "logs" / "postgres.log",
            address=f"127.0.0.1:{self.endpoint.port}",
            ready=self._answers,
            prepare=self._prepare,
            stop_signal=signal.SIGINT,  # fast shutdown: ends sessions instead of waiting for them
        )

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=self.endpoint.host,
            port=self.endpoint.port,
            dbname=database,
            user=SUPERUSER,
            password=self.endpoint.superuser_password,
            connect_timeout=5,
            autocommit=True,
        )

    async def _answers(self) -> bool:
        def attempt() -> bool:
            try:
                self._connect("postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        return await asyncio.to_thread(attempt)

    async def start(self) -> Postgres:
        """Start; at the first time make the cluster, the database and Vault's user."""
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        await self.process.start()
        await asyncio.to_thread(self._set_up)
        return self.endpoint

    async def _initialise(self) -> None:
        command = [postgres_binary("initdb"), "-D", self._data, "-U", SUPERUSER, "--auth=scram-sha-256", "--no-sync"]
        command += [f"--pwfile={self._superuser_password}", "--encoding=UTF8", "--locale=C.UTF-8"]
        shutil.rmtree(self._data, ignore_errors=True)  # of an initdb that was interrupted
        started = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            preexec_fn=self._prepare,
        )
        _, errors = await started.communicate()
        if started.returncode != 0:
            raise ServerFailed(f"postgres: initdb failed: {errors.decode(errors='replace').strip()}")

    def _set_up(self) -> None:
        with self._connect("postgres") as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ADMIN]).fetchone():
                return
            password = sql.Literal(self.endpoint.admin_password)
            user = sql.Identifier(ADMIN)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD {}").format(user, password))
            connection.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(user))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), user))
        with self._connect(DATABASE) as connection:
            connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(ADMIN)))


def _prepare() -> Callable[[], None]:
    """It is told to quit when its parent ends, rather than killed: killed, it would leave shared memory behind."""
    if os.geteuid() == 0:
        return in_namespace(user_id=_INSIDE, death_signal=signal.SIGQUIT)
    return end_with_parent(signal.SIGQUIT)
