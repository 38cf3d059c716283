"""Serve a provider over gRPC, so that the real engine can attach to it.

    python -m sandbox.providers.vault            # prints its port
    PULUMI_DEBUG_PROVIDERS=vault:PORT pulumi up

The SDK's own host knows no ``Attach``, which an engine calls on a provider that it did not start itself, and turns every
error into a traceback; this one answers both as the providers written in Go do.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from sandbox.providers.errors import InitializationFailed


class Servicer(ProviderServicer):
    """The SDK's host with ``Attach``, and with errors that say what went wrong and nothing else."""

    def __init__(self, version: str, provider: Provider) -> None:
        super().__init__([], version, provider, engine_address="")

    async def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del context
        self._engine_address = request.address
        return empty_pb2.Empty()


def _plain_errors(name: str) -> Any:
    # The SDK wraps each method so that an error carries a Python traceback; the undecorated one is inside.
    decorated = getattr(ProviderServicer, name)
    inner = decorated.__closure__[0].cell_contents

    async def method(self: Servicer, request: Any, context: Any) -> Any:
        try:
            return await inner(self, request, context)
        except NotImplementedError:
            raise
        except InitializationFailed as error:
            # rich status detail: the resource exists, but did not become ready
            detail = provider_pb2.ErrorResourceInitFailed(
                id=error.resource_id,
                properties=PropertyValue.marshal_map(error.properties),
                inputs=PropertyValue.marshal_map(error.inputs),
                reasons=error.reasons,
            )
            packed = any_pb2.Any()
            packed.Pack(detail)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the engine shows it at the resource
            await context.abort(grpc.StatusCode.UNKNOWN, str(error) or type(error).__name__)

    method.__name__ = name
    return method


for _name in ("Create", "Update", "Delete", "Read", "Check", "CheckConfig", "Configure", "Diff", "Invoke"):
    setattr(Servicer, _name, _plain_errors(_name))


async def serve(provider: Provider, version: str) -> None:
    """Listen on a free port of 127.0.0.1, print it, and serve until terminated."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(version, provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def main(provider: Provider, version: str) -> None:
    """For a provider's ``__main__``. An engine that starts it as a plugin passes its address, which is not needed."""
    try:
        asyncio.run(serve(provider, version))
    except KeyboardInterrupt:
        return
