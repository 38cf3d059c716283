"""What can be said about a credential without saying it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rotation import _clock, _redaction
from rotation._credential import Credential
from rotation.errors import RotationError


@dataclass
class Counters:
    """What has happened so far. Plain integers: a scrape reads them, nothing is paid per request."""

    refreshes: int = 0  # successful fetches and renewals
    failures: int = 0  # fetches and renewals that failed
    rotations: int = 0  # changes of name or password
    rejections: int = 0  # logins that the server refused
    replaced: int = 0  # connections closed because their credential was no longer the newest


@dataclass(frozen=True, kw_only=True)
class Health:
    """The answer of a health call."""

    source: str
    healthy: bool
    """A credential that has not ended, and no failed fetch since the last good one."""
    usable: bool
    """A credential that has not ended."""
    username: str | None
    version: str | None
    generation: int
    age_seconds: float | None
    """Since this name and password were first read; renewing a lease does not make it younger."""
    ends_in_seconds: float | None
    """Until it stops working; None where the source does not know."""
    rotates_in_seconds: float | None
    """Until the source expects to change it; None where the source does not know."""
    rotations: int
    refreshes: int
    failures: int
    rejections: int
    connections_replaced: int
    last_error: str | None

    @classmethod
    def of(
        cls, source: str, credential: Credential | None, since: float, counters: Counters, error: RotationError | None
    ) -> Health:
        """``since``: when this name and password were first read."""
        moment = _clock.now()
        usable = credential is not None and not credential.expired

        def until(end: float | None) -> float | None:
            return None if end is None else round(end - moment, 3)

        return cls(
            source=source,
            healthy=usable and error is None,
            usable=usable,
            username=credential.username if credential else None,
            version=credential.version if credential else None,
            generation=credential.generation if credential else 0,
            age_seconds=round(moment - since, 3) if credential else None,
            ends_in_seconds=until(credential.expires_at) if credential else None,
            rotates_in_seconds=until(credential.rotates_at) if credential else None,
            rotations=counters.rotations,
            refreshes=counters.refreshes,
            failures=counters.failures,
            rejections=counters.rejections,
            connections_replaced=counters.replaced,
            last_error=f"{type(error).__name__}: {_redaction.redact(str(error))}" if error else None,
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
