"""The cluster's side: the controller's HTTP interface and its sealing keys, reached with kubectl or by URL."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gitops.errors import ControllerError

KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"
TIMEOUT = 30.0


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl (its cluster is KUBECONFIG's) and give its output. Raises ControllerError with kubectl's own words.

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
        raise ControllerError(f"kubectl {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Controller:
    """One sealed-secrets controller: by its service in the cluster, or by ``url`` where that is reachable directly."""

    namespace: str = "kube-system"
    name: str = "sealed-secrets-controller"
    url: str | None = None

    def _call(self, path: str, body: str | None = None) -> str:
        if self.url is None:
            raw = f"/api/v1/namespaces/{self.namespace}/services/http:{self.name}:/proxy{path}"
            if body is None:
                return kubectl("get", "--raw", raw)
            return kubectl("create", "--raw", raw, "-f", "-", stdin=body)
        answer = self._request(path, body)
        while answer.status_code == httpx.codes.TOO_MANY_REQUESTS:  # /v1/verify takes two a second by default
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 5))
            answer = self._request(path, body)
        if answer.status_code == httpx.codes.CONFLICT:
            raise ControllerError(f"the controller cannot open it ({path}): it was sealed for another place or cluster")
        if answer.is_error:
            raise ControllerError(
                f"the controller refused {path}: HTTP {answer.status_code} {answer.text.strip()[:200]}"
            )
        return answer.text

    def _request(self, path: str, body: str | None) -> httpx.Response:
        method = "GET" if body is None else "POST"
        content = None if body is None else body.encode()
        try:
            return httpx.request(method, f"{self.url}{path}", content=content, timeout=TIMEOUT)
        except httpx.HTTPError as error:
            raise ControllerError(f"the controller at {self.url} cannot be reached: {error}") from error

    def certificate(self) -> str:
        """The newest sealing certificate, PEM."""
        pem = self._call("/v1/cert.pem")
        end = "-----END CERTIFICATE-----"
        return pem[: pem.index(end) + len(end)] + "\n" if end in pem else pem

    def opens(self, manifest: dict[str, Any]) -> bool:
        """Whether the controller can open this SealedSecret."""
        try:
            self._call("/v1/verify", json.dumps(manifest))
        except ControllerError as error:
            if "cannot open it" in str(error) or "Conflict" in str(error) or "409" in str(error):
                return False
            raise
        return True

    def reseal(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The same SealedSecret under the newest key. The controller does it; no plaintext leaves the cluster."""
        result: dict[str, Any] = json.loads(self._call("/v1/rotate", json.dumps(manifest)))
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
