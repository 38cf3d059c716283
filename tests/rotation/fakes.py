"""A source whose answers the test decides. Only where a real one cannot be made to answer so."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

from rotation import Credential, Source, SourceUnavailable


class Scripted(Source):
    """Gives what ``value`` holds; fails with ``error`` while it is set; counts the fetches."""

    name = "scripted"

    def __init__(
        self, value: Credential | None = None, *, poll_interval: float | None = None, delay: float = 0.0
    ) -> None:
        self.value = value
        self.error: Exception | None = None
        self.fetches = 0
        self.at_once = self.most_at_once = 0
        self.poll_interval = poll_interval
        self.once: list[Credential] = []
        self.revoked: list[Credential] = []
        self.fetched_at: list[float] = []
        self._delay = delay
        self._lock = threading.Lock()

    def set(self, username: str, word: str, **more: object) -> None:
        self.value = Credential(username=username, password=word, **more)  # type: ignore[arg-type]

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.fetches += 1
            self.fetched_at.append(time.monotonic())
            time.sleep(self._delay)
            if self.error is not None:
                raise self.error
            if self.once:
                return self.once.pop(0)
            if self.value is None:
                raise SourceUnavailable("scripted: nothing yet")
            return self.value
        finally:
            with self._lock:
                self.at_once -= 1

    def revoke(self, credential: Credential) -> None:
        self.revoked.append(credential)
