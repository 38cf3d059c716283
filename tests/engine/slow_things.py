"""The probe's provider: `bad` fails while the others are still being made."""

from __future__ import annotations

import asyncio

import probe
from pulumi.provider.experimental.provider import CreateRequest, CreateResponse


class SlowThings(probe.ProbeProvider):
    package = "probe"
    _begun = asyncio.Event()

    async def create(self, request: CreateRequest) -> CreateResponse:
        if request.preview:
            return await super().create(request)
        if request.name == "bad":
            await self._begun.wait()
            raise RuntimeError("no")
        self._begun.set()
        await asyncio.sleep(2)  # the program ends meanwhile
        return await super().create(request)
