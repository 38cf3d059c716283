"""What the workload gets, and how its credential is replaced."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.sandbox.dev_stack import LEASE_SECONDS, REFRESH_SECONDS, DevStack, logs_in
from tests.sandbox.inventory import client, database_users, vault
from tests.waiting import until

pytestmark = pytest.mark.sandbox


def test_db_creds_hold_user_and_password_of_one_lease_which_log_in(dev: DevStack) -> None:
    creds = dev.secret("db-creds")
    assert set(creds) == {"username", "password", "DATABASE_URL"}
    assert f"//{creds['username']}:{creds['password']}@" in creds["DATABASE_URL"]
    assert f"user {creds['username']}" in database_users(dev)
    assert logs_in(creds["DATABASE_URL"])


def test_the_credential_may_write_rows_but_make_no_other_user(dev: DevStack) -> None:
    with psycopg.connect(dev.secret("db-creds")["DATABASE_URL"], autocommit=True) as connection:
        rights = "SELECT rolsuper, rolcreaterole, rolvaliduntil IS NOT NULL FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(rights).fetchone() == (False, False, True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE intruder LOGIN")


def test_kv_and_secrets_manager_values_are_delivered_as_they_are_stored(dev: DevStack) -> None:
    stored = vault(dev).secrets.kv.v2.read_secret_version("production/payment-api", raise_on_deleted_version=True)
    assert dev.secret("app-config") == stored["data"]["data"]
    assert set(stored["data"]["data"]) == {"API_KEY", "SIGNING_KEY"}
    value = client(dev, "secretsmanager").get_secret_value(SecretId="production/payment-api")["SecretString"]
    assert dev.secret("partner-keys") == json.loads(value)
    assert set(json.loads(value)) == {"PARTNER_TOKEN"}


def test_after_a_refresh_new_credentials_log_in_and_old_ones_still_do_until_their_ttl_ends(dev: DevStack) -> None:
    old = dev.secret("db-creds")
    with psycopg.connect(old["DATABASE_URL"], autocommit=True) as session:

        def refreshed() -> dict[str, str] | None:
            creds = dev.secret("db-creds")
            return creds if creds["username"] != old["username"] else None

        new = until("a new credential", refreshed, REFRESH_SECONDS + 60)
        assert new["password"] != old["password"]
        assert logs_in(new["DATABASE_URL"])
        assert logs_in(old["DATABASE_URL"])  # the overlap, in which pods take the new one over
        until("the end of the old credential", lambda: not logs_in(old["DATABASE_URL"]), LEASE_SECONDS + 60)
        until("the user is gone", lambda: f"user {old['username']}" not in database_users(dev))
        with pytest.raises(psycopg.OperationalError):  # its sessions end with it
            session.execute("SELECT 1")


def test_the_first_password_of_vault_s_user_no_longer_works(dev: DevStack) -> None:
    postgres = dev.endpoints.postgres
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=postgres.host,
            port=postgres.port,
            dbname=postgres.database,
            user=postgres.admin_user,
            password=postgres.admin_password,
        )
