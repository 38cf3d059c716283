"""AWS Secrets Manager: the secret's current version, the pending one while a rotation is under way, the previous one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rotation import _clock, _parsing
from rotation._credential import Credential, Source
from rotation.errors import InvalidArgument, SourceDenied, SourceError, SourceMalformed, SourceUnavailable

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
_CACHE_BEHIND = 3600.0  # the caching client's own refresh interval: until then it may give what was refused
_DENIED = {"AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"}
_ABSENT = {"ResourceNotFoundException", "InvalidRequestException"}


class SecretsManager(Source):
    """A secret in AWS Secrets Manager that holds JSON with username and password, as AWS makes them for databases.

    AWSCURRENT is used. When the server refuses it, the versions are read past every cache: AWSCURRENT again, then
    AWSPENDING (a single-user rotation has set the new password in the database and not moved the label yet), then
    AWSPREVIOUS. Where the identity may not read those two, they are passed over.

    It tells when the secret is expected to change (NextRotationDate, from DescribeSecret where that is allowed), not when
    the credential ends: AWS keeps no such date. With alternating users it works for one more rotation.

    Args:
        secret_id: name or ARN.
        region: default: as boto3 finds it (AWS_REGION, profile).
        client: a boto3 ``secretsmanager`` client of your own; contradicts ``region``.
        cache: an ``aws_secretsmanager_caching.SecretCache`` to read AWSCURRENT through, shared with the rest of the
            application. It may be an hour behind: right for alternating users, whose old credential works until the next
            rotation; with a single user every change costs a refused login first, which reads past it.
        poll_interval: seconds between two looks for a change; default 60, None: only after a refused login.
        username_key, password_key: the JSON's keys; default: username, password and other usual ones.
    """

    name = "secrets-manager"

    def __init__(
        self,
        secret_id: str,
        *,
        region: str | None = None,
        client: Any = None,
        cache: Any = None,
        poll_interval: float | None = 60.0,
        username_key: str | None = None,
        password_key: str | None = None,
    ) -> None:
        if not secret_id:
            raise InvalidArgument("secret_id is empty; expected a secret's name or ARN")
        if client is not None and region is not None:
            raise InvalidArgument("client and region are both given; a client has its region already, leave region out")
        self.secret_id = secret_id
        self.poll_interval = poll_interval
        self._region = region
        self._client = client
        self._cache = cache
        self._keys = (username_key, password_key)
        self._uncached_until = 0.0
        self._next: tuple[str, float | None] | None = None

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:
        if rejected:
            self._uncached_until = _clock.now() + _CACHE_BEHIND
        elif self._cache is not None and _clock.now() >= self._uncached_until:
            return self._cached()
        current = self._version(CURRENT)
        if not any(current.same_secret(each) for each in rejected):
            return current
        for stage in (PENDING, PREVIOUS):
            try:
                other = self._version(stage)
            except SourceError:  # no such version, or not for us; what AWSCURRENT says stands
                continue
            if not any(other.same_secret(each) for each in rejected):
                return other
        return current

    def _version(self, stage: str) -> Credential:
        answer = self._call("get_secret_value", SecretId=self.secret_id, VersionStage=stage)
        text = answer.get("SecretString")
        if text is None:
            raise SourceMalformed(f"{self.secret_id}: holds binary; expected a JSON object with username and password")
        version = str(answer.get("VersionId", ""))
        return self._credential(text, version, stage)

    def _cached(self) -> Credential:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            text = self._cache.get_secret_string(self.secret_id)
        except (BotoCoreError, ClientError) as error:
            raise self._translated(error) from error
        if text is None:
            raise SourceMalformed(f"{self.secret_id}: holds binary; expected a JSON object with username and password")
        return self._credential(text, "cached", CURRENT)

    def _credential(self, text: str, version: str, stage: str) -> Credential:
        values = _parsing.parse_json(text, self.secret_id)
        username, password, place = _parsing.login(values, self.secret_id, *self._keys)
        return Credential(
            username=username,
            password=password,
            parameters=place,
            version=version if stage == CURRENT else f"{version} ({stage})",
            rotates_at=self._rotates_at(version) if stage == CURRENT else None,
        )

    def _rotates_at(self, version: str) -> float | None:
        if self._next is None or self._next[0] != version:
            try:
                date = self._call("describe_secret", SecretId=self.secret_id).get("NextRotationDate")
            except SourceError:
                date = None
            self._next = (version, _clock.from_wall(date.timestamp()) if date is not None else None)
        return self._next[1]

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 4})
                self._client = boto3.session.Session().client("secretsmanager", region_name=self._region, config=config)
            answer: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise self._translated(error) from error
        return answer

    def _translated(self, error: Any) -> SourceError:
        code = error.response.get("Error", {}).get("Code", "") if hasattr(error, "response") else type(error).__name__
        if code in _DENIED:
            return SourceDenied(
                f"{self.secret_id}: {code}; this identity needs secretsmanager:GetSecretValue on the secret "
                "and kms:Decrypt on its key"
            )
        if code in _ABSENT:
            return SourceDenied(
                f"{self.secret_id}: {code}; is the name right, in this account and region, and not deleted?"
            )
        return SourceUnavailable(f"{self.secret_id}: {code}")
