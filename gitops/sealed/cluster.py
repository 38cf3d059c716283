"""The cluster's side: the controller's HTTP interface and its sealing keys, reached with kubectl or by URL."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from gitops.errors import CannotOpen, ControllerError

KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"
TIMEOUT = 30.0
_LOG_LINE = re.compile(r"[EWI]\d{4} ")  # of kubectl's own code, before what it says to people
_CANNOT_OPEN = "the controller cannot open it: it was sealed for another place or cluster, or its key is gone"
BUSY_SECONDS = 60.0  # how long a controller that limits its requests is asked again


class _Busy(ControllerError):
    """The controller limits its requests: /v1/verify takes two a second by default."""


class KubectlError(ControllerError):
    """kubectl failed. ``reason``: the API server's word for it, such as NotFound; empty where it gave none."""

    def __init__(self, command: str, words: str) -> None:
        told = [line for line in words.splitlines() if line.strip() and not _LOG_LINE.match(line)]
        super().__init__(f"kubectl {command} failed: {' '.join(told)}")
        found = re.search(r"Error from server \((\w+)\)", words)
        self.reason = found[1] if found else ""


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl (its cluster is KUBECONFIG's) and give its output. Raises KubectlError with kubectl's own words.

    What is given on ``stdin`` (it may hold keys) is never part of an error.
    """
    binary = shutil.which("kubectl", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.prefix) / "bin")]))
    if binary is None:
        raise ControllerError("kubectl is not on the PATH: install it, or give --controller-url")
    try:
        done = subprocess.run(
            [binary, *arguments], input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ControllerError(
            f"kubectl {arguments[0]} gave no answer in {TIMEOUT:.0f} s: is KUBECONFIG right?"
        ) from error
    if done.returncode != 0:
        raise KubectlError(arguments[0], done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Controller:
    """One sealed-secrets controller: by its service in the cluster, or by ``url`` where that is reachable directly."""

    namespace: str = "kube-system"
    name: str = "sealed-secrets-controller"
    url: str | None = None

    def _call(self, path: str, body: str | None = None) -> str:
        ask = self._through_the_cluster if self.url is None else self._directly
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return ask(path, body)
            except _Busy:
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def _through_the_cluster(self, path: str, body: str | None) -> str:
        raw = f"{self._service}/proxy{path}"
        try:
            if body is None:
                return kubectl("get", "--raw", raw)
            return kubectl("create", "--raw", raw, "-f", "-", stdin=body)
        except KubectlError as error:
            if error.reason == "TooManyRequests":
                raise _Busy(str(error)) from error
            if error.reason in ("Conflict", "AlreadyExists"):  # kubectl's words for HTTP 409
                raise CannotOpen(_CANNOT_OPEN) from error
            if error.reason in ("NotFound", "ServiceUnavailable"):
                raise ControllerError(
                    f"no pod answers behind the service {self.name!r} in namespace {self.namespace!r}: is the controller running? "
                    f"Else give its address with --controller-url. {error}"
                ) from error
            raise

    @cached_property
    def _service(self) -> str:
        """The service's place in the API server's proxy, with its port's name, as the proxy asks for it."""
        try:
            port = kubectl("get", "service", self.name, "-n", self.namespace, "-o", "jsonpath={.spec.ports[0].name}")
        except KubectlError as error:
            if error.reason == "NotFound":
                raise ControllerError(
                    f"no service {self.name!r} in namespace {self.namespace!r}: is the controller installed? "
                    "Else say --controller-namespace and --controller-name"
                ) from error
            raise
        return f"/api/v1/namespaces/{self.namespace}/services/http:{self.name}:{port}"

    def _directly(self, path: str, body: str | None) -> str:
        method = "GET" if body is None else "POST"
        content = None if body is None else body.encode()
        try:
            answer = httpx.request(method, f"{self.url}{path}", content=content, timeout=TIMEOUT)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ControllerError(f"the controller at {self.url} cannot be reached: {error}") from error
        if answer.status_code == httpx.codes.CONFLICT:
            raise CannotOpen(_CANNOT_OPEN)
        if answer.is_error:
            kind = _Busy if answer.status_code == httpx.codes.TOO_MANY_REQUESTS else ControllerError
            raise kind(f"the controller refused {path}: HTTP {answer.status_code} {answer.text.strip()[:200]}")
        return answer.text

    def certificate(self) -> str:
        """The newest sealing certificate, PEM."""
        pem = self._call("/v1/cert.pem")
        end = "-----END CERTIFICATE-----"
        return pem[: pem.index(end) + len(end)] + "\n" if end in pem else pem

    def opens(self, manifest: dict[str, Any]) -> bool:
        """Whether the controller can open this SealedSecret."""
        try:
            self._call("/v1/verify", json.dumps(manifest))
        except CannotOpen:
            return False
        return True

    def reseal(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The same SealedSecret under the newest key. The controller does it; no plaintext leaves the cluster."""
        try:
            result: dict[str, Any] = json.loads(self._call("/v1/rotate", json.dumps(manifest)))
        except ControllerError as error:  # an HTTP 500 without a word, where it cannot open it
            raise ControllerError(f"not resealed: {error}; `verify` tells whether it opens") from error
        return result


def sealing_keys(namespace: str) -> list[dict[str, Any]]:
    """The controller's key Secrets (they hold private keys), newest last. Needs the right to read them."""
    answer = json.loads(kubectl("get", "secrets", "-n", namespace, "-l", KEY_LABEL, "-o", "json"))
    items: list[dict[str, Any]] = answer["items"]
    return sorted(items, key=lambda item: str(item["metadata"].get("creationTimestamp", "")))


def apply(manifests: list[dict[str, Any]]) -> None:
    """Create or update objects in the cluster. Server-side: kubectl's own way would copy their values into an annotation."""
    kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}),
    )
