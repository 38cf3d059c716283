"""What can go wrong between the provider and a cluster.

KubernetesError
├── KubeconfigError      the kubeconfig is missing, unreadable, or names something that it does not hold
├── ApiError             the API server refused a request; carries its own message and the request's path
├── UnknownKindError     the API server does not serve the kind (yet)
├── ReleaseError         a Helm release that the sandbox cannot install, or whose controller did not start
└── WaitError            an object did not get to where it was waited for before the deadline
"""

from __future__ import annotations

from typing import Any


class KubernetesError(Exception):
    """Base class: catch this to catch all of the provider's own errors."""


class KubeconfigError(KubernetesError):
    """The kubeconfig is missing, unreadable, or names something that it does not hold."""


class ApiError(KubernetesError):
    """The API server answered with a Status that is a failure."""

    def __init__(self, method: str, path: str, code: int, status: dict[str, Any]) -> None:
        self.code = code
        self.reason: str = status.get("reason") or ""
        self.server_message: str = status.get("message") or f"HTTP {code}"
        self.causes: list[dict[str, Any]] = (status.get("details") or {}).get("causes") or []
        super().__init__(f"{self.server_message} ({method} {path}: {code} {self.reason})".replace(" )", ")"))


class UnknownKindError(KubernetesError):
    """The API server does not serve this kind."""


class ReleaseError(KubernetesError):
    """A Helm release cannot be installed here."""


class WaitError(KubernetesError):
    """An object did not reach the awaited state before the deadline."""
