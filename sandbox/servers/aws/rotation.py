"""Secrets Manager's rotation: the schedule, and the four steps of a rotation function.

No Lambda runs here. A function's ARN is registered with a loopback address instead (``admin.register_function``), and gets
the events that Lambda would hand it: createSecret, setSecret, testSecret, finishSecret.
Schedules by days and by ``rate(...)`` run by themselves; ``cron(...)`` is kept and shown, but only RotateSecret starts it.
Source: "Rotation by Lambda function" in the Secrets Manager user guide.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AwsError
from sandbox.servers.aws.request import Request

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
STEP_TIMEOUT = 60.0  # seconds
_RATE = re.compile(r"rate\((\d+) (hour|day)s?\)")
_SECONDS = {"hour": 3600, "day": 86400}


def period(rules: dict[str, Any]) -> int | None:
    """Seconds between two rotations; None for a cron expression."""
    if rules.get("AutomaticallyAfterDays"):
        return int(rules["AutomaticallyAfterDays"]) * _SECONDS["day"]
    match = _RATE.fullmatch(str(rules.get("ScheduleExpression", "")))
    return int(match.group(1)) * _SECONDS[match.group(2)] if match else None


def _check(rules: dict[str, Any]) -> None:
    days, expression = rules.get("AutomaticallyAfterDays"), rules.get("ScheduleExpression")
    if days is not None and expression is not None:
        raise AwsError("InvalidParameterException", "Specify AutomaticallyAfterDays or ScheduleExpression, not both.")
    if days is not None and not 1 <= int(days) <= 1000:
        raise AwsError("InvalidParameterException", "AutomaticallyAfterDays must be from 1 to 1000.")
    if expression is not None and not (
        _RATE.fullmatch(expression) or re.fullmatch(r"cron\((\S+ ){5}\S+\)", expression)
    ):
        raise AwsError(
            "InvalidParameterException", f"ScheduleExpression {expression!r} is neither rate(...) nor cron(...)."
        )


class Rotations:
    """Runs rotations in threads of their own. ``functions``: ARN -> loopback URL; kept with the state."""

    def __init__(self, lock: threading.RLock, changed: Callable[[], None], log: Callable[[str], None]) -> None:
        self._lock, self._changed, self._log = lock, changed, log

    @property
    def functions(self) -> dict[str, str]:
        found: dict[str, str] = backends.secrets_manager().__dict__.setdefault("strongroom_functions", {})
        return found

    def rotate(self, request: Request) -> dict[str, Any]:
        """RotateSecret: keeps the schedule, and starts the steps unless RotateImmediately is false."""
        given = request.parameters
        live = backends.secret(str(given.get("SecretId", "")))
        if live is None:
            raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        if live.is_deleted():
            raise AwsError(
                "InvalidRequestException",
                "You can't perform this operation on the secret because it was marked for deletion.",
            )
        arn = given.get("RotationLambdaARN") or live.rotation_lambda_arn
        if not arn:
            raise AwsError("InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
        if arn not in self.functions:
            raise AwsError(
                "AccessDenied",
                f"Secrets Manager cannot invoke the specified Lambda function {arn}. Ensure that the function policy grants "
                "access to the principal secretsmanager.amazonaws.com. (Sandbox: register its address first.)",
            )
        if any("AWSPENDING" in one["version_stages"] and "AWSCURRENT" not in one["version_stages"] and _valued(one)
               for one in live.versions.values()):  # fmt: skip
            raise AwsError(
                "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted."
            )
        rules = given.get("RotationRules") or live.__dict__.get("strongroom_rules") or {}
        _check(rules)
        live.rotation_requested = live.rotation_enabled = True
        live.rotation_lambda_arn = arn
        live.strongroom_rules = rules
        live.auto_rotate_after_days = int(rules.get("AutomaticallyAfterDays") or 0)
        self._plan(live)
        if given.get("RotateImmediately", True):
            version = str(given.get("ClientRequestToken") or uuid.uuid4())
            self._start(live, version)
            return {"ARN": live.arn, "Name": live.name, "VersionId": version}
        return {"ARN": live.arn, "Name": live.name}

    def cancel(self, request: Request) -> dict[str, Any]:
        """CancelRotateSecret: the schedule ends, the values stay."""
        live = backends.secret(str(request.parameters.get("SecretId", "")))
        if live is None:
            raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        live.rotation_enabled, live.next_rotation_date = False, None
        return {"ARN": live.arn, "Name": live.name}

    @staticmethod
    def _plan(live: Any) -> None:
        seconds = period(live.strongroom_rules)
        live.next_rotation_date = int(time.time()) + seconds if seconds else None

    def _start(self, live: Any, version: str) -> None:
        for one in live.versions.values():
            if "AWSPENDING" in one["version_stages"]:
                one["version_stages"].remove("AWSPENDING")
        live.versions[version] = {
            "createdate": int(time.time()),
            "version_id": version,
            "version_stages": ["AWSPENDING"],
        }
        url = self.functions[live.rotation_lambda_arn]
        threading.Thread(target=self._run, args=(live, version, url), daemon=True, name="rotation").start()

    def _run(self, live: Any, version: str, url: str) -> None:
        for step in STEPS:
            event = {
                "Step": step,
                "SecretId": live.arn,
                "ClientRequestToken": version,
                "RotationToken": secrets.token_hex(8),
            }
            try:
                answer = httpx.post(url, json=event, timeout=STEP_TIMEOUT, trust_env=False)
                failed = answer.headers.get("x-amz-function-error") or (
                    answer.is_error and f"HTTP {answer.status_code}"
                )
            except httpx.HTTPError as error:
                failed = type(error).__name__
            if failed:
                self._log(f"rotation of {live.name}: {step} failed: {failed}")
                return
        with self._lock:
            live.last_rotation_date = int(time.time())
        self._changed()
        self._log(f"rotation of {live.name}: done")

    def run_due(self) -> None:
        """Start what the schedules ask for now."""
        with self._lock:
            due = [
                live
                for live in dict.values(backends.secrets_manager().secrets)
                if getattr(live, "rotation_enabled", False)
                and live.next_rotation_date
                and live.next_rotation_date <= time.time()
            ]
            for live in due:
                self._plan(live)
                if live.rotation_lambda_arn in self.functions:
                    self._start(live, str(uuid.uuid4()))
        if due:
            self._changed()


def _valued(version: dict[str, Any]) -> bool:
    return "secret_string" in version or "secret_binary" in version
