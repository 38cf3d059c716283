"""The part of kubectl's JSONPath that waits are written in: fields, indices, ``[*]`` and ``[?(@.a=="b")]``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(
    r"""
      \.(?P<field>[A-Za-z0-9_\-]+(?:\\\.[A-Za-z0-9_\-]+)*)             # .field, with \. for a dot of its name
    | \[\s*(?P<index>-?\d+)\s*\]                                       # [0]
    | \[\s*(?P<all>\*)\s*\]                                            # [*]
    | \[\s*(?P<quote>['"])(?P<key>.+?)(?P=quote)\s*\]                  # ['key']
    | \[\?\(\s*@(?P<inner>(?:\.[A-Za-z0-9_\-]+)+)\s*==\s*(?P<q2>['"]?)(?P<value>[^'"\])]*)(?P=q2)\s*\)\]
    """,
    re.VERBOSE,
)


class JsonPath:
    """One path, such as ``{.status.conditions[?(@.type=="Ready")].status}``. Raises ValueError for one it cannot read."""

    def __init__(self, text: str) -> None:
        self.text = text
        inner = text.strip().removeprefix("{").removesuffix("}").strip().removeprefix("$")
        self._steps: list[re.Match[str]] = []
        at = 0
        while at < len(inner):
            step = _STEP.match(inner, at)
            if step is None:
                raise ValueError(
                    f"jsonpath {text!r}: cannot read {inner[at:]!r}; "
                    "known are .field, [0], [*], ['key'] and [?(@.field==\"value\")]"
                )
            self._steps.append(step)
            at = step.end()
        if not self._steps:
            raise ValueError(f"jsonpath {text!r} is empty: name a field, as in {{.status.phase}}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonPath) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def find(self, value: Any) -> list[Any]:
        """All that the path finds; null counts as absent."""
        found = [value]
        for step in self._steps:
            found = [item for value in found for item in _follow(step, value)]
        return [item for item in found if item is not None]


def _follow(step: re.Match[str], value: Any) -> Iterator[Any]:
    groups = step.groupdict()
    if name := groups["field"] or groups["key"]:
        if isinstance(value, dict) and (key := name.replace("\\.", ".")) in value:
            yield value[key]
    elif not isinstance(value, list):
        return
    elif groups["all"]:
        yield from value
    elif groups["index"] is not None:
        if -len(value) <= int(groups["index"]) < len(value):
            yield value[int(groups["index"])]
    else:
        for item in value:
            inner: Any = item
            for name in groups["inner"].split(".")[1:]:
                inner = inner.get(name) if isinstance(inner, dict) else None
            if inner is not None and str(inner) == groups["value"]:
                yield item
