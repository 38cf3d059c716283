"""RandomProvider: resource types of pulumi-random, drawn anew only when an input (``keepers``, say) changes.

Source of types, names and defaults: pulumi-random 4.21.4. ``seed`` is refused where the real provider takes it: a value
drawn from a seed can be drawn by anyone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.random import generate
from sandbox.providers.table_provider import TableProvider, bare_type
from sandbox.providers.tables import Field, Fields
from sandbox.providers.values import Properties, echo_map, has_unknown, plain_map, unknown, wrap

VERSION = "4.21.4"


def _field(shape: Any = "string", **more: Any) -> Field:
    return Field(shape=shape, replaces=True, **more)


_KEEPERS = {"keepers": _field("map")}
_TEXT: Fields = {
    "length": _field("integer", required=True),
    "lower": _field("boolean", default=True),
    "upper": _field("boolean", default=True),
    "numeric": _field("boolean", default=True),
    "number": _field("boolean", default=True),  # the old name of numeric
    "special": _field("boolean", default=True),
    "minLower": _field("integer", default=0),
    "minUpper": _field("integer", default=0),
    "minNumeric": _field("integer", default=0),
    "minSpecial": _field("integer", default=0),
    "overrideSpecial": _field(),
    **_KEEPERS,
}
_MINIMA = {"minLower": "lower", "minUpper": "upper", "minNumeric": "numeric", "minSpecial": "special"}


@dataclass(frozen=True)
class Kind:
    """One resource type: its inputs, how a value is drawn, and which outputs there are."""

    fields: Fields
    draw: generate.Generator
    outputs: tuple[str, ...]
    secret: bool = False  # the outputs are


_PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105 - a type token
_STRING = "random:index/randomString:RandomString"

KINDS: Mapping[str, Kind] = {
    _PASSWORD: Kind(_TEXT, generate.password, ("result", "bcryptHash"), secret=True),
    _STRING: Kind(_TEXT, generate.string_, ("result",)),
    "random:index/randomId:RandomId": Kind(
        {"byteLength": _field("integer", required=True), "prefix": _field(), **_KEEPERS},
        generate.id_,
        ("b64Url", "b64Std", "hex", "dec"),
    ),
    "random:index/randomBytes:RandomBytes": Kind(
        {"length": _field("integer", required=True), **_KEEPERS}, generate.bytes_, ("base64", "hex"), secret=True
    ),
    "random:index/randomPet:RandomPet": Kind(
        {
            "length": _field("integer", default=2),
            "separator": _field(default="-"),
            "prefix": _field(),
            **_KEEPERS,
        },
        generate.pet,
        (),
    ),
    "random:index/randomUuid:RandomUuid": Kind(_KEEPERS, generate.uuid_, ("result",)),
    "random:index/randomInteger:RandomInteger": Kind(
        {"min": _field("integer", required=True), "max": _field("integer", required=True), **_KEEPERS},
        generate.integer,
        ("result",),
    ),
}


class RandomProvider(TableProvider):
    """See the module's docstring."""

    package = "random"
    version = VERSION
    tables: ClassVar[Mapping[str, Fields]] = {token: kind.fields for token, kind in KINDS.items()}

    def named(self, request: CheckRequest, given: Properties) -> Properties:
        if bare_type(request.type) not in (_PASSWORD, _STRING):
            return given
        old_name = given.get("number")
        numeric = given.get("numeric") or old_name
        return {**given, "numeric": numeric, "number": numeric} if numeric is not None else given

    def contradictions(self, token: str, inputs: Mapping[str, Any]) -> list[CheckFailure]:
        del token
        known = {name: value for name, value in inputs.items() if value != UNKNOWN}
        found = [
            CheckFailure(name, f"{name} must be at least {least}, not {known[name]}")
            for name, least in {"length": 1, "byteLength": 1, **dict.fromkeys(_MINIMA, 0)}.items()
            if name in known and known[name] < least
        ]
        if "min" in known and "max" in known and known["min"] > known["max"]:
            found.append(CheckFailure("min", f"min ({known['min']}) must not be above max ({known['max']})"))
        if "lower" in known and not found:
            needed = sum(known.get(name, 0) for name in _MINIMA)
            if needed > known.get("length", needed):
                found.append(
                    CheckFailure("length", f"length ({known['length']}) must hold all minima ({needed} together)")
                )
            if not any(known.get(name, True) for name in _MINIMA.values()):
                found.append(CheckFailure("lower", "leave at least one of lower, upper, numeric and special on"))
        return found

    async def create(self, request: CreateRequest) -> CreateResponse:
        kind = self._kind(request.type)
        inputs = echo_map(request.properties)
        data = plain_map(request.properties)
        if request.preview or has_unknown(data):
            return CreateResponse(None, {**inputs, **{name: unknown(secret=kind.secret) for name in kind.outputs}})
        drawn_id, outputs = kind.draw(data)
        return CreateResponse(drawn_id, {**inputs, **self._wrapped(kind, outputs)})

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        # Every input replaces; an engine that updates all the same (ignore_changes aside) keeps what was drawn.
        kind = self._kind(request.type)
        kept = {name: request.olds[name] for name in kind.outputs if name in request.olds}
        return UpdateResponse({**echo_map(request.news), **kept})

    async def read(self, request: ReadRequest) -> ReadResponse:
        """What was drawn is in the state only; without one, the id of an import is the value itself."""
        kind = self._kind(request.type)
        known = echo_map(request.properties)
        if all(name in known for name in kind.outputs) and (known or request.inputs):
            return ReadResponse(request.resource_id, known, echo_map(request.inputs))
        new_id, inputs, outputs = self._imported(bare_type(request.type), request.resource_id)
        return ReadResponse(new_id, {**inputs, **self._wrapped(kind, outputs)}, inputs)

    async def delete(self, request: DeleteRequest) -> None:
        self._kind(request.type)  # nothing exists but the state

    def _kind(self, type_: str) -> Kind:
        self.fields(type_)
        return KINDS[bare_type(type_)]

    @staticmethod
    def _wrapped(kind: Kind, outputs: Mapping[str, Any]) -> Properties:
        return {name: wrap(value, secret=kind.secret) for name, value in outputs.items()}

    @staticmethod
    def _imported(token: str, value: str) -> tuple[str, Properties, dict[str, Any]]:
        name = token.rpartition(":")[2]
        if token in (_PASSWORD, _STRING):
            inputs = {
                "length": wrap(len(value)),
                **{n: wrap(f.default) for n, f in _TEXT.items() if f.default is not None},
            }
            if token == _PASSWORD:
                return "none", inputs, generate.password_outputs(value)
            return value, inputs, {"result": value}
        if name == "RandomUuid":
            return value, {}, {"result": value}
        if name == "RandomId":
            prefix, _, body = value.rpartition(",")
            drawn = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            new_id, outputs = generate.id_outputs(drawn, prefix)
            given: Properties = {"byteLength": wrap(len(drawn)), **({"prefix": wrap(prefix)} if prefix else {})}
            return new_id, given, outputs
        if name == "RandomInteger":
            parts = value.split(",")
            if len(parts) != 3:
                raise ValueError(f"random: import an integer by RESULT,MIN,MAX, not {value!r}")
            result, low, high = (int(part) for part in parts)
            return str(result), {"min": wrap(low), "max": wrap(high)}, {"result": result}
        raise ValueError(f"random: {token} cannot be imported")
