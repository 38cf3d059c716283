"""A provider that does nothing, at once."""

from __future__ import annotations

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    Provider,
    UpdateRequest,
    UpdateResponse,
)


class NoopProvider(Provider):
    package = "noop"

    async def diff(self, request: DiffRequest) -> DiffResponse:
        changed = request.old_state.get("value") != request.new_inputs.get("value")
        return DiffResponse(changes=changed, diffs=["value"] if changed else [])

    async def create(self, request: CreateRequest) -> CreateResponse:
        return CreateResponse(request.name, {**request.properties, "size": PropertyValue(1.0)})

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        return UpdateResponse({**request.news, "size": PropertyValue(1.0)})

    async def delete(self, request: DeleteRequest) -> None:
        return None
