"""The clock by which credentials age: seconds since boot, counted through suspend, deaf to changes of the wall clock.

``time.monotonic`` stands still while a laptop or a virtual machine sleeps (CLOCK_MONOTONIC on Linux), and a lease does
not; CLOCK_BOOTTIME counts on. Where there is none, ``time.monotonic`` is what is left.
"""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Seconds on a clock that never goes back."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:  # pragma: no cover - other systems than Linux

    def now() -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()


def from_wall(timestamp: float) -> float:
    """A moment of the wall clock (seconds since 1970) on this clock. Asked once per fetch, so a later jump cannot matter."""
    return now() + (timestamp - time.time())
