"""A provider with what the probe does not have: partial failures, time-outs, a diff left to the engine, assets."""

from __future__ import annotations

import asyncio
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    ConfigureRequest,
    ConfigureResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    InvokeRequest,
    InvokeResponse,
    Provider,
    UpdateRequest,
    UpdateResponse,
)

calls: list[tuple[Any, ...]] = []


class NotReady(Exception):
    def __init__(
        self, resource_id: str, properties: dict[str, PropertyValue], inputs: dict[str, PropertyValue]
    ) -> None:
        self.resource_id, self.properties, self.inputs = resource_id, properties, inputs
        self.reasons = ["its pods do not start"]
        super().__init__("it is there but did not become ready")


class OddProvider(Provider):
    package = "odd"
    previews = True
    ready = True

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        return ConfigureResponse(accept_secrets=True, supports_preview=self.previews)

    async def create(self, request: CreateRequest) -> CreateResponse:
        if not request.preview:
            calls.append(("create", request.name, request.timeout))
            await asyncio.sleep(0)
        if not self.ready and not request.preview:
            raise NotReady("odd-1", dict(request.properties), dict(request.properties))
        return CreateResponse("odd-1", dict(request.properties))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        if not request.preview:
            calls.append(("update", request.name, request.timeout))
        return UpdateResponse(dict(request.news))

    async def delete(self, request: DeleteRequest) -> None:
        calls.append(("delete", request.name, request.timeout))

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        if request.tok.endswith(":raise"):
            raise RuntimeError("the function fails")
        return InvokeResponse({"echo": request.args["text"]})


class UnreadyProvider(OddProvider):
    ready = False


class TalkativeProvider(OddProvider):
    async def create(self, request: CreateRequest) -> CreateResponse:
        print("making", request.name)
        return await super().create(request)


class NoPreviewProvider(OddProvider):
    previews = False


class ForgetfulProvider(OddProvider):
    """Takes secrets, and gives their values back unmarked."""

    async def create(self, request: CreateRequest) -> CreateResponse:
        return CreateResponse("odd-1", unmarked(request.properties))

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        return UpdateResponse(unmarked(request.news))


def unmarked(properties: Any) -> dict[str, PropertyValue]:
    return {key: value.with_secret(False) for key, value in properties.items()}
