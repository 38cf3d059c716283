"""DynamicProvider: resources whose provider is part of the program (``pulumi.dynamic``).

The SDK serialises such a provider into the resource's input ``__provider``; here it is brought to life again, in this
process, as the SDK's own dynamic plugin does in its own (``pulumi/dynamic/__main__.py``).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import dill  # type: ignore[import-untyped]
from pulumi.dynamic import ResourceProvider
from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    GetSchemaRequest,
    GetSchemaResponse,
    Provider,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from sandbox.providers.values import Properties, echo_map, has_unknown, plain_map, unknown, wrap

PACKAGE = "pulumi-python"
PROVIDER_KEY = "__provider"


@lru_cache(maxsize=64)
def _loaded(serialised: str) -> ResourceProvider:
    provider = dill.loads(base64.b64decode(serialised))  # noqa: S301 - the program's own code, which runs anyway
    if not isinstance(provider, ResourceProvider):
        raise TypeError(
            f"{PROVIDER_KEY}: holds a {type(provider).__name__}, expected a pulumi.dynamic.ResourceProvider"
        )
    return provider


def _provider(data: Mapping[str, Any]) -> ResourceProvider:
    return _loaded(data[PROVIDER_KEY])


def _outputs(outputs: Mapping[str, Any], inputs: Properties) -> Properties:
    """Outputs as property values; what came in as a secret under the same name stays one."""
    found = {
        name: wrap(value, secret=name in inputs and inputs[name].is_secret)
        for name, value in outputs.items()
        if value is not None
    }
    return {**found, PROVIDER_KEY: echo_map(inputs)[PROVIDER_KEY]}


class DynamicProvider(Provider):
    """See the module's docstring. Calls of a provider's methods are blocking, so they run in worker threads."""

    package = PACKAGE

    async def get_schema(self, request: GetSchemaRequest) -> GetSchemaResponse:
        del request
        return GetSchemaResponse(json.dumps({"name": PACKAGE, "version": "0.1.0", "resources": {}}))

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        del request
        return ConfigureResponse(
            accept_secrets=True, supports_preview=True, accept_resources=False, accept_outputs=False
        )

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        return CheckResponse(inputs=request.new_inputs)

    async def check(self, request: CheckRequest) -> CheckResponse:
        new = plain_map(request.new_inputs)
        old = plain_map(request.old_inputs or {})
        result = await asyncio.to_thread(_provider(new).check, old, dict(new))
        failures = [CheckFailure(failure.property, failure.reason) for failure in result.failures]
        if result.inputs == new:
            return CheckResponse(inputs=echo_map(request.new_inputs), failures=failures)
        return CheckResponse(inputs=_outputs(result.inputs, request.new_inputs), failures=failures)

    async def diff(self, request: DiffRequest) -> DiffResponse:
        old, new = plain_map(request.old_state), plain_map(request.new_inputs)
        if has_unknown(new):
            return DiffResponse(changes=True, replaces=[])
        result = await asyncio.to_thread(_provider(new).diff, request.resource_id, old, new)
        changes = result.changes if result.changes is not None else _inputs_of(old, new) != new
        return DiffResponse(
            changes=bool(changes or result.replaces),
            replaces=list(result.replaces or []),
            delete_before_replace=bool(result.delete_before_replace),
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        data = plain_map(request.properties)
        if request.preview or has_unknown(data):
            return CreateResponse(None, _preview(request.properties))
        result = await asyncio.to_thread(_provider(data).create, data)
        return CreateResponse(result.id, _outputs(result.outs or {}, request.properties))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        new = plain_map(request.news)
        if request.preview or has_unknown(new):
            return UpdateResponse(_preview({**request.olds, **request.news}))
        result = await asyncio.to_thread(_provider(new).update, request.resource_id, plain_map(request.olds), new)
        return UpdateResponse(_outputs(result.outs or {}, request.news))

    async def read(self, request: ReadRequest) -> ReadResponse:
        known = request.properties or request.inputs
        data = plain_map(known)
        if PROVIDER_KEY not in data:
            raise ValueError("a dynamic resource cannot be imported: its provider is in the program only")
        result = await asyncio.to_thread(_provider(data).read, request.resource_id, data)
        return ReadResponse(result.id or "", _outputs(result.outs or {}, known), echo_map(request.inputs))

    async def delete(self, request: DeleteRequest) -> None:
        data = plain_map(request.properties)
        await asyncio.to_thread(_provider(data).delete, request.resource_id, data)


def _inputs_of(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: old[name] for name in new if name in old}


def _preview(properties: Properties) -> Properties:
    """What a change will give is known to nobody yet, but for what is given."""
    outputs = {name: unknown(secret=value.is_secret) for name, value in properties.items() if value.value is None}
    return {**outputs, **echo_map(properties)}
