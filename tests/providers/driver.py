"""Drives a provider the way an engine does, in the same process or over gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckRequest,
    ConfigureRequest,
    CreateRequest,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    Provider,
    ReadRequest,
    UpdateRequest,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.values import Properties, plain_map, wrap

Unknown = PropertyValue(UNKNOWN)


def secret(value: Any) -> PropertyValue:
    return wrap(value, secret=True)


class CheckFailed(Exception):
    def __init__(self, failures: list[tuple[str, str]]) -> None:
        self.failures = failures
        super().__init__(str(failures))


def configure(provider: Provider, **settings: Any) -> None:
    request = ConfigureRequest({}, {name: wrap(value) for name, value in settings.items()}, True, True)
    asyncio.run(provider.configure(request))


def invoke(provider: Provider, token: str, **args: Any) -> Properties:
    answer = asyncio.run(provider.invoke(InvokeRequest(token, {k: wrap(v) for k, v in args.items()})))
    if answer.failures:
        raise CheckFailed([(item.property, item.reason) for item in answer.failures])
    assert answer.return_value is not None
    return answer.return_value


@dataclass
class Driven:
    """One resource with its state, as an engine keeps it."""

    provider: Provider
    type: str
    name: str = "it"
    id: str | None = None
    inputs: Properties = field(default_factory=dict)
    state: Properties = field(default_factory=dict)

    @property
    def urn(self) -> str:
        return f"urn:pulumi:dev::strongroom::{self.type}::{self.name}"

    @property
    def values(self) -> dict[str, Any]:
        return plain_map(self.state)

    def check(self, **inputs: Any) -> Properties:
        given = {name: wrap(value) for name, value in inputs.items()}
        answer = asyncio.run(self.provider.check(CheckRequest(self.urn, self.inputs, given, b"")))
        if answer.failures:
            raise CheckFailed([(item.property, item.reason) for item in answer.failures])
        assert answer.inputs is not None
        return answer.inputs

    def diff(self, **inputs: Any) -> DiffResponse:
        assert self.id is not None
        return self._diff(self.check(**inputs))

    def _diff(self, checked: Properties) -> DiffResponse:
        return asyncio.run(self.provider.diff(DiffRequest(self.urn, self.id or "", self.state, checked, [])))

    def preview(self, **inputs: Any) -> Properties:
        checked = self.check(**inputs)
        if self.id is None:
            return asyncio.run(self.provider.create(CreateRequest(self.urn, checked, 0, True))).properties
        request = UpdateRequest(self.urn, self.id, self.state, checked, 0, [], True)
        return asyncio.run(self.provider.update(request)).properties

    def up(self, timeout: float = 0, **inputs: Any) -> str:
        """Bring it to these inputs, and tell how: create, same, update or replace."""
        checked = self.check(**inputs)
        if self.id is None:
            self._create(checked, timeout)
            return "create"
        diff = self._diff(checked)
        if not diff.changes:
            self.inputs = checked
            return "same"
        if not diff.replaces:
            request = UpdateRequest(self.urn, self.id, self.state, checked, timeout, [], False)
            self.state = asyncio.run(self.provider.update(request)).properties
            self.inputs = checked
            return "update"
        old = Driven(self.provider, self.type, self.name, self.id, self.inputs, self.state)
        if diff.delete_before_replace:
            old.delete()
            self._create(checked, timeout)
        else:
            self._create(checked, timeout)
            old.delete()
        return "replace"

    def _create(self, checked: Properties, timeout: float) -> None:
        answer = asyncio.run(self.provider.create(CreateRequest(self.urn, checked, timeout, False)))
        self.id, self.state, self.inputs = answer.resource_id, answer.properties, checked

    def read(self) -> bool:
        """Refresh; whether it is still there."""
        assert self.id is not None
        answer = asyncio.run(self.provider.read(ReadRequest(self.urn, self.id, self.state, self.inputs)))
        if not answer.resource_id:
            return False
        self.state, self.inputs = answer.properties, answer.inputs
        return True

    def imported(self, resource_id: str) -> bool:
        self.id, self.state, self.inputs = resource_id, {}, {}
        return self.read()

    def delete(self, timeout: float = 0) -> None:
        assert self.id is not None
        asyncio.run(self.provider.delete(DeleteRequest(self.urn, self.id, self.state, timeout)))
        self.id = None
