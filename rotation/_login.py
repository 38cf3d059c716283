"""One connection being made: which credential to try, and what to do when the server refuses it. No waiting in here.

How a refusal is told from a server that cannot be reached: by libpq's own note that the server asked for a password
(PQconnectionUsedPassword), not by the message, which is translated and differs for a wrong password, an expired role,
NOLOGIN and an unknown user; psycopg has no SQLSTATE for errors of connecting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotation import _clock
from rotation._credential import Credential
from rotation._credentials import Credentials
from rotation.errors import RotationError

_FIRST_WAIT, _LONGEST_WAIT = 0.05, 0.5
_PLACE = {"host": {"host", "hostaddr", "service"}, "port": {"port", "service"}, "dbname": {"dbname", "service"}}


def login_refused(error: BaseException) -> bool:
    """Whether the server was there, asked for the password, and then said no."""
    pgconn = getattr(error, "pgconn", None)
    return pgconn is not None and bool(pgconn.used_password)


def parameters(credential: Credential, conninfo: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Connection parameters with this credential. Host, port and database of the secret are used where nothing else says."""
    merged = dict(kwargs)
    missing = {key: value for key, value in credential.parameters.items() if key in _PLACE}
    if missing:
        from psycopg.conninfo import conninfo_to_dict

        given = set(conninfo_to_dict(conninfo)) | {key for key, value in kwargs.items() if value is not None}
        merged |= {key: value for key, value in missing.items() if not given & _PLACE[key]}
    merged["user"] = credential.username
    merged["password"] = credential.password
    return merged


class Login:
    """The attempts of one connection.

    ``patience``: for how many seconds a refused credential is tried again while the source has no other (one that is
    published late, or not yet set in the database).
    ``wait_for_source``: for how many seconds to hold on while there is no credential at all.
    """

    def __init__(self, credentials: Credentials, *, patience: float, wait_for_source: float) -> None:
        self._credentials = credentials
        started = _clock.now()
        self._refused_until = started + patience
        self._source_until = started + wait_for_source
        self._wait = _FIRST_WAIT
        self.credential: Credential | None = None

    def choose(self) -> float | None:
        """Take the current credential. None: go on and connect; otherwise the seconds to wait before asking again."""
        try:
            self._credentials.start()
            self.credential = self._credentials.current()
        except RotationError:
            if self._credentials.closed or _clock.now() >= self._source_until:
                raise
            return self._longer()
        return None

    def refused(self, error: Exception, *, by_server: bool | None = None) -> float:
        """The next credential, and the seconds to wait before it is tried. Raises the error when there is no point.

        ``by_server``: whether it was a refusal, for drivers that say so themselves; default: what psycopg's error tells.
        """
        assert self.credential is not None
        if not (login_refused(error) if by_server is None else by_server):
            raise error
        other = self._credentials.rejected(self.credential)
        if other.same_secret(self.credential):
            if _clock.now() >= self._refused_until:
                raise error
            return self._longer()
        self.credential = other
        return 0.0

    def accepted(self) -> Credential:
        assert self.credential is not None
        self._credentials.accepted(self.credential)
        return self.credential

    def newest(self) -> None:
        """After a wait: what has come in the meantime."""
        try:
            newest = self._credentials.current()
        except RotationError:
            return
        if self.credential is None or newest.generation > self.credential.generation:
            self.credential = newest

    def _longer(self) -> float:
        wait, self._wait = self._wait, min(self._wait * 2, _LONGEST_WAIT)
        return wait
