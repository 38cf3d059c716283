"""boto3's clients, made once for each service and region; they may be used from several threads."""

from __future__ import annotations

import threading
from typing import Any

from sandbox.providers.loopback import require_loopback

CONNECTIONS = 24
ATTEMPTS = 6  # with exponential pauses: a throttled request is tried again for some seconds


class Clients:
    """The clients of one account. Its repr shows no credential."""

    def __init__(
        self,
        *,
        endpoint: str,
        endpoints: dict[str, str],
        region: str,
        access_key: str | None,
        secret_key: str | None,
        token: str | None,
        recorded_keys: set[str],
    ) -> None:
        self.region = region
        self._endpoint, self._endpoints = endpoint, endpoints
        self._credentials: dict[str, Any] = {
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
            "aws_session_token": token,
        }
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        # KMS keys that are in a state, or about to be: no interrupted run left them behind.
        self.recorded_keys = recorded_keys
        self.making_keys = threading.Lock()

    def __repr__(self) -> str:
        return f"Clients({self._endpoint!r}, {self.region!r})"

    def get(self, service: str, region: str | None = None) -> Any:
        """The client of a service. boto3 is imported at the first call: it takes half a second."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                import boto3
                from botocore.config import Config

                if self._session is None:
                    self._session = boto3.Session(region_name=self.region, **self._credentials)
                retries: Any = {"mode": "standard", "max_attempts": ATTEMPTS}
                url = require_loopback("AWS's endpoint", self._endpoints.get(service) or self._endpoint)
                self._clients[key] = self._session.client(
                    service,
                    region_name=key[1],
                    endpoint_url=url,
                    config=Config(max_pool_connections=CONNECTIONS, retries=retries, proxies={}),
                )
            return self._clients[key]

    def iam(self) -> Any:
        return self.get("iam")

    def secrets_manager(self, values: dict[str, Any]) -> Any:
        return self.get("secretsmanager", values.get("region"))

    def kms(self, values: dict[str, Any]) -> Any:
        return self.get("kms", values.get("region"))

    def eks(self, values: dict[str, Any]) -> Any:
        return self.get("eks", values.get("region"))

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def code(error: Exception) -> str:
    """The service's code of a ClientError; empty for anything else."""
    answer: Any = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def absent(error: Exception) -> bool:
    """Whether the error says that there is no such thing."""
    return code(error) in ("NoSuchEntity", "ResourceNotFoundException", "NotFoundException")
