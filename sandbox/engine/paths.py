"""Property paths: ``tags.owner``, ``list[0].name``, ``map["a.b"]``, with ``*`` for every key or index.

The grammar is that of Pulumi's ``ignore_changes`` and ``replace_on_changes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandbox.engine.values import Secret

Step = str | int
Path = tuple[Step, ...]
ANY = "*"


@lru_cache(maxsize=4096)
def parse(text: str) -> Path:
    """Split a path into keys (text) and indexes (numbers). Raises ValueError for an open bracket or quote, or a dot at an end."""
    if text.startswith(".") or text.endswith("."):
        raise ValueError(f"property path {text!r}: expected a name or an index at both ends")
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
                at += rest.startswith('\\"', at)
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


def with_ignored(
    inputs: dict[str, Any], old: dict[str, Any], ignored: Sequence[str], unfit: list[str] | None = None
) -> dict[str, Any]:
    """The inputs with every ignored path as it was before, secret where it was secret.

    A path that leads through something that is not there ignores nothing; ``unfit`` gets it.
    """
    if not ignored:
        return inputs
    result: dict[str, Any] = _copy(inputs)
    for text in ignored:
        try:
            path = parse(text)
        except ValueError:
            continue  # what no property can match ignores nothing
        if path and not _reset(path, _Side(old, False), _Side(result, False)) and unfit is not None:
            unfit.append(text)
    return result


@dataclass(frozen=True, slots=True)
class _Side:
    """A value on the way down a path, and whether it is, or is in, a secret."""

    value: Any
    secret: bool

    def at(self, step: Step) -> _Side:
        """What is there; nothing, where a key is missing."""
        value, secret = self.value.get(step) if isinstance(step, str) else self.value[step], self.secret
        return _Side(value.value, True) if isinstance(value, Secret) else _Side(value, secret)


def _copy(value: Any) -> Any:
    if isinstance(value, Secret):
        return Secret(_copy(value.value))
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _take(step: Step, old: _Side, new: _Side) -> None:
    value = _copy(old.value[step])
    new.value[step] = Secret(value) if old.secret and not new.secret else value


def _reset(path: Path, old: _Side, new: _Side) -> bool:
    """Give ``new`` what ``old`` has at the path, in place; False where the path does not fit."""
    step, rest = path[0], path[1:]
    if step == ANY:
        return _reset_all(rest, old, new)
    kind = list if isinstance(step, int) else dict
    before, after = isinstance(old.value, kind), isinstance(new.value, kind)
    if isinstance(step, str) and not rest:
        if before and step in old.value:
            if after:
                _take(step, old, new)
            return after
        if after:
            new.value.pop(step, None)
        return True
    if not before or not after:
        return not before and not after
    had, has = (step < len(side.value) if isinstance(step, int) else step in side.value for side in (old, new))
    if isinstance(step, str):  # what is below a key that is new was not there before, and goes
        return _reset(rest, old.at(step), new.at(step)) if has else not had
    if not had or not has:
        return not rest and not had and not has
    if rest:
        return _reset(rest, old.at(step), new.at(step))
    _take(step, old, new)
    return True


def _reset_all(rest: Path, old: _Side, new: _Side) -> bool:
    if isinstance(old.value, dict) and isinstance(new.value, dict):
        if not rest:
            for key in [key for key in new.value if key not in old.value]:
                del new.value[key]
            for key in old.value:
                _take(key, old, new)
            return True
        steps: list[Step] = [key for key in old.value if key in new.value]
        complete = len(steps) == len(old.value)
    elif isinstance(old.value, list) and isinstance(new.value, list):
        steps = list(range(min(len(old.value), len(new.value))))
        complete = True  # what was added to a list is as the program wants it
        if not rest:
            for step in steps:
                _take(step, old, new)
            return True
    else:
        return not rest and isinstance(new.value, dict | list)
    fits = [_reset(rest, old.at(step), new.at(step)) for step in steps]
    return complete and all(fits)
