"""The package ``pulumi``, which every engine has built in: ``Stash``, and ``StackReference`` to the stack itself.

There is no backend with other stacks: a reference to one of them is refused by name.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from pulumi.provider.experimental import provider as sdk
from pulumi.provider.experimental.property_value import PropertyValue

from sandbox.engine.urns import type_of
from sandbox.engine.values import Properties, has_secret, to_properties

PACKAGE = "pulumi"
STASH = "pulumi:index:Stash"
STACK_REFERENCE = "pulumi:pulumi:StackReference"
READ_STACK_OUTPUTS = "pulumi:pulumi:readStackOutputs"


class Builtin(sdk.Provider):
    """``stack_outputs`` gives the outputs that a stack had before this run; it raises EngineError for an unknown one."""

    def __init__(self, stack_outputs: Callable[[str], Properties]) -> None:
        self._stack_outputs = stack_outputs

    async def configure(self, request: sdk.ConfigureRequest) -> sdk.ConfigureResponse:
        del request
        return sdk.ConfigureResponse(accept_secrets=True, supports_preview=True, accept_resources=True)

    async def check(self, request: sdk.CheckRequest) -> sdk.CheckResponse:
        if type_of(request.urn) != STASH:
            failure = sdk.CheckFailure("", "only pulumi:index:Stash can be made; a StackReference is read")
            return sdk.CheckResponse(request.new_inputs, [failure])
        given = set(request.new_inputs)
        failures = [sdk.CheckFailure(key, f'unknown property "{key}"') for key in sorted(given - {"input"})]
        if "input" not in given:
            failures.append(sdk.CheckFailure("input", 'missing required property "input"'))
        return sdk.CheckResponse(request.new_inputs, failures)

    async def diff(self, request: sdk.DiffRequest) -> sdk.DiffResponse:
        changed = request.old_state.get("input") != request.new_inputs.get("input")
        return sdk.DiffResponse(changes=changed, diffs=["input"] if changed else [])

    async def create(self, request: sdk.CreateRequest) -> sdk.CreateResponse:
        value = request.properties["input"]
        return sdk.CreateResponse(None if request.preview else str(uuid.uuid4()), {"input": value, "output": value})

    async def update(self, request: sdk.UpdateRequest) -> sdk.UpdateResponse:
        return sdk.UpdateResponse({"input": request.news["input"], "output": request.olds["output"]})

    async def delete(self, request: sdk.DeleteRequest) -> None:
        """There is nothing of it but the state."""

    async def read(self, request: sdk.ReadRequest) -> sdk.ReadResponse:
        if type_of(request.urn) == STASH:
            return sdk.ReadResponse(request.resource_id, request.properties, request.inputs)
        return sdk.ReadResponse(request.resource_id, self._reference(request.inputs), request.inputs)

    async def invoke(self, request: sdk.InvokeRequest) -> sdk.InvokeResponse:
        if request.tok != READ_STACK_OUTPUTS:
            raise ValueError(f"unrecognized function name: '{request.tok}'")
        return sdk.InvokeResponse(self._reference(request.args))

    def _reference(self, given: dict[str, PropertyValue]) -> dict[str, PropertyValue]:
        name = str(given["name"].value)
        outputs = self._stack_outputs(name)
        return to_properties(
            {
                "name": name,
                "outputs": outputs,
                "secretOutputNames": sorted(key for key, value in outputs.items() if has_secret(value)),
            }
        )
