"""Property paths: ``tags.owner``, ``list[0].name``, ``map["a.b"]``, with ``*`` for every key or index.

The grammar is that of Pulumi's ``ignore_changes`` and ``replace_on_changes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sandbox.engine.errors import EngineError
from sandbox.engine.values import Secret

Step = str | int
Path = tuple[Step, ...]
ANY = "*"
_ABSENT: Any = object()


@lru_cache(maxsize=4096)
def parse(text: str) -> Path:
    """Split a path into keys (text) and indexes (numbers). Raises ValueError for an open bracket or quote."""
    steps: list[Step] = []
    rest = text
    while rest:
        if rest[0] == ".":
            rest = rest[1:]
            continue
        if rest[0] != "[":
            end = min((i for i in (rest.find("."), rest.find("[")) if i >= 0), default=len(rest))
            steps.append(rest[:end])
            rest = rest[end:]
            continue
        if rest.startswith('["'):
            key, at = [], 2
            while at < len(rest) and rest[at] != '"':
                at += rest[at] == "\\"
                key.append(rest[at : at + 1])
                at += 1
            if rest[at : at + 2] != '"]':
                raise ValueError(f"property path {text!r}: missing closing quote or bracket")
            steps.append("".join(key))
            rest = rest[at + 2 :]
            continue
        end = rest.find("]")
        if end < 0:
            raise ValueError(f"property path {text!r}: missing closing bracket")
        index = rest[1:end]
        if index == ANY:
            steps.append(ANY)
        elif index.isdigit():
            steps.append(int(index))
        else:
            raise ValueError(f"property path {text!r}: {index!r} is neither a number nor *")
        rest = rest[end + 1 :]
    return tuple(steps)


def contains(path: Path, other: Path) -> bool:
    """Whether ``other`` is the path itself or below it; ``*`` stands for any one step."""
    if len(other) < len(path):
        return False
    return all(step in (ANY, at) for step, at in zip(path, other, strict=False))


def covers(paths: Sequence[str], changed: str) -> bool:
    """Whether one of the paths covers a changed one. Paths that cannot be read cover nothing."""
    try:
        at = parse(changed)
    except ValueError:
        return False
    return any(contains(parse(path), at) for path in paths)


def with_ignored(inputs: dict[str, Any], old: dict[str, Any], ignored: Sequence[str]) -> dict[str, Any]:
    """The inputs with every ignored path as it was before.

    Raises EngineError where a path leads through something that is not there.
    """
    if not ignored:
        return inputs
    result: Any = inputs
    wrong = []
    for text in ignored:
        try:
            path = parse(text)
        except ValueError:
            continue  # what no property can match ignores nothing
        changed = _reset(path, old, result)
        if changed is None:
            wrong.append(text)
        else:
            result = changed[0]
    if wrong:
        named = ", ".join(repr(path) for path in wrong)
        raise EngineError(
            "cannot ignore changes to the following properties because one or more elements of the path are missing: "
            + named
        )
    checked: dict[str, Any] = result
    return checked


def _reset(path: Path, old: Any, new: Any) -> tuple[Any] | None:
    """``new`` with what ``old`` has at the path, as a 1-tuple (the value may be absent); None where it does not fit."""
    if not path:
        return (old,)
    step, rest = path[0], path[1:]
    if isinstance(new, Secret):
        inner = _reset(path, old.value if isinstance(old, Secret) else old, new.value)
        return None if inner is None else (inner[0] if inner[0] is _ABSENT else Secret(inner[0]),)
    if isinstance(old, Secret):
        old = old.value
    if step == ANY:
        return _reset_all(rest, old, new)
    if isinstance(step, str):
        return _reset_key(step, rest, old, new)
    if isinstance(old, list) and isinstance(new, list):
        if step >= len(old) and step >= len(new):
            return (new,)
        if step >= len(old) or step >= len(new):
            return None
        changed = _reset(rest, old[step], new[step])
        return None if changed is None else ([*new[:step], changed[0], *new[step + 1 :]],)
    return None if isinstance(new, list) or isinstance(old, list) else (new,)


def _reset_key(key: str, rest: Path, old: Any, new: Any) -> tuple[Any] | None:
    if old is _ABSENT or old is None:
        old = {}
    if new is _ABSENT or new is None:
        if not isinstance(old, dict) or key not in old:
            return (new,)
        if not rest:
            return ({key: old[key]},)
        return None
    if not isinstance(new, dict) or not isinstance(old, dict):
        return None if isinstance(new, dict) else (new,)
    if not rest:
        changed = {name: value for name, value in new.items() if name != key}
        if key in old:
            changed[key] = old[key]
        return (changed,)
    if key not in old and key not in new:
        return (new,)
    below = _reset(rest, old.get(key, _ABSENT), new.get(key, _ABSENT))
    if below is None:
        return None
    if below[0] is _ABSENT:
        return ({name: value for name, value in new.items() if name != key},)
    return ({**new, key: below[0]},)


def _reset_all(rest: Path, old: Any, new: Any) -> tuple[Any] | None:
    if isinstance(new, list):
        if not rest:
            return (old,) if isinstance(old, list) else None
        if not isinstance(old, list) or len(old) != len(new):
            return None
        items = [_reset(rest, before, after) for before, after in zip(old, new, strict=True)]
        return None if None in items else ([item[0] for item in items if item is not None],)
    if isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        if not rest:
            return (dict(before),)
        result: Any = new
        for key in list(new) + [key for key in before if key not in new]:
            changed = _reset_key(key, rest, before, result)
            if changed is None:
                return None
            result = changed[0]
        return (result,)
    return (new,)
