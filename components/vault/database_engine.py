"""Vault's database secrets engine with one PostgreSQL connection and its dynamic roles."""

import re
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_vault as vault

from components.errors import ArgumentError, UnsafeError
from components.lifetimes import check_default_and_max
from components.names import sql_identifier, vault_name, vault_path
from components.vault.policies import PolicyRuleArgs, read_database_credentials
from components.vault.postgres import (
    READ_WRITE,
    RENEWAL,
    REVOCATION,
    SslMode,
    TablePrivilege,
    check_creation_statements,
    connection_url,
    creation_statements,
)

_HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$")


class PostgresRoleArgs(TypedDict):
    """A dynamic role: each read makes a user of its own, which ends with its lease."""

    name: str
    """The role's name, such as `app-readwrite`."""
    default_ttl: str
    """How long a lease lives, such as `1h`."""
    max_ttl: str
    """How long it can be renewed to, such as `24h`; at least `default_ttl`."""
    privileges: NotRequired[Sequence[TablePrivilege]]
    """On all tables of the schema; default SELECT, INSERT, UPDATE, DELETE."""
    schema: NotRequired[str]
    """Default `public`."""
    creation_statements: NotRequired[Sequence[str]]
    """SQL in place of what `privileges` and `schema` give; must use {{name}}, {{password}} and {{expiration}}."""


class VaultDatabaseEngineArgs(TypedDict):
    """Arguments of VaultDatabaseEngine."""

    connection_name: str
    """The connection's name in Vault."""
    host: str
    """The server, as Vault and the workloads reach it."""
    database: str
    """The database."""
    username: str
    """Vault's own user: CREATEROLE, owner of what it grants. Nobody else may use it, since its password is rotated."""
    password: pulumi.Input[str]
    """Its first password, used once; where the root is rotated, it is worthless afterwards and never written again."""
    roles: Sequence[PostgresRoleArgs]
    """The dynamic roles; the connection allows exactly these."""
    mount: NotRequired[str]
    """Where the engine is mounted; default `database`."""
    port: NotRequired[int]
    """Default 5432."""
    ssl_mode: NotRequired[SslMode]
    """Default `verify-full`."""
    allow_unencrypted: NotRequired[bool]
    """Accept ssl_mode `disable`, which sends passwords in the clear; default false."""
    keep_initial_password: NotRequired[bool]
    """Leave the first password in use, known to whoever can read the stack's state; default false."""
    max_open_connections: NotRequired[int]
    """Vault's connections to the server; default 4."""


class VaultDatabaseEngine(pulumi.ComponentResource):
    """Dynamic PostgreSQL users: made at each read, ended with their lease, their sessions with them.

    The password of Vault's user is rotated once it works, and from then on only Vault knows it. A later `up` does not
    write the old one again: it is write-only with a version that never changes. Rotation cannot be undone.
    Raises ArgumentError, LifetimeError, UnsafeError. Source: https://developer.hashicorp.com/vault/docs/secrets/databases
    """

    mount: str
    """Where the engine is mounted."""
    ready: pulumi.Output[str]
    """The mount, once connection, rotation and roles are done."""
    roles: Mapping[str, PostgresRoleArgs]
    """The roles by name."""
    host: str
    port: int
    database: str
    ssl_mode: SslMode

    def __init__(self, name: str, args: VaultDatabaseEngineArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:DatabaseEngine", name, {}, opts)
        check_connection(args)
        check_roles(args)
        self.mount = args.get("mount", "database")
        self.host, self.port, self.database = args["host"], args.get("port", 5432), args["database"]
        self.ssl_mode = SslMode(args.get("ssl_mode", SslMode.VERIFY_FULL))
        self.roles = {role["name"]: role for role in args["roles"]}
        connection_name = args["connection_name"]

        child = pulumi.ResourceOptions(parent=self)
        engine = vault.Mount(
            f"{name}-mount", path=self.mount, type="database", description="Dynamic database users", opts=child
        )
        connection = vault.database.SecretBackendConnection(
            f"{name}-connection",
            backend=engine.path,
            name=connection_name,
            allowed_roles=sorted(self.roles),
            verify_connection=True,
            postgresql={
                "connection_url": connection_url(self.host, self.port, self.database, self.ssl_mode),
                "username": args["username"],
                "password_wo": pulumi.Output.secret(args["password"]),
                "password_wo_version": 1,
                "password_authentication": "scram-sha-256",
                "max_open_connections": args.get("max_open_connections", 4),
            },
            opts=child,
        )
        usable: list[pulumi.Resource] = [connection]
        if not args.get("keep_initial_password", False):
            usable = [
                vault.generic.Endpoint(
                    f"{name}-root-rotation",
                    path=f"{self.mount}/rotate-root/{connection_name}",
                    data_json="{}",
                    disable_read=True,
                    disable_delete=True,
                    ignore_absent_fields=True,
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[connection]),
                )
            ]
        made = [
            vault.database.SecretBackendRole(
                f"{name}-{role['name']}",
                backend=engine.path,
                name=role["name"],
                db_name=connection.name,
                creation_statements=_creation(role, self.database),
                revocation_statements=[REVOCATION],
                rollback_statements=[REVOCATION],
                renew_statements=[RENEWAL],
                default_ttl=lifetimes[0],
                max_ttl=lifetimes[1],
                opts=pulumi.ResourceOptions(parent=self, depends_on=usable),
            )
            for role in self.roles.values()
            for lifetimes in [check_default_and_max(role["default_ttl"], role["max_ttl"], of=f"role {role['name']}")]
        ]
        self.ready = pulumi.Output.all(engine.path, *(role.name for role in made)).apply(lambda found: str(found[0]))
        self.register_outputs({"mount": engine.path})

    def reader(self, role: str) -> PolicyRuleArgs:
        """The rule that lets a policy take leases of one role. Raises ArgumentError for a role that is not here."""
        self.role(role)
        return read_database_credentials(self.mount, role)

    def role(self, role: str) -> PostgresRoleArgs:
        """The role's arguments. Raises ArgumentError for a role that is not here."""
        if role not in self.roles:
            known = ", ".join(sorted(self.roles)) or "none"
            raise ArgumentError(
                f"database_role: {role!r} is no role of the engine at {self.mount!r}; there are: {known}"
            )
        return self.roles[role]


def check_connection(args: VaultDatabaseEngineArgs) -> None:
    """Whether mount and connection are well-formed and safe, before the first resource. Raises ComponentError."""
    vault_path(args.get("mount", "database"), "mount")
    vault_name(args["connection_name"], "connection_name")
    sql_identifier(args["database"], "database")
    if not _HOST.fullmatch(args["host"]):
        raise ArgumentError(f"host: {args['host']!r} is not a host name or IPv4 address; give the port in `port`")
    port = args.get("port", 5432)
    if not 0 < port < 65536:
        raise ArgumentError(f"port: {port} is not a port; expected 1 to 65535")
    _check_ssl_mode(args)


def check_roles(args: VaultDatabaseEngineArgs) -> None:
    """Whether the roles fit themselves and each other. Raises ComponentError."""
    if not args["roles"]:
        raise ArgumentError("roles: a connection without roles serves nobody; give at least one")
    seen: set[str] = set()
    for role in args["roles"]:
        role_name = vault_name(role["name"], "roles: name")
        if role_name in seen:
            raise ArgumentError(f"roles: {role_name!r} is given twice; each role needs a name of its own")
        seen.add(role_name)
        check_default_and_max(role["default_ttl"], role["max_ttl"], of=f"role {role_name}")
        _creation(role, args["database"])


def _creation(role: PostgresRoleArgs, database: str) -> list[str]:
    if "creation_statements" in role:
        return check_creation_statements(role["creation_statements"], f"role {role['name']}")
    return creation_statements(database, role.get("schema", "public"), role.get("privileges", READ_WRITE))


def _check_ssl_mode(args: VaultDatabaseEngineArgs) -> None:
    try:
        mode = SslMode(args.get("ssl_mode", SslMode.VERIFY_FULL))
    except ValueError:
        expected = ", ".join(SslMode)
        raise ArgumentError(f"ssl_mode: {args['ssl_mode']!r} is unknown; expected one of {expected}") from None
    if mode is SslMode.DISABLE and not args.get("allow_unencrypted", False):
        raise UnsafeError(
            "ssl_mode: 'disable' sends passwords in the clear; use 'verify-full', or say allow_unencrypted=True"
        )
