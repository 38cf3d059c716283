"""A small client of Vault's HTTP API (OpenBao serves the same).

Blocking, and safe to use from several threads: the provider runs it in worker threads.
"""

from __future__ import annotations

import ssl
import time
from typing import Any
from urllib.parse import quote

import httpx

from sandbox.providers.vault.errors import VaultApiError, VaultError

REQUEST_TIMEOUT = 60.0
# A sealed or starting server answers 503 for a moment, a standby 429 or 473.
BUSY = frozenset({429, 473, 503})
# A KV engine of version 2 prepares itself for a moment after it was enabled.
PREPARING = b"Upgrading from non-versioned to versioned data"
BUSY_PATIENCE = 15.0


class VaultClient:
    """One server, one token. Its repr shows no credential."""

    def __init__(
        self,
        address: str,
        token: str,
        *,
        ca_file: str | None = None,
        server_name: str | None = None,
        namespace: str = "",
    ) -> None:
        self.address = address.rstrip("/")
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._extensions = {"sni_hostname": server_name} if server_name else {}
        space = {"X-Vault-Namespace": namespace} if namespace else {}
        self._http = httpx.Client(
            base_url=f"{self.address}/v1/",
            verify=verify,
            headers={"X-Vault-Token": token, "X-Vault-Request": "true", **space},
            timeout=REQUEST_TIMEOUT,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"VaultClient({self.address!r})"

    def close(self) -> None:
        self._http.close()

    def read(self, path: str, params: dict[str, str] | None = None) -> dict[str, Any] | None:
        """The whole answer (``data``, ``lease_id``, ...), or None where there is nothing at the path."""
        try:
            return self.request("GET", path, params=params)
        except VaultApiError as error:
            if error.code == 404:
                return None
            raise

    def data(self, path: str) -> dict[str, Any] | None:
        """The ``data`` of an answer, or None where there is nothing at the path."""
        answer = self.read(path)
        return None if answer is None else answer.get("data") or {}

    def write(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self.request("PUT", path, body=body or {})

    def delete(self, path: str) -> None:
        """Delete what is at the path; absent is fine."""
        try:
            self.request("DELETE", path)
        except VaultApiError as error:
            if error.code != 404:
                raise

    def request(
        self, method: str, path: str, *, body: dict[str, Any] | None = None, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """One request. Raises VaultApiError with the server's own message, VaultError where there is no answer."""
        end = time.monotonic() + BUSY_PATIENCE
        while True:
            try:
                response = self._http.request(
                    method, quote(path, safe="/:@*+=,"), json=body, params=params, extensions=self._extensions
                )
            except httpx.TransportError as error:
                raise VaultError(f"Vault at {self.address} does not answer: {error} ({method} {path})") from None
            busy = response.status_code in BUSY or (response.status_code == 400 and PREPARING in response.content)
            if not busy or time.monotonic() > end:
                break
            time.sleep(0.3)
        try:
            answer = response.json() if response.content else {}
        except ValueError:
            answer = {"errors": [response.text[:500]]}
        if response.is_success:
            return answer if isinstance(answer, dict) else {}
        # A 404 of an existing backend has data or warnings and no errors: there is nothing at the path.
        errors = [str(item) for item in answer.get("errors") or answer.get("warnings") or []]
        raise VaultApiError(method, path, response.status_code, errors)
