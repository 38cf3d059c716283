"""The probe's provider with a slow cloud, which can tell what an interrupted create made."""

from __future__ import annotations

import asyncio
import os

import probe
from pulumi.provider.experimental.provider import (
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    UpdateRequest,
    UpdateResponse,
)

DELAY = float(os.environ.get("SLOW_PROBE_DELAY", "0.05"))


class SlowProbe(probe.ProbeProvider):
    """Each operation takes a while before and after it takes effect."""

    package = "probe"

    async def create(self, request: CreateRequest) -> CreateResponse:
        if not request.preview:
            await asyncio.sleep(DELAY)
        response = await super().create(request)
        if not request.preview:
            await asyncio.sleep(DELAY)
        return response

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        if not request.preview:
            await asyncio.sleep(DELAY)
        return await super().update(request)

    async def delete(self, request: DeleteRequest) -> None:
        await asyncio.sleep(DELAY)
        await super().delete(request)
        await asyncio.sleep(DELAY)

    async def recover(self, request: CreateRequest) -> CreateResponse | None:
        wanted = {key: probe.plain(value) for key, value in probe.given(request.properties).items()}
        with self.cloud.open(write=False) as cloud:
            for identifier, thing in cloud["things"].items():
                if thing["name"] == request.name and thing["inputs"] == wanted:
                    return CreateResponse(identifier, self._outputs(identifier, thing, probe.given(request.properties)))
        return None
