"""The other side of Secrets Manager's rotation: the function that changes the password in PostgreSQL.

Secrets Manager calls it four times with ``{"Step", "SecretId", "ClientRequestToken"}``, each of which may come again:

    createSecret   a new value under AWSPENDING
    setSecret      the database learns it
    testSecret     a real login with it
    finishSecret   AWSCURRENT moves to it

``handler`` is the entry point of a Lambda; ROTATION_STRATEGY is ``single-user`` (the user changes its own password: new
logins with the old one fail from setSecret on) or ``alternating-users`` (the secret names its administrator's secret in
``masterarn``; two users take turns, so the old one works until the rotation after the next). The password travels to the
server as a SCRAM verifier, so it is in none of the server's logs.

Source: docs.aws.amazon.com/secretsmanager, "Lambda rotation functions" and "Rotation strategies".
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from rotation import _redaction
from rotation.errors import InvalidArgument, RotationError

logger = logging.getLogger("rotation.function")

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
STRATEGIES = ("single-user", "alternating-users")
_CLONE = "_clone"
_EXCLUDED = "/@\"'\\:%&?# "  # what would need escaping in a URL or in a shell
_LENGTH = 32
_TIMEOUT = 5

Secret = dict[str, Any]


class RotationFailed(RotationError):
    """A step could not be done; Secrets Manager calls it again."""


def handler(event: dict[str, str], context: object) -> None:  # noqa: ARG001 - Lambda's signature
    """Lambda's entry point."""
    import boto3

    strategy = os.environ.get("ROTATION_STRATEGY", "single-user")
    RotationFunction(boto3.client("secretsmanager"), strategy).handle(event)


class RotationFunction:
    """The four steps for one strategy. ``client``: a boto3 secretsmanager client."""

    def __init__(self, client: Any, strategy: str = "single-user") -> None:
        if strategy not in STRATEGIES:
            raise InvalidArgument(f"ROTATION_STRATEGY is {strategy!r}; expected one of {', '.join(STRATEGIES)}")
        self._client = client
        self._alternating = strategy == "alternating-users"

    def handle(self, event: dict[str, str]) -> None:
        """One step. Raises RotationFailed, KeyError for an incomplete event."""
        secret_id, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
        steps: dict[str, Callable[[str, str], None]] = {
            "createSecret": self.create_secret,
            "setSecret": self.set_secret,
            "testSecret": self.test_secret,
            "finishSecret": self.finish_secret,
        }
        if step not in steps:
            raise InvalidArgument(f"Step is {step!r}; expected one of {', '.join(STEPS)}")
        stages = self._client.describe_secret(SecretId=secret_id).get("VersionIdsToStages", {}).get(token, [])
        if "AWSCURRENT" in stages:
            logger.info("%s: version %s is current already, %s has nothing to do", secret_id, token, step)
            return
        steps[step](secret_id, token)
        logger.info("%s: %s done for version %s", secret_id, step, token)

    def rotate(self, secret_id: str) -> str:
        """All four steps, as Secrets Manager would call them; where no Lambda can be called. Returns the version's id."""
        token = str(uuid.uuid4())
        for step in STEPS:
            self.handle({"SecretId": secret_id, "ClientRequestToken": token, "Step": step})
        return token

    def create_secret(self, secret_id: str, token: str) -> None:
        """A new value under AWSPENDING; nothing when it is there from an earlier call."""
        if self._value(secret_id, "AWSPENDING", token) is not None:
            return
        secret = self._required(secret_id, "AWSCURRENT")
        if self._alternating:
            name = str(secret["username"])
            secret["username"] = name.removesuffix(_CLONE) if name.endswith(_CLONE) else name + _CLONE
        answer = self._client.get_random_password(
            PasswordLength=_LENGTH, ExcludeCharacters=_EXCLUDED, RequireEachIncludedType=True
        )
        secret["password"] = answer["RandomPassword"]
        _redaction.register(secret["password"])
        self._client.put_secret_value(
            SecretId=secret_id, ClientRequestToken=token, SecretString=json.dumps(secret), VersionStages=["AWSPENDING"]
        )

    def set_secret(self, secret_id: str, token: str) -> None:
        """The database learns the pending password; nothing when it knows it."""
        pending = self._required(secret_id, "AWSPENDING", token)
        if (done := _login(pending)) is not None:
            done.close()
            return
        if self._alternating:
            self._set_other_user(secret_id, pending)
        else:
            self._set_own_password(secret_id, pending)

    def test_secret(self, secret_id: str, token: str) -> None:
        """A login and a query with the pending value."""
        connection = _login(self._required(secret_id, "AWSPENDING", token))
        if connection is None:
            raise RotationFailed(f"{secret_id}: the database refuses the pending credential")
        with connection:
            connection.execute("SELECT 1")

    def finish_secret(self, secret_id: str, token: str) -> None:
        """AWSCURRENT moves to the pending version; Secrets Manager moves AWSPREVIOUS by itself."""
        versions = self._client.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
        current = next((version for version, stages in versions.items() if "AWSCURRENT" in stages), None)
        move = {"SecretId": secret_id, "VersionStage": "AWSCURRENT", "MoveToVersionId": token}
        self._client.update_secret_version_stage(**move, **({"RemoveFromVersionId": current} if current else {}))
        if "AWSPENDING" in versions.get(token, []):
            self._client.update_secret_version_stage(
                SecretId=secret_id, VersionStage="AWSPENDING", RemoveFromVersionId=token
            )

    def _set_own_password(self, secret_id: str, pending: Secret) -> None:
        for stage in ("AWSCURRENT", "AWSPREVIOUS"):
            secret = self._value(secret_id, stage)
            connection = _login(secret) if secret is not None else None
            if connection is None or secret is None:
                continue
            if (secret["username"], secret["host"]) != (pending["username"], pending["host"]):
                raise RotationFailed(
                    f"{secret_id}: username and host of {stage} and AWSPENDING differ; a single user stays the same"
                )
            with connection:
                _set_password(connection, pending["username"], pending["password"])
            return
        raise RotationFailed(f"{secret_id}: the database refuses the pending, the current and the previous credential")

    def _set_other_user(self, secret_id: str, pending: Secret) -> None:
        if "masterarn" not in pending:
            raise RotationFailed(
                f"{secret_id}: no masterarn; alternating users need the ARN of the administrator's secret"
            )
        administrator = self._required(str(pending["masterarn"]), "AWSCURRENT")
        connection = _login({**pending, "username": administrator["username"], "password": administrator["password"]})
        if connection is None:
            raise RotationFailed(f"{secret_id}: the database refuses the administrator of masterarn")
        user = str(pending["username"])
        with connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone():
                _clone(connection, original=user.removesuffix(_CLONE), clone=user)
            _set_password(connection, user, pending["password"])

    def _value(self, secret_id: str, stage: str, token: str | None = None) -> Secret | None:
        from botocore.exceptions import ClientError

        arguments = {"SecretId": secret_id, "VersionStage": stage} | ({"VersionId": token} if token else {})
        try:
            text = self._client.get_secret_value(**arguments)["SecretString"]
        except ClientError as error:
            if error.response["Error"]["Code"] in {"ResourceNotFoundException", "InvalidRequestException"}:
                return None
            raise
        try:
            secret: Secret = json.loads(text)
        except ValueError:
            raise RotationFailed(f"{secret_id}: {stage} is not JSON") from None
        missing = [key for key in ("username", "password", "host") if not secret.get(key)]
        if missing:
            raise RotationFailed(f"{secret_id}: {stage} has no {', '.join(missing)}")
        _redaction.register(str(secret["password"]))
        return secret

    def _required(self, secret_id: str, stage: str, token: str | None = None) -> Secret:
        secret = self._value(secret_id, stage, token)
        if secret is None:
            raise RotationFailed(f"{secret_id}: there is no version {token or ''} under {stage}")
        return secret


def _login(secret: Secret) -> psycopg.Connection | None:
    """None where the server refuses it. TLS as PGSSLMODE says, whose default tries it first."""
    try:
        return psycopg.connect(
            host=secret["host"],
            port=int(secret.get("port") or 5432),
            dbname=secret.get("dbname") or "postgres",
            user=secret["username"],
            password=secret["password"],
            connect_timeout=_TIMEOUT,
        )
    except psycopg.OperationalError as error:
        if error.pgconn is not None and error.pgconn.used_password:
            return None
        raise RotationFailed(
            f"cannot reach the database at {secret['host']}: {_redaction.redact(str(error))}"
        ) from error


def _set_password(connection: psycopg.Connection, user: str, password: str) -> None:
    verifier = connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(user), sql.Literal(verifier)))


def _clone(connection: psycopg.Connection, *, original: str, clone: str) -> None:
    """A second user that acts as the first: what either makes belongs to the first, so both may change it."""
    names = {"clone": sql.Identifier(clone), "original": sql.Identifier(original)}
    connection.execute(sql.SQL("CREATE ROLE {clone} LOGIN").format(**names))
    connection.execute(sql.SQL("GRANT {original} TO {clone}").format(**names))
    connection.execute(sql.SQL("ALTER ROLE {clone} SET role TO {original}").format(**names))
