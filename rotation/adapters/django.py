"""Django (5.1 and newer): its own pool of psycopg connections, following a credential that changes."""

from __future__ import annotations

from typing import Any

from django.db import connections
from psycopg import Connection

from rotation._credential import Source
from rotation._credentials import Credentials
from rotation._pool import Subscriber, roll, rotating
from rotation._pool_base import GRACE, PATIENCE, Guard
from rotation.errors import InvalidArgument


def pool(
    credentials: Credentials | Source, *, alias: str = "default", patience: float = PATIENCE, **options: Any
) -> dict[str, Any]:
    """The value of ``OPTIONS["pool"]``.

        DATABASES = {"default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": "myapp", "HOST": "db",
            "OPTIONS": {"pool": rotation.adapters.django.pool(VaultDynamic("app-readwrite"), max_size=10)},
        }}

    Leave USER and PASSWORD out: the credentials bring them. Idle connections are replaced when the server has taken a new
    credential, those in use when their request is over.

    Args:
        alias: the key in DATABASES.
        patience: seconds for which a refused login is tried again while the source has no other credential; default 5.
        options: psycopg_pool's own (min_size, max_size, timeout, max_lifetime, ...).
    """
    taken = {"connection_class", "kwargs", "configure", "check", "open"} & options.keys()
    if taken:
        raise InvalidArgument(f"{', '.join(sorted(taken))}: Django or this adapter sets these itself; leave them out")
    owner = _Owner(Guard(credentials, "", None), alias, patience)
    made = rotating(Connection, owner)
    made.rotation_owner = owner  # type: ignore[attr-defined]  # lives as long as the class that Django keeps
    owner.connection_class = made
    owner.credentials.subscribe(Subscriber(owner))
    return {**options, "connection_class": made}


class _Owner:
    """Django's pool as the login and the watcher see one of ours."""

    connection_class: Any

    def __init__(self, guard: Guard, alias: str, patience: float) -> None:
        self.guard = guard
        self.patience = patience
        self._alias = alias

    @property
    def credentials(self) -> Credentials:
        assert self.guard.credentials is not None
        return self.guard.credentials

    @property
    def _pool(self) -> Any:
        wrapper: Any = connections[self._alias]
        if wrapper.settings_dict.get("USER") or wrapper.settings_dict.get("PASSWORD"):
            raise InvalidArgument(
                f"DATABASES[{self._alias!r}] has USER or PASSWORD; leave them out, the credentials bring them"
            )
        return wrapper.pool

    @property
    def conninfo(self) -> Any:
        return self._pool.conninfo

    @property
    def kwargs(self) -> Any:
        return self._pool.kwargs

    @property
    def closed(self) -> bool:
        return bool(self._pool.closed)

    @property
    def reconnect_timeout(self) -> float:
        return float(self._pool.reconnect_timeout)

    def replace_before(self, generation: int, *, grace: float = GRACE) -> None:
        pool = self._pool
        if self.guard.claim(generation):
            try:
                roll(pool, self.guard, generation, grace)
                if self.guard.older(generation) and not pool.closed:
                    pool.drain()
            finally:
                self.guard.raise_to(generation)
