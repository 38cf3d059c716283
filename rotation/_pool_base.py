"""What the two pools share: which generation may be handed out, and who still holds an older one."""

from __future__ import annotations

import threading
import weakref
from typing import Any, Protocol

from rotation._credential import Credential, Source
from rotation._credentials import Credentials
from rotation.errors import InvalidArgument

STAMP = "_rotation_generation"
PATIENCE = 5.0
GRACE = 0.25  # seconds for which connections are replaced one by one, before the rest is drained
STEP = 0.05
PROBE_TIMEOUT = 10  # seconds for the try of a new credential: it is made in the thread that renews leases


def age(connection: Any) -> None:
    """Let psycopg_pool close this one when it is put back, and connect another: as if its max_lifetime were over.

    The attribute is psycopg_pool's own; should it ever mean nothing, the connection comes again and is cut.
    """
    if getattr(connection, "_expire_at", None) == 0.0:
        connection.pgconn.finish()  # not close(), which gives it back where close_returns is set
    connection._expire_at = 0.0


class Owner(Protocol):
    """A pool, as the logins of its connections see it."""

    guard: Guard
    patience: float
    connection_class: Any

    @property
    def conninfo(self) -> Any: ...

    @property
    def kwargs(self) -> Any: ...

    @property
    def reconnect_timeout(self) -> float: ...

    @property
    def credentials(self) -> Credentials: ...

    @property
    def closed(self) -> bool: ...

    def replace_before(self, generation: int, *, grace: float = GRACE) -> None: ...


class Guard:
    """The generations of a pool's connections."""

    def __init__(self, credentials: Credentials | Source | None, conninfo: Any, kwargs: Any) -> None:
        if credentials is None:
            self.credentials: Credentials | None = None
        elif isinstance(credentials, Credentials):
            self.credentials = credentials
        elif isinstance(credentials, Source):
            self.credentials = Credentials(credentials)
        else:
            raise InvalidArgument(
                f"credentials is a {type(credentials).__name__}; expected a Credentials, a Source "
                "(SecretsManager, VaultDynamic, ...), or nothing for a plain pool"
            )
        self.owned = self.credentials is not None and self.credentials is not credentials
        if self.credentials is not None:
            _refuse_two_credentials(conninfo, kwargs)
        self.minimum = 0
        self.proved = 0
        self._claimed = 0
        self._lock = threading.Lock()
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()

    def prove(self, credential: Credential) -> None:
        """The server has taken it: older connections may be replaced now."""
        with self._lock:
            newer = credential.generation > self.proved
            self.proved = max(self.proved, credential.generation)
        if newer and self.credentials is not None:
            self.credentials.nudge()

    def stale(self, connection: Any) -> bool:
        """Whether this connection must not be handed out."""
        return getattr(connection, STAMP, 0) < self.minimum or (self.credentials is not None and self.credentials.ended)

    def outdated(self, credential: Credential, tries: int) -> bool:
        """Whether a login was overtaken by a change and is better done again; three times at most."""
        return credential.generation < self.proved and tries < 3

    def claim(self, generation: int) -> bool:
        """Whether it falls to the caller to replace what is older than ``generation``, and then to ``raise_to`` it."""
        with self._lock:
            if generation <= self._claimed:
                return False
            self._claimed = generation
        if self.credentials is not None:
            self.credentials.counters.replaced += self.older(generation)
        return True

    def raise_to(self, generation: int) -> None:
        """From now on only this generation and newer ones are handed out."""
        with self._lock:
            self.minimum = max(self.minimum, generation)

    def stamp(self, connection: Any, credential: Credential) -> None:
        setattr(connection, STAMP, credential.generation)
        with self._lock:
            self._made.add(connection)

    def older(self, generation: int) -> int:
        """How many open connections are older."""
        return sum(1 for each in self._open() if getattr(each, STAMP) < generation)

    def fresh(self, generation: int) -> int:
        """How many open connections are of this generation or newer."""
        return sum(1 for each in self._open() if getattr(each, STAMP) >= generation)

    def _open(self) -> list[Any]:
        with self._lock:
            made = list(self._made)
        return [each for each in made if not each.closed]

    def in_use(self, generation: int) -> int:
        return sum(1 for each in self._open() if getattr(each, STAMP) == generation)


def _refuse_two_credentials(conninfo: Any, kwargs: Any) -> None:
    from psycopg.conninfo import conninfo_to_dict

    given: dict[str, Any] = dict(kwargs) if isinstance(kwargs, dict) else {}
    if isinstance(conninfo, str):
        given |= conninfo_to_dict(conninfo)
    for name in ("user", "password"):
        if given.get(name) is not None:
            raise InvalidArgument(
                f"{name!r} is set in conninfo or kwargs and by credentials; leave it out there, the credentials bring it"
            )
