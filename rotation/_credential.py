"""A credential, and what a source of credentials has to be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rotation import _clock


@dataclass(frozen=True, kw_only=True)
class Credential:
    """Name and password of one moment. Its ``repr`` shows neither the password nor anything else that came with it."""

    username: str
    password: str = field(repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What else the source told about the server: host, port, dbname. A fallback for what the application did not say."""
    version: str = ""
    """What the source calls this value (a version id, a time of change); safe to log."""
    obtained_at: float = field(default_factory=_clock.now, compare=False)
    """When it was read, in seconds of the library's clock."""
    expires_at: float | None = field(default=None, compare=False)
    """When it stops working, same clock; None where the source does not know."""
    rotates_at: float | None = field(default=None, compare=False)
    """When the source expects to change it, same clock; it may work for longer. None where the source does not know."""
    generation: int = field(default=0, compare=False)
    """Counts the changes: the first credential of a Credentials is 1."""
    handle: Any = field(default=None, repr=False, compare=False)
    """The source's own note, for renewing and revoking."""

    def same_secret(self, other: Credential | None) -> bool:
        """Whether the other one logs in with the same name and password to the same place."""
        return (
            other is not None
            and self.username == other.username
            and self.password == other.password
            and self.parameters == other.parameters
        )

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and _clock.now() >= self.expires_at

    def seconds_left(self) -> float | None:
        """Until it stops working; None where the source does not know."""
        return None if self.expires_at is None else self.expires_at - _clock.now()

    def numbered(self, generation: int) -> Credential:
        return replace(self, generation=generation)


class Source(ABC):
    """Where a credential comes from. Its methods block, and are called by one thread at a time.

    A source of one's own needs ``fetch`` alone. What it raises is a SourceError; anything else is treated as
    SourceUnavailable.
    """

    name: str = "custom"
    poll_interval: float | None = None
    """Ask for a change this often, in seconds; None: only when the credential's own times or a refused login ask for it."""

    @abstractmethod
    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:
        """The credential to use now.

        ``rejected``: those that the server refused of late. Look past caches then, and prefer one that is not among them.
        """

    def renew(self, credential: Credential) -> Credential | None:  # noqa: ARG002 - for those that can
        """The same credential with a later end, or None where it has to be replaced (the default)."""
        return None

    def revoke(self, credential: Credential) -> None:  # noqa: B027 - most have nothing to revoke
        """End a credential that nobody uses any more."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what the source holds: leases, tokens, sockets."""
