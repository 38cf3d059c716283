"""The difference between two objects, for providers that leave it to the engine."""

from __future__ import annotations

import json
import re
from typing import Any

from sandbox.engine.providers import Change
from sandbox.engine.values import Secret

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$-]*")
_ABSENT: Any = object()


def join(path: str, key: str) -> str:
    """A property path one key further: ``tags.owner``, ``tags["a.b"]``."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def object_diff(old: Any, new: Any, path: str = "") -> dict[str, Change]:
    """Every path that was added, deleted or updated; secret marks make no difference."""
    if isinstance(old, Secret):
        old = old.value
    if isinstance(new, Secret):
        new = new.value
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, Change] = {}
        for key in [*new, *(key for key in old if key not in new)]:
            before, after = old.get(key), new.get(key)
            at = join(path, key)
            if before is None or after is None:
                if before is not None:
                    found[at] = Change("delete")
                elif after is not None:
                    found[at] = Change("add")
            else:
                found.update(object_diff(before, after, at))
        return found
    if isinstance(old, list) and isinstance(new, list):
        found = {}
        for index in range(max(len(old), len(new))):
            at = f"{path}[{index}]"
            if index >= len(old):
                found[at] = Change("add")
            elif index >= len(new):
                found[at] = Change("delete")
            else:
                found.update(object_diff(old[index], new[index], at))
        return found
    return {} if old == new else {path: Change("update")}
