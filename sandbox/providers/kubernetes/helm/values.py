"""A chart's values: read by dotted path, with what is wrong collected instead of raised."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.kubernetes.resource import Problem
from sandbox.providers.values import has_unknown


class Values:
    """The values of one release. A value that is not known yet reads as its default."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.problems: list[Problem] = []
        self._read: set[str] = set()

    def problem(self, path: str, reason: str) -> None:
        self.problems.append(Problem(f"values.{path}" if path else "values", reason))

    def raw(self, path: str) -> Any:
        """The value at the path; None where there is none, or it is not known yet."""
        self._read.add(path.split(".")[0])
        found: Any = self._values
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return None if found == UNKNOWN else found

    def flag(self, path: str, default: bool) -> bool:
        """A boolean, also as the text ``true`` or ``false``."""
        value = self.raw(path)
        if value is None or value in ("", "-"):
            return default
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
        self.problem(path, f"expected true or false, got {value!r}")
        return default

    def text(self, path: str, default: str = "") -> str:
        """A text; a number is taken as one."""
        value = self.raw(path)
        if value is None or value == "":
            return default
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        self.problem(path, f"expected a text, got {type(value).__name__}")
        return default

    def number(self, path: str, default: int) -> int:
        value = self.raw(path)
        if value is None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problem(path, f"expected a whole number from 0, got {value!r}")
        return default

    def texts(self, path: str) -> dict[str, str]:
        """A map of texts, without what is not known yet."""
        value = self.raw(path)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(key): str(item) for key, item in value.items() if not has_unknown(item) and item is not None}
        self.problem(path, f"expected a map of texts, got {type(value).__name__}")
        return {}

    def list(self, path: str) -> list[Any]:
        value = self.raw(path)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self.problem(path, f"expected a list, got {type(value).__name__}")
        return []

    def refuse(self, path: str, reason: str) -> None:
        """A value that may only be absent, empty or false."""
        if self.raw(path) not in (None, "", False, 0, "false", "-") and self.raw(path) != [] and self.raw(path) != {}:
            self.problem(path, reason)

    def misspelt(self, also: Iterable[str] = ()) -> None:
        """A key that is nearly one that matters is taken for a mistake; other unknown keys shape Pods, as far as we know."""
        known = self._read | set(also)
        lowered = {name.lower(): name for name in known}
        for key in self._values:
            if key in known:
                continue
            near = lowered.get(key.lower()) or next(iter(difflib.get_close_matches(key, sorted(known), 1, 0.9)), None)
            if near is not None:
                self.problem(key, f"the chart has no such value; did you mean {near!r}?")
