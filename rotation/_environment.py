"""Environment variables: what a platform sets before the process starts."""

from __future__ import annotations

import os
from collections.abc import Collection

from rotation._credential import Credential, Source
from rotation.errors import SourceMalformed


class Environment(Source):
    """Name and password from environment variables.

    They end with the process: nobody outside can change them. Where the process itself does (it re-reads a ``.env``
    file, say), the change is noticed within ``poll_interval`` seconds, or at the first refused login.

    Args:
        username: the variable with the user's name; default PGUSER.
        password: the variable with the password; default PGPASSWORD.
        poll_interval: seconds; default 1.
    """

    name = "environment"

    def __init__(self, username: str = "PGUSER", password: str = "PGPASSWORD", *, poll_interval: float = 1.0) -> None:  # noqa: S107 - names
        self._username, self._password = username, password
        self.poll_interval = poll_interval

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:  # noqa: ARG002 - there is no other to give
        missing = [name for name in (self._username, self._password) if not os.environ.get(name)]
        if missing:
            raise SourceMalformed(f"environment: {' and '.join(missing)} not set; set it, or name another variable")
        return Credential(
            username=os.environ[self._username], password=os.environ[self._password], version="environment"
        )
