"""The SQL with which Vault makes and removes a PostgreSQL user, from typed privileges.

Vault fills in ``{{name}}``, ``{{password}}`` and ``{{expiration}}``:
https://developer.hashicorp.com/vault/api-docs/secret/databases/postgresql
"""

from collections.abc import Sequence
from enum import StrEnum

from components.errors import ArgumentError, UnsafeError
from components.names import sql_identifier


class TablePrivilege(StrEnum):
    """What a role may do with the tables of its schema."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"
    REFERENCES = "REFERENCES"
    TRIGGER = "TRIGGER"


READ_WRITE = (TablePrivilege.SELECT, TablePrivilege.INSERT, TablePrivilege.UPDATE, TablePrivilege.DELETE)


class SslMode(StrEnum):
    """How a connection to PostgreSQL is protected: https://www.postgresql.org/docs/current/libpq-ssl.html."""

    VERIFY_FULL = "verify-full"
    VERIFY_CA = "verify-ca"
    REQUIRE = "require"
    DISABLE = "disable"


def creation_statements(database: str, schema: str, privileges: Sequence[TablePrivilege]) -> list[str]:
    """A login that ends by itself at the lease's end, with these privileges on what is in the schema now."""
    sql_identifier(database, "database")
    sql_identifier(schema, "schema")
    if not privileges:
        raise ArgumentError("privileges: none; give at least one, such as SELECT")
    try:
        granted = ", ".join(TablePrivilege(privilege) for privilege in privileges)
    except ValueError as error:
        raise ArgumentError(f"privileges: {error}; expected some of {', '.join(TablePrivilege)}") from None
    writes = any(privilege != TablePrivilege.SELECT for privilege in privileges)
    return [
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
        f'GRANT CONNECT ON DATABASE "{database}" TO "{{{{name}}}}"',
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{{{{name}}}}"',
        f'GRANT {granted} ON ALL TABLES IN SCHEMA "{schema}" TO "{{{{name}}}}"',
        f'GRANT {"USAGE, SELECT" if writes else "SELECT"} ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{{{{name}}}}"',
    ]


# One statement, which the plugin does not split at semicolons because of the " END " in it. It also succeeds for a user
# that is gone already, or a lease could never be revoked. Sessions outlive DROP ROLE, so they are ended first, after
# no new one can begin. What the user came to own passes to Vault's user, which needs membership for that.
REVOCATION = """DO $$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '{{name}}') THEN
ALTER ROLE "{{name}}" NOLOGIN;
GRANT "{{name}}" TO CURRENT_USER;
PERFORM pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = '{{name}}';
REASSIGN OWNED BY "{{name}}" TO CURRENT_USER;
DROP OWNED BY "{{name}}";
DROP ROLE "{{name}}";
END IF; END $$;"""
RENEWAL = "ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"


def check_creation_statements(statements: Sequence[str], of: str) -> list[str]:
    """Statements of a caller's own: they must let the user end with its lease, and make no superuser.

    Raises UnsafeError, ArgumentError.
    """
    text = "\n".join(statements)
    for placeholder in ("{{name}}", "{{password}}"):
        if placeholder not in text:
            raise ArgumentError(f"{of}: creation_statements: {placeholder} is missing, so no user is made; add it")
    if "{{expiration}}" not in text:
        raise UnsafeError(
            f"{of}: creation_statements: {{{{expiration}}}} is missing, so a user would outlive Vault; "
            "add VALID UNTIL '{{expiration}}'"
        )
    if "SUPERUSER" in text.upper().replace("NOSUPERUSER", ""):
        raise UnsafeError(f"{of}: creation_statements: they make a superuser; grant what the workload needs")
    return list(statements)


def connection_url(host: str, port: int, database: str, ssl_mode: SslMode) -> str:
    """The URL that Vault fills its user into."""
    return f"postgresql://{{{{username}}}}:{{{{password}}}}@{host}:{port}/{database}?sslmode={ssl_mode}"
