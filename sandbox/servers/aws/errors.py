"""Errors as AWS's services answer them: a code, a text, an HTTP status, in the form of the service's protocol.

AwsError                      code, message and status
├── AccessDenied              the caller may not do that
└── NotAuthenticated          unknown key, wrong signature, expired session
"""

from __future__ import annotations

import json
import uuid
from typing import ClassVar
from xml.sax.saxutils import escape

QUERY_SERVICES = frozenset({"iam", "sts"})  # XML answers; the others here speak JSON

# The same mistake has another code in the JSON protocols.
_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "ExpiredToken": "ExpiredTokenException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "Throttling": "ThrottlingException",
    "InternalFailure": "InternalServiceError",
}


class AwsError(Exception):
    """An answer of a service that is an error. ``code`` is the one of the query protocol."""

    status: ClassVar[int] = 400

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        self.code, self.message = code, message
        self.http_status = status or self.status
        super().__init__(f"{code}: {message}")


class AccessDenied(AwsError):
    """The caller may not do that."""

    status = 403

    def __init__(self, message: str) -> None:
        super().__init__("AccessDenied", message)


class NotAuthenticated(AwsError):
    """It is not known who calls."""

    status = 403


def unknown_key() -> NotAuthenticated:
    return NotAuthenticated("InvalidClientTokenId", "The security token included in the request is invalid.")


def answer(error: AwsError, service: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body with which the service answers."""
    request_id = str(uuid.uuid4())
    if service in QUERY_SERVICES:
        kind = "Receiver" if error.http_status >= 500 else "Sender"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{escape(error.code)}</Code>"
            f"<Message>{escape(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return error.http_status, [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)], body.encode()
    code = _JSON_CODES.get(error.code, error.code)
    # JSON 1.1 services (secretsmanager, kms) answer 400 to everything that the caller did wrong.
    status = 400 if service in ("secretsmanager", "kms") and error.http_status < 500 else error.http_status
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("x-amzn-ErrorType", code),
        ("x-amzn-RequestId", request_id),
    ]
    return status, headers, json.dumps({"__type": code, "message": error.message, "Message": error.message}).encode()
