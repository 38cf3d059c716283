"""A provider by table whose resources a blocking client makes, reads, changes and deletes, in worker threads.

What a resource does is plain data in, plain data out (``Resource``); marks, unknowns, imports and redaction are done here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import (
    CheckRequest,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)

from sandbox.providers.table_provider import TableProvider, bare_type
from sandbox.providers.tables import Fields, without_silent
from sandbox.providers.values import (
    Properties,
    echo_map,
    marked_like,
    plain,
    plain_map,
    secret_texts,
    unknown,
    wrap,
)

THREADS = 16
URN = "__urn"  # beside the inputs that ``create`` gets: whom the resource is made for
T = TypeVar("T")
Values = dict[str, Any]


class Resource(Protocol):
    """One resource type. ``id`` is among the values of everything but ``create``."""

    @property
    def fields(self) -> Fields: ...
    @property
    def outputs(self) -> tuple[str, ...]:
        """What the server computes."""

    @property
    def secret_outputs(self) -> tuple[str, ...]: ...
    def create(self, client: Any, inputs: Values) -> tuple[str, Values]:
        """Make it; its id and the computed outputs."""

    def update(self, client: Any, old: Values, new: Values) -> Values:
        """Change it; the computed outputs."""

    def read(self, client: Any, known: Values) -> Values | None:
        """Inputs and outputs as they are now; None where it is gone. An import knows what ``from_id`` makes of the id."""

    def delete(self, client: Any, state: Values) -> None:
        """Remove it; absent is fine."""

    def from_id(self, resource_id: str) -> Values:
        """The inputs that an id implies."""


class ResourceProvider(TableProvider):
    """See the module's docstring. A subclass gives ``resources``, ``client`` and the errors that ``wrapped`` knows."""

    resources: Mapping[str, Resource]

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=self.package)

    def close(self) -> None:
        """Stop the threads; the provider cannot be used afterwards."""
        self._pool.shutdown(wait=True)

    def client(self, values: Values) -> Any:
        """The client for a resource with these values; called in a worker thread."""
        raise NotImplementedError

    def prepared(self, token: str, values: Values) -> Values:
        """The inputs as ``create`` and ``update`` get them: with what the provider's own settings add."""
        del token
        return values

    def wrapped(self, error: Exception, secret_values: set[str]) -> Exception:
        """The error to raise in place of a client's: the server's own message, with nothing secret in it."""
        raise NotImplementedError

    def resource(self, type_: str) -> Resource:
        """The resource type. Raises ValueError for one that the provider does not have."""
        self.fields(type_)
        return self.resources[bare_type(type_)]

    @staticmethod
    def made_up_name(request: CheckRequest, prefix: str = "") -> str:
        """``LOGICALNAME-7HEX``, as the real providers make up."""
        seed = request.random_seed.hex()[:7] if request.random_seed else secrets.token_hex(4)[:7]
        return f"{prefix}{request.name}-{seed}"

    # -- operations ----------------------------------------------------------------------------------------------------------

    async def create(self, request: CreateRequest) -> CreateResponse:
        resource = self.resource(request.type)
        shown = without_silent(echo_map(request.properties), resource.fields)
        if request.preview:
            return CreateResponse(None, {**shown, **self._unknowns(resource)})
        inputs = {**self.prepared(bare_type(request.type), plain_map(request.properties)), URN: request.urn}
        resource_id, outputs = await self.run(
            inputs, lambda client: resource.create(client, inputs), request.properties
        )
        return CreateResponse(resource_id, {**shown, **self._outputs(resource, outputs)})

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        resource = self.resource(request.type)
        shown = without_silent(echo_map(request.news), resource.fields)
        kept = {name: request.olds[name] for name in resource.outputs if name in request.olds}
        if request.preview:
            return UpdateResponse({**self._unknowns(resource), **echo_map(kept), **shown})
        old, new = plain_map(request.olds), self.prepared(bare_type(request.type), plain_map(request.news))
        old["id"] = new["id"] = request.resource_id
        secret_values = {**request.olds, **{f"new {name}": value for name, value in request.news.items()}}
        outputs = await self.run(new, lambda client: resource.update(client, old, new), secret_values)
        return UpdateResponse({**shown, **self._outputs(resource, outputs)})

    async def read(self, request: ReadRequest) -> ReadResponse:
        resource = self.resource(request.type)
        before: Properties = {**request.properties, **request.inputs}
        known = plain_map(before) or resource.from_id(request.resource_id)
        known.setdefault("id", request.resource_id)
        live = await self.run(known, lambda client: resource.read(client, known), before)
        if live is None:
            return ReadResponse()
        properties: Properties = {}
        for name, value in live.items():
            field = resource.fields.get(name)
            if name == "id" or value is None or (field is None and name not in resource.outputs):
                continue
            always = name in resource.secret_outputs or (field is not None and field.secret)
            properties[name] = marked_like(wrap(value, secret=always), before.get(name))
        inputs = {name: value for name, value in properties.items() if name in resource.fields}
        if not request.properties and not request.inputs:  # an import
            for name, field in resource.fields.items():
                if field.default is not None and name not in inputs:
                    properties[name] = inputs[name] = wrap(field.default)
        else:
            # What only the server decided is an output, not an input that the program forgot.
            inputs = {
                name: value
                for name, value in inputs.items()
                if name in request.inputs or not resource.fields[name].computed
            }
            # A write-only value is told by no server, and in no output.
            inputs |= {
                name: v
                for name, v in request.inputs.items()
                if name in resource.fields and resource.fields[name].silent
            }
        return ReadResponse(
            str(live.get("id") or request.resource_id), without_silent(properties, resource.fields), inputs
        )

    async def delete(self, request: DeleteRequest) -> None:
        resource = self.resource(request.type)
        state = {**plain_map(request.properties), "id": request.resource_id}
        await self.run(state, lambda client: resource.delete(client, state), request.properties)

    # -- helpers -------------------------------------------------------------------------------------------------------------

    def _unknowns(self, resource: Resource) -> Properties:
        return {name: unknown(secret=name in resource.secret_outputs) for name in resource.outputs}

    @staticmethod
    def _outputs(resource: Resource, outputs: Values) -> Properties:
        secret = {name for name, field in resource.fields.items() if field.secret} | set(resource.secret_outputs)
        return {name: wrap(value, secret=name in secret) for name, value in outputs.items() if value is not None}

    async def run(self, values: Values, work: Callable[[Any], T], properties: Mapping[str, PropertyValue]) -> T:
        """Run blocking work in a thread; what is secret in the properties is blotted out of an error."""

        def task() -> T:
            return work(self.client(values))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, task)
        except Exception as error:  # noqa: BLE001 - the subclass knows its client's errors
            raise self.wrapped(error, secret_texts(properties.values())) from None


def given_name(values: Mapping[str, PropertyValue], name: str) -> bool:
    """Whether the program gave the property, be it unknown yet."""
    return plain(values.get(name)) is not None
