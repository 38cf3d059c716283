"""The door to moto: every request is authenticated, authorised against the very resource that it names, and kept.

A WSGI application. moto answers what it knows; STS, Pod Identity and rotation are answered here. The log has a line for each
request: time, action, resource, caller, status and error code; no parameter and no value.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.test import run_wsgi_app

from sandbox.servers.aws import additions, backends, pod_identity, sts
from sandbox.servers.aws.admin_api import AdminApi
from sandbox.servers.aws.errors import AccessDenied, AwsError, NotAuthenticated, answer
from sandbox.servers.aws.oidc import Provider, Tokens
from sandbox.servers.aws.policy import Asked, Policies, decide
from sandbox.servers.aws.principals import Principal, principal, secret_of
from sandbox.servers.aws.request import Request, parse
from sandbox.servers.aws.resource_policies import check_resource_policy
from sandbox.servers.aws.rotation import Rotations
from sandbox.servers.aws.signature import check
from sandbox.servers.aws.snapshot import Snapshot
from sandbox.servers.aws.targets import Target, secret_target, target

Answer = tuple[int, list[tuple[str, str]], bytes]
XML = [("Content-Type", "text/xml")]
JSON = [("Content-Type", "application/x-amz-json-1.1")]
SERVICES = ("iam", "sts", "secretsmanager", "kms", "eks")


class Gateway:
    """See the module's docstring. ``cluster`` is the OIDC provider that a Pod Identity token must come from."""

    def __init__(
        self, application: Any, tokens: Tokens, snapshot: Snapshot, lock: threading.RLock, issuer: str
    ) -> None:
        self._application, self._tokens, self._snapshot, self._lock = application, tokens, snapshot, lock
        self._issuer = issuer
        self.rotations = Rotations(lock, self.keep, self.log)
        self._admin = AdminApi(self.rotations)

    def keep(self) -> None:
        """Save a change that no request asked for."""
        with self._lock:
            change = self._snapshot.changed()
        self._snapshot.keep(change)

    @staticmethod
    def log(text: str) -> None:
        sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
        sys.stdout.flush()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == "/_sandbox/health":
            status, headers, body = 200, JSON, b"{}"
        else:
            status, headers, body = self._logged(environ)
        kept = [item for item in headers if item[0].lower() != "content-length"]
        start_response(f"{status} {'OK' if status < 400 else 'Error'}", [*kept, ("Content-Length", str(len(body)))])
        return [body]

    def _logged(self, environ: dict[str, Any]) -> Answer:
        request: Request | None = None
        about: dict[str, str] = {}
        code = ""
        try:
            request = parse(environ)
            result = self._answer(request, about)
        except AwsError as error:
            if request and request.path.startswith("/_sandbox/"):
                request.service = "sandbox"
            code = f" {error.code}"
            result = answer(error, request.service if request else "")
        except Exception as error:  # noqa: BLE001 - a bug of ours or of moto: no value of it may reach the log
            frames = traceback.extract_tb(error.__traceback__)[-4:]
            place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
            self.log(f"internal failure: {type(error).__name__} at {place}")
            code = " InternalFailure"
            failure = AwsError("InternalFailure", f"internal failure: {type(error).__name__}; see the log", status=500)
            result = answer(failure, request.service if request else "")
        action = f"{request.service or '-'}:{request.action or '-'}" if request else "-"
        self.log(f"{action} {about.get('resource', '-')} {about.get('caller', '-')} {result[0]}{code}")
        return result

    # -- one request -----------------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, about: dict[str, str]) -> Answer:
        if request.path == "/v1/credentials":
            return self._pod_credentials(request, about)
        if request.action == "AssumeRoleWithWebIdentity":
            return self._web_identity(request, about)
        change = 0
        with self._lock:
            caller = self._authenticated(request)
            about["caller"] = caller.arn
            if request.path.startswith("/_sandbox/"):
                result = 200, JSON, self._admin.answer(request, caller)
            else:
                self._admin.throttle(request)
                result = self._permitted(request, caller, about)
            if not request.reads and result[0] < 400 and request.action != "GetCallerIdentity":
                backends.settle()
                change = self._snapshot.changed()
        if change:
            self._snapshot.keep(change)
        return result

    @staticmethod
    def _authenticated(request: Request) -> Principal:
        if not request.access_key:
            raise NotAuthenticated("MissingAuthenticationToken", "Request is missing Authentication Token")
        secret, owner = secret_of(request.access_key, request.headers.get("x-amz-security-token", ""))
        check(request, secret)
        return principal(owner)

    def _permitted(self, request: Request, caller: Principal, about: dict[str, str]) -> Answer:
        if request.service not in SERVICES:
            known = ", ".join(SERVICES)
            raise AwsError(
                "UnknownOperationException",
                f"the sandbox has no service {request.service!r}; it has: {known}",
                status=404,
            )
        what = target(request)
        about["resource"] = what.arn
        if request.service == "sts":
            return self._sts(request, caller, what, about)
        self.require(caller, f"{request.service}:{request.action}", what)
        for action, needed in what.needs:
            needed.context = {**what.context, **needed.context}
            try:
                self.require(caller, action, needed)
            except AccessDenied:
                if request.service == "secretsmanager" and action.startswith("kms:"):
                    raise AccessDenied("Access to KMS is not allowed") from None
                raise
        return self._perform(request, caller)

    @staticmethod
    def require(caller: Principal, action: str, what: Target) -> None:
        """Raises AccessDenied, in AWS's words, unless the caller's policies and the resource's allow the action."""
        context = {**what.context, **caller.context}
        policies = Policies(caller.identity, caller.boundary, caller.session_policy, what.policy, what.policy_decides)
        decision = decide(policies, caller.caller, Asked(action, what.arn, context))
        if not decision.allowed:
            where = f" on resource: {what.arn}" if what.arn != "*" else ""
            raise AccessDenied(f"User: {caller.arn} is not authorized to perform: {action}{where} {decision.reason}")

    def _sts(self, request: Request, caller: Principal, what: Target, about: dict[str, str]) -> Answer:
        if request.action == "GetCallerIdentity":  # always allowed
            return 200, XML, sts.caller_identity(caller)
        if request.action == "AssumeRole":
            about["resource"] = str(request.parameters.get("RoleArn", "-"))
            return 200, XML, sts.assume_role(request, caller, what.context)
        raise AwsError("InvalidAction", f"the sandbox's STS has no {request.action}")

    def _perform(self, request: Request, caller: Principal) -> Answer:
        if pod_identity.handles(request):
            return 200, JSON, pod_identity.to_json(pod_identity.answer(request))
        if (request.service, request.action) == ("secretsmanager", "RotateSecret"):
            return 200, JSON, json.dumps(self.rotations.rotate(request)).encode()
        if (request.service, request.action) == ("secretsmanager", "CancelRotateSecret"):
            return 200, JSON, json.dumps(self.rotations.cancel(request)).encode()
        if (request.service, request.action) == ("secretsmanager", "PutResourcePolicy"):
            check_resource_policy(request)
        if (own := additions.answer(request)) is not None:
            return own
        chunks, status, headers = run_wsgi_app(self._application, request.environ, buffered=True)
        code, body = int(status.partition(" ")[0]), b"".join(chunks)
        if request.action == "BatchGetSecretValue" and code == 200:
            body = self._readable(request, caller, body)
        return code, list(headers), body

    def _readable(self, request: Request, caller: Principal, body: bytes) -> bytes:
        """Of BatchGetSecretValue's answer only what the caller may read, one by one; the rest as its errors."""
        found = json.loads(body)
        kept, errors = [], list(found.get("Errors") or [])
        for value in found.get("SecretValues") or []:
            what = secret_target(request, value["ARN"], action="GetSecretValue")
            try:
                self.require(caller, "secretsmanager:GetSecretValue", what)
                for action, needed in what.needs:
                    self.require(caller, action, needed)
            except AccessDenied as error:
                errors.append(
                    {"SecretId": value["ARN"], "ErrorCode": "AccessDeniedException", "Message": error.message}
                )
            else:
                kept.append(value)
        return json.dumps({**found, "SecretValues": kept, "Errors": errors}).encode()

    # -- tokens ----------------------------------------------------------------------------------------------------------------

    def _web_identity(self, request: Request, about: dict[str, str]) -> Answer:
        about["resource"] = str(request.parameters.get("RoleArn", "-"))
        with self._lock:
            self._admin.throttle(request)
            registered = sts.providers()
        identity = self._tokens.verified(str(request.parameters.get("WebIdentityToken", "")), registered)
        about["caller"] = identity.subject
        with self._lock:
            body = sts.assume_role_with_web_identity(request, identity, target(request).context)
            change = self._snapshot.changed()
        self._snapshot.keep(change)
        return 200, XML, body

    def _pod_credentials(self, request: Request, about: dict[str, str]) -> Answer:
        request.service, request.action = "eks-auth", "AssumeRoleForPodIdentity"
        cluster = Provider("", self._issuer.removeprefix("https://"), (pod_identity.AUDIENCE,))
        identity = self._tokens.verified(request.headers.get("authorization", ""), [cluster])
        about["caller"] = identity.subject
        with self._lock:
            found = pod_identity.credentials(identity, target(request).context)
            change = self._snapshot.changed()
        self._snapshot.keep(change)
        return 200, [("Content-Type", "application/json")], pod_identity.to_json(found)
