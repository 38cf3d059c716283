"""A web identity token: who issued it, whether they really did, for whom and until when.

The checks and their texts are STS's (AssumeRoleWithWebIdentity): the issuer must be registered as an OIDC provider of the account,
the audience among its client ids, the signature by a key of the issuer's JWKS, which is fetched over TLS.
"""

from __future__ import annotations

import datetime
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from sandbox.providers.loopback import require_loopback
from sandbox.servers.aws.errors import AwsError

ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
FETCH_TIMEOUT = 5.0  # seconds, as STS gives an identity provider
KEYS_LIFETIME = 300.0  # seconds
REFETCH_PAUSE = 2.0  # seconds: a token with an unknown key id fetches again, but not at every request


@dataclass(frozen=True)
class Provider:
    """An IAM OIDC provider. ``issuer`` without ``https://``, as in its ARN and in condition keys."""

    arn: str
    issuer: str
    client_ids: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """What a token proves."""

    provider: Provider
    subject: str
    audience: str
    claims: dict[str, Any]


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidIdentityToken", message)


class Tokens:
    """Checks tokens; keeps the issuers' keys for a few minutes."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._keys: dict[str, tuple[float, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def verified(self, token: str, providers: list[Provider]) -> Identity:
        """Raises AwsError with STS's code: InvalidIdentityToken, ExpiredTokenException or IDPCommunicationError."""
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise _invalid(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
            ) from None
        issuer = str(claims.get("iss", ""))
        provider = next((one for one in providers if f"https://{one.issuer}" == issuer), None)
        if provider is None:
            raise _invalid(f"No OpenIDConnect provider found in your account for {issuer}")
        if header.get("alg") not in ALGORITHMS:
            raise _invalid("The ID Token is signed with an algorithm that is not supported")
        key = self._key(issuer, str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                options={"verify_aud": False, "verify_exp": False, "require": ["sub", "exp", "iat"]},
            )
        except jwt.InvalidSignatureError:
            raise _invalid("The signature of the ID Token could not be verified with the keys of its issuer") from None
        except jwt.InvalidTokenError as error:
            raise _invalid(f"The ID Token is not valid: {error}") from None
        self._in_time(claims)
        audience = self._audience(claims, provider)
        return Identity(provider, str(claims["sub"]), audience, claims)

    @staticmethod
    def _in_time(claims: dict[str, Any]) -> None:
        now = time.time()
        if now >= float(claims["exp"]):
            stamps = [
                datetime.datetime.fromtimestamp(one, datetime.UTC).isoformat() for one in (now, float(claims["exp"]))
            ]
            raise AwsError(
                "ExpiredTokenException",
                f"Token expired: current date/time {stamps[0]} must be before the expiration date/time {stamps[1]}",
            )

    @staticmethod
    def _audience(claims: dict[str, Any], provider: Provider) -> str:
        given = claims.get("azp") or claims.get("aud") or []
        for audience in [given] if isinstance(given, str) else given:
            if audience in provider.client_ids:
                return str(audience)
        raise _invalid("Incorrect token audience")

    # -- keys --------------------------------------------------------------------------------------------------------------

    def _key(self, issuer: str, key_id: str) -> Any:
        with self._lock:
            fetched, keys = self._keys.get(issuer, (0.0, {}))
            age = time.monotonic() - fetched
            if not keys or age > KEYS_LIFETIME or (key_id not in keys and age > REFETCH_PAUSE):
                keys = self._fetch(issuer)
                self._keys[issuer] = (time.monotonic(), keys)
        if key_id not in keys:
            raise _invalid("The signature of the ID Token could not be verified: its issuer has no such key")
        return keys[key_id]

    def _fetch(self, issuer: str) -> dict[str, Any]:
        try:
            require_loopback("the issuer", issuer)
            context = ssl.create_default_context(cafile=self._ca_file)
            with httpx.Client(verify=context, timeout=FETCH_TIMEOUT, trust_env=False) as client:
                discovery = (
                    client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status().json()
                )
                if discovery.get("issuer") != issuer:
                    raise _invalid("The issuer in the provider's discovery document is not the ID Token's")
                keys_url = require_loopback("jwks_uri", str(discovery["jwks_uri"]))
                found = client.get(keys_url).raise_for_status().json()
        except AwsError:
            raise
        except Exception as error:  # noqa: BLE001 - refused, no TLS trust, no JSON: all the same to the caller
            raise AwsError(
                "IDPCommunicationError",
                f"The identity provider at {issuer} could not be asked for its keys: {error or type(error).__name__}",
            ) from None
        return {str(key.key_id or ""): key.key for key in jwt.PyJWKSet.from_dict(found).keys}
