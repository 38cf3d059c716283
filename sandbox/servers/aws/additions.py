"""Actions of AWS's API that moto lacks or answers short: client ids of OIDC providers, a key's rotation period."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AwsError
from sandbox.servers.aws.request import Request

Answer = tuple[int, list[tuple[str, str]], bytes]
DEFAULT_PERIOD, LEAST_PERIOD, MOST_PERIOD = 365, 90, 2560  # days


def answer(request: Request) -> Answer | None:
    """The answer, or None where moto shall give it. Raises AwsError with the service's codes."""
    if request.action in ("AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider"):
        return _client_id(request)
    if request.service == "kms" and request.action in ("EnableKeyRotation", "GetKeyRotationStatus"):
        return _rotation(request)
    if (request.service, request.action) == ("secretsmanager", "CreateSecret"):
        _not_deleted(request)
    return None


def _client_id(request: Request) -> Answer:
    arn, client_id = str(request.parameters.get("OpenIDConnectProviderArn")), str(request.parameters.get("ClientID"))
    live = backends.iam().open_id_providers.get(arn)
    if live is None:
        raise AwsError("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", status=404)
    kept = [one for one in live.client_id_list if one != client_id]
    live.client_id_list = [*kept, client_id] if request.action.startswith("Add") else kept
    name = f"{request.action}Response"
    metadata = f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata>"
    body = f'<{name} xmlns="https://iam.amazonaws.com/doc/2010-05-08/">{metadata}</{name}>'
    return 200, [("Content-Type", "text/xml")], body.encode()


def _rotation(request: Request) -> Answer | None:
    live = backends.key(str(request.parameters.get("KeyId") or ""), request.region)
    if live is None:
        return None
    if request.action == "EnableKeyRotation":
        period = int(request.parameters.get("RotationPeriodInDays") or DEFAULT_PERIOD)
        if not LEAST_PERIOD <= period <= MOST_PERIOD:
            raise AwsError("ValidationException", f"RotationPeriodInDays must be from {LEAST_PERIOD} to {MOST_PERIOD}")
        live.strongroom_period = period
        return None
    status: dict[str, Any] = {"KeyRotationEnabled": bool(live.key_rotation_status), "KeyId": live.id}
    if live.key_rotation_status:
        status["RotationPeriodInDays"] = getattr(live, "strongroom_period", DEFAULT_PERIOD)
    return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(status).encode()


def _not_deleted(request: Request) -> None:
    live = backends.secret(str(request.parameters.get("Name") or ""), request.region)
    if live is not None and live.is_deleted():
        raise AwsError(
            "InvalidRequestException",
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        )
