"""One request to AWS: which service, which action, which parameters, whoever sent it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from sandbox.servers.aws.errors import AwsError

MAX_BODY = 1_048_576  # a secret's value has at most 65,536 bytes, a policy far less
_VERSIONS = {"2011-06-15": "sts", "2010-05-08": "iam"}  # how a request to a query service tells which
_TARGETS = {"secretsmanager": "secretsmanager", "TrentService": "kms"}
_READS = (
    "Get",
    "List",
    "Describe",
    "BatchGet",
    "Simulate",
    "Generate",
    "Encrypt",
    "Decrypt",
    "ReEncrypt",
    "Verify",
    "Sign",
)


@dataclass
class Request:
    """A parsed request. ``parameters`` may hold secret values: they are never logged."""

    environ: dict[str, Any]
    method: str
    path: str  # as sent, still encoded
    query: str
    headers: dict[str, str]  # lower-case names
    body: bytes
    service: str = ""
    region: str = ""
    action: str = ""
    access_key: str = ""  # empty: not signed
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether the action changes nothing that has to be kept."""
        return self.action.startswith(_READS) and self.action != "GenerateCredentialReport"


def parse(environ: dict[str, Any]) -> Request:
    """Read a WSGI request. Raises AwsError where it cannot be understood."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY:
        raise AwsError("RequestEntityTooLarge", f"the request has more than {MAX_BODY} bytes", status=413)
    body = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    if "CONTENT_TYPE" in environ:
        headers["content-type"] = environ["CONTENT_TYPE"]
    if "CONTENT_LENGTH" in environ:
        headers["content-length"] = environ["CONTENT_LENGTH"]
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/")
    path, _, query = raw.partition("?")
    request = Request(environ, environ["REQUEST_METHOD"], path or "/", query, headers, body)
    scope = _between(headers.get("authorization", ""), "Credential=", ",").split("/")
    if len(scope) == 5:
        request.access_key, _, request.region, request.service, _ = scope
    _read_action(request)
    if not request.service:
        request.service, request.region = _service(request), "us-east-1"
    return request


def _service(request: Request) -> str:
    """The service of a request that is not signed, and so does not name it."""
    target = request.headers.get("x-amz-target", "").partition(".")[0]
    return _TARGETS.get(target) or _VERSIONS.get(str(request.parameters.get("Version", "")), "")


def _read_action(request: Request) -> None:
    target = request.headers.get("x-amz-target", "")
    kind = request.headers.get("content-type", "")
    if target:
        request.action = target.rpartition(".")[2]
        request.parameters = _json(request.body)
    elif kind.startswith("application/x-www-form-urlencoded") or "Action=" in request.query:
        text = request.body.decode("utf-8", "replace") if request.body else request.query
        request.parameters = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
        request.action = str(request.parameters.get("Action", ""))
    elif request.service == "eks":
        _read_rest(request)


def _read_rest(request: Request) -> None:
    from moto.core.request import Request as MotoRequest
    from moto.core.routing import get_service_router

    try:
        operation, parameters = get_service_router("eks").match(MotoRequest({**request.environ}))
    except Exception:  # noqa: BLE001 - whatever it is, no operation of the service has this path
        raise AwsError(
            "UnknownOperationException", f"{request.method} {request.path} is no operation", status=404
        ) from None
    request.environ["wsgi.input"] = io.BytesIO(request.body)
    request.action = operation.name
    asked = {name: values if len(values) > 1 else values[0] for name, values in parse_qs(request.query).items()}
    request.parameters = {
        **_json(request.body),
        **asked,
        **{name: str(value) for name, value in (parameters or {}).items()},
    }
    if "/clusters/" in request.path and "name" in request.parameters:
        request.parameters.setdefault(
            "clusterName", request.parameters["name"]
        )  # the path calls it otherwise than the API


def _json(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        raise AwsError("SerializationException", "the request's body is not JSON") from None
    return data if isinstance(data, dict) else {}


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0].strip()


def listed(parameters: dict[str, Any], prefix: str) -> dict[str, str]:
    """``Tags.member.1.Key=a, Tags.member.1.Value=b`` of the query protocol, or [{Key, Value}] of JSON, as {a: b}."""
    given = parameters.get(prefix)
    if isinstance(given, list):
        return {str(item.get("Key")): str(item.get("Value", "")) for item in given if isinstance(item, dict)}
    if isinstance(given, dict):
        return {str(key): str(value) for key, value in given.items()}
    found: dict[str, str] = {}
    index = 1
    while (key := parameters.get(f"{prefix}.member.{index}.Key")) is not None:
        found[str(key)] = str(parameters.get(f"{prefix}.member.{index}.Value", ""))
        index += 1
    return found
