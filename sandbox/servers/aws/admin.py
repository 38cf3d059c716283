"""For tests and drills: what the sandbox's administrator may ask of the AWS server beside AWS's own API."""

from __future__ import annotations

import json
from typing import Any

import httpx

from sandbox.endpoints import Aws


def throttle(aws: Aws, service: str, requests: int, *, action: str | None = None) -> None:
    """Let the next ``requests`` requests to ``service`` (to one ``action`` of it) fail with ThrottlingException. 0 ends it."""
    _post(aws, "throttle", {"service": service, "action": action, "requests": requests})


def register_function(aws: Aws, arn: str, url: str) -> None:
    """Let the rotation function ``arn`` be the one that listens at ``url``: a POST with the event, 2xx when it went well."""
    _post(aws, "functions", {"arn": arn, "url": url})


def _post(aws: Aws, path: str, body: dict[str, Any]) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url, data = f"{aws.endpoint_url}/_sandbox/{path}", json.dumps(body)
    request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=data)
    SigV4Auth(Credentials(aws.access_key_id, aws.secret_access_key), "sandbox", aws.region).add_auth(request)
    headers = {name: str(value) for name, value in request.headers.items()}
    httpx.post(url, content=data, headers=headers, timeout=60, trust_env=False).raise_for_status()
