"""Service-account tokens as the kubelet keeps them: asked for by TokenRequest, in a file, replaced before they end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from sandbox.servers.errors import ServerFailed
from sandbox.servers.files import private_write

FRESH = 0.8  # of its life, after which a token is replaced, as the kubelet does
RETRY_SECONDS = 10.0
SHORTEST = 600  # seconds; the API server grants no less


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """One token that is kept in a file."""

    path: Path
    namespace: str
    service_account: str
    seconds: int
    audience: str | None = None  # default: the API server's own

    async def renew(self, api: httpx.AsyncClient) -> float:
        """Ask for a new one and write it; the seconds until the next is due. Raises ServerFailed."""
        spec: dict[str, object] = {"expirationSeconds": max(self.seconds, SHORTEST)}
        if self.audience is not None:
            spec["audiences"] = [self.audience]
        answer = await api.post(
            f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.service_account}/token",
            content=json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}),
            headers={"Content-Type": "application/json"},
        )
        if answer.is_error:
            raise ServerFailed(
                f"no token for service account {self.namespace}/{self.service_account}: "
                f"HTTP {answer.status_code} {_message(answer)}"
            )
        private_write(self.path, answer.json()["status"]["token"])
        return max(self.seconds, SHORTEST) * FRESH

    async def keep_fresh(self, api: httpx.AsyncClient, pause: float, note: Callable[[str], None]) -> None:
        """Renew it for ever; the first time after ``pause`` seconds. A machine that slept is noticed within a minute."""
        due = time.time() + pause
        while True:
            await asyncio.sleep(min(max(due - time.time(), 0.0), 60.0))
            if time.time() < due:
                continue
            try:
                due = time.time() + await self.renew(api)
            except (ServerFailed, httpx.HTTPError) as error:
                note(f"{self.path.parent.name}: {error}; again in {RETRY_SECONDS:.0f} s")
                due = time.time() + RETRY_SECONDS


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except ValueError:
        return answer.text[:200]
