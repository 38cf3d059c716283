"""Controllers of Helm releases: there is no kubelet, so each runs as a host process with its service account's own token.

``apply`` and ``remove`` are for the Kubernetes provider. What was applied is recorded in the state directory and started
again with the sandbox.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.servers import wire
from sandbox.servers.client import connected

PROGRAMS = ("external-secrets", "sealed-secrets-controller", "injector")
APPLY_DEADLINE = 120.0
ROLE_ARN = "eks.amazonaws.com/role-arn"
AUDIENCE = "eks.amazonaws.com/audience"
TOKEN_EXPIRATION = "eks.amazonaws.com/token-expiration"  # noqa: S105 - an annotation's name


@dataclass(frozen=True, kw_only=True)
class ControllerSpec:
    """One controller: what runs, as whom, with which options. It holds no secret.

    ``annotations`` are its service account's: of them, as EKS's identity webhook does, come AWS_ROLE_ARN and
    AWS_WEB_IDENTITY_TOKEN_FILE.
    """

    name: str  # NAMESPACE.RELEASE
    program: str  # one of PROGRAMS
    namespace: str
    service_account: str
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A controller that runs."""

    url: str  # http://127.0.0.1:PORT of its own HTTP interface, "" where it has none
    log: str  # path of its log


def apply(state_dir: Path, spec: ControllerSpec) -> Applied:
    """Start the controller, or start it anew where the spec differs, and return when it is ready.

    Raises ServerFailed with the end of its log (it then does not run), NotSupported, NotRunning without a sandbox.
    """
    request: dict[str, Any] = {"do": "apply", "spec": asdict(spec)}
    return Applied(**wire.ask(connected(state_dir), request, deadline=APPLY_DEADLINE))


def remove(state_dir: Path, name: str) -> None:
    """Stop the controller and forget it; one that is not known is fine. Raises NotRunning without a sandbox."""
    wire.ask(connected(state_dir), {"do": "remove", "name": name}, deadline=APPLY_DEADLINE)
