"""What providers by table have in common: schema, check and diff."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    Provider,
)

from sandbox.providers.tables import Field, Fields, compare, completed, failures, response
from sandbox.providers.values import Properties, plain_map

_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "list": {"type": "array", "items": {"$ref": "pulumi.json#/Any"}},
    "set": {"type": "array", "items": {"$ref": "pulumi.json#/Any"}},
    "map": {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}},
    "object": {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}},
}


def bare_type(type_: str) -> str:
    """The resource's own type: in a nested resource the URN's type part is qualified with its parents' types."""
    return type_.rpartition("$")[2]


class TableProvider(Provider):
    """A provider whose resource types are a table of fields.

    A subclass sets ``package``, ``version``, ``tables`` and ``settings``, and adds create, read, update and delete.
    """

    package: ClassVar[str]
    version: ClassVar[str]
    tables: ClassVar[Mapping[str, Fields]]  # by resource type token
    settings: ClassVar[Fields] = {}  # the provider's own inputs

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        del request
        resources = {
            token: {
                "inputProperties": {name: self._schema(field) for name, field in fields.items()},
                "requiredInputs": sorted(name for name, field in fields.items() if field.required),
                "properties": {name: self._schema(field) for name, field in fields.items()},
            }
            for token, fields in self.tables.items()
        }
        provider = {"inputProperties": {name: self._schema(field) for name, field in self.settings.items()}}
        return GetSchemaResponse(
            json.dumps({"name": self.package, "version": self.version, "provider": provider, "resources": resources})
        )

    @staticmethod
    def _schema(field: Field) -> dict[str, Any]:
        return {**_TYPES[field.shape], **({"secret": True} if field.secret else {})}

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        del request
        # Not accept_outputs: the SDK's gRPC host cannot read an unknown output value.
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=True, accept_outputs=False
        )

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        # The values themselves are not checked: an engine sends those that are no strings as JSON text.
        wrong = [
            CheckFailure(name, f"the {self.package} provider has no input {name!r}; it has: {', '.join(self.settings)}")
            for name in sorted(request.new_inputs)
            if name not in self.settings and name != "version" and not name.startswith("__")
        ]
        return CheckResponse(inputs=request.new_inputs, failures=wrong)

    def fields(self, type_: str) -> Fields:
        """The table of a resource type. Raises ValueError for a type that the provider does not have."""
        token = bare_type(type_)
        if token not in self.tables:
            known = ", ".join(sorted(self.tables))
            raise ValueError(f"the sandbox's {self.package} provider has no resource type {token!r}; it has: {known}")
        return self.tables[token]

    async def check(self, request: CheckRequest) -> CheckResponse:
        try:
            fields = self.fields(request.type)
        except ValueError as error:
            return CheckResponse(inputs=request.new_inputs, failures=[CheckFailure("", str(error))])
        named = self.named(request, request.new_inputs)
        wrong = list(failures(named, fields, owner=bare_type(request.type)))
        inputs = completed(named, fields)
        if not wrong:
            wrong = self.contradictions(bare_type(request.type), plain_map(inputs))
        return CheckResponse(inputs=inputs, failures=wrong)

    def named(self, request: CheckRequest, given: Properties) -> Properties:
        """The inputs with a name made up, where the type has one and the program gave none."""
        del request
        return given

    def contradictions(self, token: str, inputs: Mapping[str, Any]) -> list[CheckFailure]:
        """What no single field shows: inputs that do not go together (plain data; unknowns are the sentinel)."""
        del token, inputs
        return []

    async def diff(self, request: DiffRequest) -> DiffResponse:
        fields = self.fields(request.type)
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        found = compare(old, new, fields)
        return response(
            found, ignored=request.ignore_changes, same_id=self.takes_the_same_place(bare_type(request.type), old, new)
        )

    def takes_the_same_place(self, token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        """Whether a replacement would collide with what it replaces."""
        del token, old, new
        return False
