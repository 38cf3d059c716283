"""Errors that every provider may raise.

InitializationFailed   the resource exists, but did not become what it was waited for
EndpointRefused        the endpoint is not on loopback
"""

from __future__ import annotations

from sandbox.providers.values import Properties


class InitializationFailed(Exception):
    """The resource exists, but did not become ready: the engine keeps it in the state and reports ``reasons``.

    Over gRPC it becomes the protocol's ErrorResourceInitFailed; an engine in the same process reads the attributes.
    """

    def __init__(self, resource_id: str, properties: Properties, inputs: Properties, reasons: list[str]) -> None:
        self.resource_id, self.properties, self.inputs, self.reasons = resource_id, properties, inputs, reasons
        super().__init__("; ".join(reasons))


class EndpointRefused(Exception):
    """The sandbox's providers talk to loopback only: ``setting`` names the input or variable that said otherwise."""

    def __init__(self, setting: str, endpoint: str) -> None:
        super().__init__(
            f"{setting} is {endpoint!r}: the sandbox's providers talk to 127.0.0.1, ::1 and localhost only; "
            "use the Pulumi CLI and the real provider for anything else"
        )
