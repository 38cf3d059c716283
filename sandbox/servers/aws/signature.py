"""Signature Version 4: whether a request was signed with the secret of the key that it names.

Source: the "AWS Signature Version 4 for API requests" chapter of the IAM user guide.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from urllib.parse import parse_qsl, quote

from sandbox.servers.aws.errors import NotAuthenticated
from sandbox.servers.aws.request import Request

SKEW = datetime.timedelta(minutes=5)


def check(request: Request, secret: str) -> None:
    """Raises NotAuthenticated where the signature is not the one that ``secret`` gives, or is too old."""
    fields = _fields(request.headers["authorization"])
    date = request.headers.get("x-amz-date", "")
    try:
        when = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise NotAuthenticated("IncompleteSignature", "the request has no valid X-Amz-Date header") from None
    now = datetime.datetime.now(datetime.UTC)
    if abs(now - when) > SKEW:
        raise NotAuthenticated(
            "SignatureDoesNotMatch", f"Signature expired: {date} is not within 5 minutes of {now:%Y%m%dT%H%M%SZ}"
        )
    signed = fields["SignedHeaders"].split(";")
    if "host" not in signed:
        raise NotAuthenticated("SignatureDoesNotMatch", "'Host' must be a 'SignedHeader' in the AWS Authorization.")
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/~"),
            _query(request.query),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in signed),
            "",
            fields["SignedHeaders"],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    scope = fields["Credential"].partition("/")[2]
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, fields["Signature"]):
        raise NotAuthenticated(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
            "Key and signing method. Consult the service documentation for details.",
        )


def _fields(header: str) -> dict[str, str]:
    scheme, _, rest = header.partition(" ")
    fields = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in rest.split(","))}
    if scheme != "AWS4-HMAC-SHA256" or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        raise NotAuthenticated(
            "IncompleteSignature", "Authorization header requires Credential, SignedHeaders and Signature."
        )
    return fields


def _query(text: str) -> str:
    pairs = parse_qsl(text, keep_blank_values=True)
    return "&".join(sorted(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs))
