"""What only the sandbox's administrator may do: slow a service down, and register a rotation function."""

from __future__ import annotations

import json
from typing import Any

from sandbox.providers.errors import EndpointRefused
from sandbox.providers.loopback import require_loopback
from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AccessDenied, AwsError
from sandbox.servers.aws.principals import Principal
from sandbox.servers.aws.request import Request
from sandbox.servers.aws.rotation import Rotations

ADMINISTRATOR = f"arn:aws:iam::{backends.ACCOUNT}:user/administrator"


class AdminApi:
    """POST /_sandbox/throttle {service, action?, requests} and /_sandbox/functions {arn, url}."""

    def __init__(self, rotations: Rotations) -> None:
        self._rotations = rotations
        self._throttled: dict[tuple[str, str], int] = {}  # (service, action or "") -> requests still to refuse

    def answer(self, request: Request, caller: Principal) -> bytes:
        """Raises AccessDenied for anyone else, AwsError for what it does not understand."""
        if caller.arn != ADMINISTRATOR:
            raise AccessDenied(f"User: {caller.arn} is not the sandbox's administrator")
        try:
            given: dict[str, Any] = json.loads(request.body)
            if request.path == "/_sandbox/throttle":
                key = (str(given["service"]), str(given.get("action") or ""))
                self._throttled[key] = int(given["requests"])
            elif request.path == "/_sandbox/functions":
                self._rotations.functions[str(given["arn"])] = require_loopback("url", str(given["url"]))
            else:
                raise AwsError("UnknownOperationException", f"there is no {request.path}", status=404)
        except (ValueError, KeyError, TypeError) as error:
            raise AwsError("ValidationException", f"{request.path}: {type(error).__name__} {error}") from None
        except EndpointRefused as error:
            raise AwsError("ValidationException", str(error)) from None
        return b"{}"

    def throttle(self, request: Request) -> None:
        """Raises AwsError as long as the service is to be throttled."""
        for key in ((request.service, request.action), (request.service, "")):
            left = self._throttled.get(key, 0)
            if left > 0:
                self._throttled[key] = left - 1
                raise AwsError("Throttling", "Rate exceeded")
