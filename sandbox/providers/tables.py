"""Check and diff by a table of fields: for resource types that are alike but for names, types and rules."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pulumi.provider.experimental.provider import CheckFailure, DiffResponse, PropertyDiff, PropertyDiffKind
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.values import Properties, is_unknown, plain, wrap

Shape = Literal["string", "integer", "boolean", "list", "set", "map", "object"]
_SHAPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "boolean": ((bool,), "a boolean"),
    "list": ((list,), "a list"),
    "set": ((list,), "a list"),
    "map": ((dict,), "a map"),
    "object": ((dict,), "an object"),
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One property of a resource type."""

    shape: Shape = "string"
    required: bool = False
    replaces: bool = False  # a change replaces the resource
    secret: bool = False  # always secret, whatever the program says
    default: Any = None  # filled in by check
    computed: bool = False  # left out by the program, the server decides: no difference then
    silent: bool = False  # a change alone is no difference (write-only values, applied when their version changes)
    choices: tuple[Any, ...] = ()
    same: Callable[[Any, Any], bool] | None = None  # whether two values mean the same; default: equality
    fields: Mapping[str, Field] | None = None  # of an object

    @property
    def expected(self) -> str:
        text = _SHAPES[self.shape][1]
        return f"one of {', '.join(map(repr, self.choices))}" if self.choices else text


Fields = Mapping[str, Field]


def failures(given: Properties, fields: Mapping[str, Field], *, owner: str, path: str = "") -> Iterator[CheckFailure]:
    """What is wrong with the given properties: unknown, missing, or of another type. Never quotes a value."""
    for name in sorted(given):
        where = f"{path}{name}"
        value = given[name]
        if value.value is None or name.startswith("__"):
            continue
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(fields))}"
            yield CheckFailure(where, f"{owner} has no property {where!r}; {hint}")
            continue
        field = fields[name]
        if is_unknown(value):
            continue
        data = plain(value)
        types = _SHAPES[field.shape][0]
        wrong = not isinstance(data, types) or (isinstance(data, bool) and bool not in types)
        if wrong or (field.choices and data not in field.choices):
            yield CheckFailure(where, f"{where} must be {field.expected}, not {_called(data)}")
        elif field.fields is not None and isinstance(value.value, Mapping):
            yield from failures(dict(value.value), field.fields, owner=owner, path=f"{where}.")
    for name, field in fields.items():
        if field.required and (name not in given or given[name].value is None):
            yield CheckFailure(f"{path}{name}", f"{owner} needs {path}{name} ({field.expected})")


def _called(data: Any) -> str:
    names = {bool: "a boolean", int: "a number", float: "a fraction", str: "this string", list: "a list", dict: "a map"}
    return names.get(type(data), type(data).__name__)


def completed(given: Properties, fields: Mapping[str, Field]) -> Properties:
    """The properties without nulls, with defaults, and with the marks of fields that are always secret."""
    result: Properties = {name: value for name, value in given.items() if value.value is not None}
    for name, field in fields.items():
        value = result.get(name)
        if value is None:
            if field.default is None:
                continue
            value = wrap(field.default)
        elif field.fields is not None and isinstance(value.value, Mapping):
            value = value.with_value(completed(dict(value.value), field.fields))
        result[name] = value.with_secret(True) if field.secret else value
    return result


@dataclass(frozen=True)
class Difference:
    path: str
    kind: Literal["ADD", "DELETE", "UPDATE"]
    replaces: bool


def compare(old: Mapping[str, Any], new: Mapping[str, Any], fields: Fields, path: str = "") -> Iterator[Difference]:
    """Where new inputs differ from the old state (both plain data), field by field."""
    for name, field in fields.items():
        if field.silent:
            continue
        before, after = old.get(name), new.get(name)
        if after is None and field.computed:
            continue
        where = f"{path}{name}"
        if field.same is not None and before is not None and after is not None:
            if not field.same(before, after):
                yield Difference(where, "UPDATE", field.replaces)
        elif field.fields is not None and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from compare(before, after, field.fields, f"{where}.")
        elif field.shape == "map" and isinstance(before, Mapping) and isinstance(after, Mapping):
            for key in sorted(before.keys() | after.keys()):
                step = f'["{key}"]' if "." in key else f".{key}"
                yield from _single(f"{where}{step}", before.get(key), after.get(key), field.replaces)
        elif field.shape == "set" and isinstance(before, list) and isinstance(after, list):
            if UNKNOWN in after or sorted(map(str, before)) != sorted(map(str, after)):
                yield Difference(where, "UPDATE", field.replaces)
        else:
            yield from _single(where, before, after, field.replaces)


def _single(path: str, before: Any, after: Any, replaces: bool) -> Iterator[Difference]:
    if before is None and after is not None:
        yield Difference(path, "ADD", replaces)
    elif before is not None and after is None:
        yield Difference(path, "DELETE", replaces)
    elif before != after:
        yield Difference(path, "UPDATE", replaces)


def response(found: Iterable[Difference], *, ignored: Collection[str] = (), same_id: bool = False) -> DiffResponse:
    """The answer to Diff. ``same_id``: the new resource would take the old one's place, so that one must go first."""
    kept = [item for item in found if not any(below(item.path, path) for path in ignored)]
    replaces = sorted({_top(item.path) for item in kept if item.replaces})
    return DiffResponse(
        changes=bool(kept),
        replaces=replaces,
        diffs=sorted({_top(item.path) for item in kept}),
        detailed_diff={
            item.path: PropertyDiff(
                PropertyDiffKind[item.kind + ("_REPLACE" if item.replaces else "")], input_diff=True
            )
            for item in kept
        },
        delete_before_replace=bool(replaces) and same_id,
    )


def without_silent(given: Properties, fields: Fields) -> Properties:
    """The properties without write-only values, which no state has: for outputs."""
    result: Properties = {}
    for name, value in given.items():
        field = fields.get(name)
        if field is not None and field.silent:
            continue
        if field is not None and field.fields is not None and isinstance(value.value, Mapping):
            value = value.with_value(without_silent(dict(value.value), field.fields))
        result[name] = value
    return result


def _top(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]


def below(path: str, ignored: str) -> bool:
    """Whether a property's path is that of an ignored one, or of a part of it."""
    return path == ignored or path.startswith((f"{ignored}.", f"{ignored}["))
