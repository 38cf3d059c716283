"""Between the watcher and those who must hear of a change: the pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rotation._credential import Credential


class Subscriber(Protocol):
    """What wants to know of changes: a pool."""

    def on_change(self, credential: Credential) -> bool:
        """A new credential. False: not adopted yet, tell me again. Called in the watcher's thread."""

    def on_end(self, credential: Credential) -> None:
        """This credential has ended and there is no other."""

    def in_use(self, generation: int) -> int:
        """How many connections still hold a credential of this generation."""


@dataclass
class Subscription:
    """One subscriber, and the generation that it has adopted."""

    subscriber: Subscriber
    adopted: int = 0
    tell_at: float = 0.0
    delay: float = 0.0
