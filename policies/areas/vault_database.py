"""Vault's database engine: lifetimes, statements, connections, the root password."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.data import Undecided, dig, duration, items, mapping, opaque, text, texts
from policies.rule import Options, Props, Resource, Rule, Severity, ttl
from policies.secret_text import decoded

ROLE = "vault:database/secretBackendRole:SecretBackendRole"
CONNECTION = "vault:database/secretBackendConnection:SecretBackendConnection"
MOUNT = "vault:database/secretsMount:SecretsMount"
ENDPOINT = "vault:generic/endpoint:Endpoint"
_DOCS = "https://developer.hashicorp.com/vault/docs/secrets/databases"
# The engines of a connection's or a mount's block whose user has a password: properties of pulumi-vault 7.14.0.
ENGINES = (
    "postgresql", "mysql", "mysqlAurora", "mysqlLegacy", "mysqlRds", "mssql", "oracle", "hana", "mongodb", "redshift",
    "snowflake", "cassandra", "couchbase", "elasticsearch", "influxdb", "redis",
)  # fmt: skip
_KEYS_ONLY = (
    "mongodbatlas",
    "redisElasticaches",
)  # of a mount: they log in with a cloud's keys, which Vault cannot rotate
# A connection's URL with a literal password: user:password@ of a URL or of MySQL's DSN, Oracle's user/password@, and key=value.
_URL_PASSWORD = re.compile(
    r"://[^/@\s]*:(?!\{\{)[^/@\s]+@|^[^/@\s:]+:(?!//|\{\{)[^@\s]+@|^[^/@\s:]+/(?!\{\{)[^/@\s]+@"
    r"|\b(?:password|pwd)\s*=\s*(?!['\"]?\{\{)[^\s;]+",
    re.IGNORECASE,
)
# Where a user has no end in the database's own language: MySQL, Oracle (IDENTIFIED), SQL Server (LOGIN), Cassandra ('...').
_NO_END = re.compile(
    r"\bIDENTIFIED\b|\bCREATE\s+LOGIN\b|\bCREATE\s+(?:ROLE|USER)\s+(?:IF\s+NOT\s+EXISTS\s+)?'", re.IGNORECASE
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def lifetimes(props: Props, options: Options) -> Iterator[str]:
    seconds: dict[str, float | None] = {}
    for name, limit in (("defaultTtl", "maxDefaultTtl"), ("maxTtl", "maxMaxTtl")):
        value = props.get(name)
        if opaque(value):
            yield Undecided(name)
            continue
        found = duration(value)
        seconds[name] = found
        if not found or found < 0:
            yield f"{name}: it is unset, so Vault's own default of 768 hours holds"
        elif found > options.seconds(limit):
            yield f"{name}: it is longer than {options.seconds(limit):g} s"
    default, longest = seconds.get("defaultTtl"), seconds.get("maxTtl")
    if default and longest and default > longest:
        yield "defaultTtl: it is longer than maxTtl, which Vault accepts and cuts in silence"


def statements(props: Props, _: Options) -> Iterator[str]:
    value = props.get("creationStatements")
    # Vault takes statements in base64 too.
    sql = _COMMENT.sub(" ", "\n".join(decoded(item) or item for item in texts(value)))
    if re.search(r"\b(?:rds_|cloudsql)?superuser\b", sql, re.IGNORECASE):
        yield "creationStatements: the user is a superuser"
    elif any(opaque(item) for item in items(value)):
        yield Undecided("creationStatements")
        return
    made = re.search(r"\bCREATE\s+(?:ROLE|USER)\b", sql, re.IGNORECASE)
    if made and not _NO_END.search(sql) and not re.search(r"\{\{\s*expiration\s*\}\}", sql):
        yield "creationStatements: the user has no end of its own ({{expiration}}), so it outlives a Vault that is away"


def allowed_roles(props: Props, _: Options) -> Iterator[str]:
    for path, block in connections(props):
        roles = block.get("allowedRoles") if path else props.get("allowedRoles")
        if opaque(roles) or any(opaque(item) for item in items(roles)):
            yield Undecided(f"{path}allowedRoles")
        elif any("*" in role for role in texts(roles)):
            yield f"{path}allowedRoles: a wildcard lets every role that is ever made use the connection"


def connections(props: Props) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A connection's own block ("" for its path), or those of a mount."""
    lists = [(name, props.get(name)) for name in props if isinstance(props.get(name), list)]
    found = False
    for name, blocks in lists:
        for index, block in enumerate(items(blocks)):
            if isinstance(block, dict) and ("allowedRoles" in block or "password" in block):
                found = True
                yield f"{name}[{index}].", block
    if not found:
        yield "", props


def root_password(props: Props, _: Options) -> Iterator[str]:
    for engine in props:
        for index, block in enumerate(items(props.get(engine))):
            if not isinstance(block, dict):
                continue
            place = f"{engine}[{index}]" if isinstance(props.get(engine), list) else engine
            if block.get("password") is not None:
                yield f"{place}.password: the root password is kept in the state"
            url = block.get("connectionUrl")
            if opaque(url):
                yield Undecided(f"{place}.connectionUrl")
            elif _URL_PASSWORD.search(text(url)):
                yield f"{place}.connectionUrl: the root password is a part of the URL"
    if "password" in mapping(props.get("data")):
        yield "data.password: the root password is kept in the state"


def root_rotated(resources: Sequence[Resource], _: Options) -> Iterator[tuple[str, str]]:
    rotated = set()
    unread = False
    for resource in resources:
        path = resource.asked.get("path") if resource.type == ENDPOINT else None
        unread = unread or opaque(path)
        rotated.add(text(path).strip("/"))
    for resource in resources:
        for backend, name, block in _passwords(resource):
            if block.get("rotationPeriod") or block.get("rotationSchedule"):
                continue
            if opaque(backend) or opaque(name) or unread:
                yield resource.urn, Undecided("backend")
            elif f"{text(backend).strip('/')}/rotate-root/{text(name)}" not in rotated:
                yield resource.urn, "nothing rotates the root password, so whoever set it still knows it"


def _passwords(resource: Resource) -> Iterator[tuple[Any, Any, Mapping[str, Any]]]:
    """(mount, name, settings) of each connection that logs in with a password."""
    given = resource.asked
    if resource.type == CONNECTION:
        if any(given.get(name) and not dig(given.get(name), "authType") for name in ENGINES):
            yield given.get("backend"), given.get("name"), given
    elif resource.type == MOUNT:
        blocks = (block for name in given if name not in _KEYS_ONLY for block in items(given.get(name)))
        for block in blocks:
            if isinstance(block, dict) and "name" in block and not block.get("authType"):
                yield given.get("path"), block.get("name"), block


RULES = (
    Rule(
        number=31, name="vault-database-ttl", title="Database users live for a bounded time", severity=Severity.HIGH,
        source=("Vault's recommended patterns",), tags=("vault", "database"), types=(ROLE,),
        remediation="Give defaultTtl and maxTtl, the default not above the maximum.",
        link="https://developer.hashicorp.com/vault/docs/recommended-patterns", check=lifetimes,
        options={
            "maxDefaultTtl": ttl("4h", "the longest defaultTtl"),
            "maxMaxTtl": ttl("24h", "the longest maxTtl"),
        },
    ),
    Rule(
        number=32, name="vault-database-statements", title="Database users end by themselves, and are no superusers",
        severity=Severity.HIGH, source=("NEW",), tags=("vault", "database"), types=(ROLE,),
        remediation="Write VALID UNTIL '{{expiration}}', and grant what the application needs instead of SUPERUSER.",
        link=f"{_DOCS}/postgresql", check=statements,
    ),
    Rule(
        number=33, name="vault-database-allowed-roles", title="A connection names the roles that use it", severity=Severity.HIGH,
        source=("NEW",), tags=("vault", "database"), types=(CONNECTION, MOUNT),
        remediation="List the roles' names in allowedRoles.", link="https://developer.hashicorp.com/vault/api-docs/secret/databases",
        check=allowed_roles,
    ),
    Rule(
        number=34, name="vault-database-root-password", title="The root password is not in the state", severity=Severity.HIGH,
        source=("NEW",), tags=("vault", "database", "state"), types=(CONNECTION, MOUNT),
        remediation="Use passwordWo, and {{username}} and {{password}} in connectionUrl.", link=_DOCS, check=root_password,
    ),
    Rule(
        number=34, name="vault-database-root-rotation", title="The root password is rotated once Vault has it",
        severity=Severity.HIGH, source=("NEW",), tags=("vault", "database"), types=(CONNECTION, MOUNT, ENDPOINT),
        remediation="Write MOUNT/rotate-root/NAME with a generic Endpoint, or give rotationPeriod (Vault Enterprise).",
        link="https://developer.hashicorp.com/vault/api-docs/secret/databases#rotate-root-credentials",
        check_stack=root_rotated,
    ),
)  # fmt: skip
