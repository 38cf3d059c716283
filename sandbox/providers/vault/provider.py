"""VaultProvider: the types of ``types.RESOURCES`` as a Pulumi provider.

Type tokens, property names, ids and replacement follow pulumi-vault 7.14.0; TTLs are whole seconds, as there. Different
by intent: a password is not written again by an update that does not change it; deleting a database connection first
revokes the leases that need it; an engine that an interrupted run enabled and left empty is taken over.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from pulumi.provider.experimental.property_value import PropertyValue
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
    InvokeRequest,
    InvokeResponse,
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.errors import EndpointRefused
from sandbox.providers.loopback import require_loopback
from sandbox.providers.table_provider import TableProvider, bare_type
from sandbox.providers.tables import Field, Fields
from sandbox.providers.values import (
    Properties,
    echo_map,
    has_unknown,
    marked_like,
    plain,
    plain_map,
    redact,
    secret_texts,
    unknown,
    wrap,
)
from sandbox.providers.vault import functions
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import InvalidInput, VaultError
from sandbox.providers.vault.kv import parsed
from sandbox.providers.vault.resource import Resource, Values, VaultField
from sandbox.providers.vault.types import RESOURCES

VERSION = "7.14.0"
THREADS = 16

_SETTINGS: Fields = {
    "address": Field(),
    "token": Field(secret=True),
    "caCertFile": Field(),
    "tlsServerName": Field(),
    "namespace": Field(),
    # Accepted, and without a meaning here: the token is used as it is, and the server's version is not asked for.
    "skipChildToken": Field(shape="boolean"),
    "skipGetVaultVersion": Field(shape="boolean"),
    "vaultVersionOverride": Field(),
    "addAddressToEnv": Field(),
    "maxLeaseTtlSeconds": Field(shape="integer"),
    "maxRetries": Field(shape="integer"),
    "maxRetriesCcc": Field(shape="integer"),
    "tokenName": Field(),
    "setNamespaceFromToken": Field(shape="boolean"),
}
T = TypeVar("T")


class VaultProvider(TableProvider):
    """See the module's docstring. Takes ``address``, ``token`` and ``caCertFile``, else VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT."""

    package = "vault"
    version = VERSION
    tables: ClassVar[Mapping[str, Fields]] = {token: resource.fields for token, resource in RESOURCES.items()}
    settings = _SETTINGS

    def __init__(self) -> None:
        self._settings: Values = {}
        self._clients: dict[str, VaultClient] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="vault")

    def close(self) -> None:
        """Close the connections; the provider cannot be used afterwards."""
        self._pool.shutdown(wait=True)
        for client in self._clients.values():
            client.close()

    # -- the provider itself -----------------------------------------------------------------------------------------

    async def check_config(self, request: CheckRequest) -> CheckResponse:
        checked = await super().check_config(request)
        address = plain(request.new_inputs.get("address"))
        if address and address != UNKNOWN:
            try:
                require_loopback("address", str(address))
            except EndpointRefused as error:
                checked.failures = [*(checked.failures or []), CheckFailure("address", str(error))]
        return checked

    async def diff_config(self, request: DiffRequest) -> DiffResponse:
        # `changes` and `detailed_diff` stay unset: the SDK's gRPC host garbles both for DiffConfig.
        # Another address is another server; a new token for the same one changes nothing that exists.
        old, new = plain(request.old_state.get("address")), plain(request.new_inputs.get("address"))
        return DiffResponse(replaces=["address"] if old != new and old and new else [])

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        self._settings = plain_map(request.args)
        for client in self._clients.values():
            client.close()
        self._clients = {}
        if (address := self._setting("address", "VAULT_ADDR")) and address != UNKNOWN:
            require_loopback("vault's address", address)
        return await super().configure(request)

    def _setting(self, name: str, variable: str) -> str | None:
        value = self._settings.get(name)
        return str(value) if value else os.environ.get(variable)

    def _client(self, namespace: str | None = None) -> VaultClient:
        space = namespace or self._setting("namespace", "VAULT_NAMESPACE") or ""
        if space not in self._clients:
            address, token = self._setting("address", "VAULT_ADDR"), self._setting("token", "VAULT_TOKEN")
            if not address or address == UNKNOWN:
                raise VaultError("vault: no address: set the provider's `address` or $VAULT_ADDR")
            if not token or token == UNKNOWN:
                raise VaultError("vault: no token: set the provider's `token` or $VAULT_TOKEN")
            self._clients[space] = VaultClient(
                require_loopback("vault's address", address),
                token,
                ca_file=self._setting("caCertFile", "VAULT_CACERT"),
                server_name=self._setting("tlsServerName", "VAULT_TLS_SERVER_NAME"),
                namespace=space,
            )
        return self._clients[space]

    # -- resources ---------------------------------------------------------------------------------------------------

    def _resource(self, type_: str) -> Resource:
        self.fields(type_)  # raises for a type that is not there
        return RESOURCES[bare_type(type_)]

    def named(self, request: CheckRequest, given: Properties) -> Properties:
        """With a name made up where there is none, kept from one run to the next."""
        named = dict(given)
        for name, field in RESOURCES[bare_type(request.type)].fields.items():
            if isinstance(field, VaultField) and field.autoname and plain(given.get(name)) is None:
                seed = request.random_seed.hex()[:7] if request.random_seed else secrets.token_hex(4)[:7]
                named[name] = request.old_inputs.get(name) or wrap(f"{request.name}-{seed}")
        return named

    def contradictions(self, token: str, inputs: Mapping[str, Any]) -> list[CheckFailure]:
        found: list[CheckFailure] = []
        one_of = {
            "vault:kv/secretV2:SecretV2": ("dataJson", "dataJsonWo"),
            "vault:kubernetes/authBackendRole:AuthBackendRole": (
                "boundServiceAccountNamespaces",
                "boundServiceAccountNamespaceSelector",
            ),
        }.get(token, ())
        if one_of and not any(inputs.get(name) is not None for name in one_of):
            found.append(CheckFailure(one_of[0], f"{token} needs one of {' and '.join(one_of)}"))
        for name in ("dataJson", "dataJsonWo"):
            if isinstance(inputs.get(name), str) and inputs[name] != UNKNOWN:
                try:
                    parsed(inputs, name)
                except InvalidInput as error:
                    found.append(CheckFailure(error.property, error.reason))
        for low, high in (
            ("defaultTtl", "maxTtl"),
            ("tokenTtl", "tokenMaxTtl"),
            ("defaultLeaseTtlSeconds", "maxLeaseTtlSeconds"),
        ):
            least, most = inputs.get(low), inputs.get(high)
            if isinstance(least, int) and isinstance(most, int) and 0 < most < least:
                found.append(CheckFailure(low, f"{low} ({least} s) must not be above {high} ({most} s)"))
        return found

    def takes_the_same_place(self, token: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        if has_unknown({name: new.get(name) for name in RESOURCES[token].fields}):
            return False
        return bool(new.get("namespace") == old.get("namespace")) and (
            RESOURCES[token].identity(old) == RESOURCES[token].identity(new) != ""
        )

    async def create(self, request: CreateRequest) -> CreateResponse:
        resource = self._resource(request.type)
        if request.preview:
            return CreateResponse(None, {**echo_map(request.properties), **self._unknowns(resource)})
        inputs = plain_map(request.properties)
        resource_id, outputs = await self._run(
            inputs, lambda client: resource.create(client, inputs), request.properties
        )
        return CreateResponse(resource_id, {**echo_map(request.properties), **self._outputs(resource, outputs)})

    async def update(self, request: UpdateRequest) -> UpdateResponse:
        resource = self._resource(request.type)
        kept = {name: request.olds[name] for name in resource.outputs if name in request.olds}
        if request.preview:
            return UpdateResponse({**self._unknowns(resource), **echo_map(kept), **echo_map(request.news)})
        old, new = plain_map(request.olds), plain_map(request.news)
        secret_values = {**request.olds, **{f"new {name}": value for name, value in request.news.items()}}
        outputs = await self._run(new, lambda client: resource.update(client, old, new), secret_values)
        return UpdateResponse({**echo_map(request.news), **self._outputs(resource, outputs)})

    async def read(self, request: ReadRequest) -> ReadResponse:
        resource = self._resource(request.type)
        before: Properties = {**request.properties, **request.inputs}
        known = plain_map(before)
        if not known:
            known = resource.from_id(request.resource_id)
        known.setdefault("id", request.resource_id)
        live = await self._run(known, lambda client: resource.read(client, known), before)
        if live is None:
            return ReadResponse()
        imported = not request.properties and not request.inputs
        properties: Properties = {}
        for name, value in live.items():
            field = resource.fields.get(name)
            if name == "id" or (field is None and name not in resource.outputs):
                continue
            always = name in resource.secret_outputs or (field is not None and field.secret)
            properties[name] = marked_like(wrap(value, secret=always), before.get(name))
        inputs = {name: value for name, value in properties.items() if name in resource.fields}
        if imported:
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
        return ReadResponse(request.resource_id, properties, inputs)

    async def delete(self, request: DeleteRequest) -> None:
        resource = self._resource(request.type)
        state = {**plain_map(request.properties), "id": request.resource_id}
        await self._run(state, lambda client: resource.delete(client, state), request.properties)

    def _unknowns(self, resource: Resource) -> Properties:
        return {name: unknown(secret=name in resource.secret_outputs) for name in resource.outputs}

    @staticmethod
    def _outputs(resource: Resource, outputs: Values) -> Properties:
        return {name: wrap(value, secret=name in resource.secret_outputs) for name, value in outputs.items()}

    async def _run(
        self, values: Values, work: Callable[[VaultClient], T], properties: Mapping[str, PropertyValue]
    ) -> T:
        """Run blocking work in a thread; what is secret in the properties is blotted out of an error."""

        def task() -> T:
            return work(self._client(values.get("namespace")))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, task)
        except InvalidInput:
            raise  # quotes no value, and the caller may want the property's name
        except VaultError as error:
            text = redact(str(error), secret_texts(properties.values()))
            raise VaultError(f"vault: {text}") from None

    # -- functions ---------------------------------------------------------------------------------------------------

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        args = plain_map(request.args)
        try:
            if request.tok == functions.POLICY_DOCUMENT:
                found = functions.policy_document(args)
            elif request.tok in functions.READING:
                function = functions.READING[request.tok]
                found = await self._run(args, lambda client: function(client, args), request.args)
            else:
                known = ", ".join(sorted([functions.POLICY_DOCUMENT, *functions.READING]))
                raise VaultError(f"the sandbox's vault provider has no function {request.tok!r}; it has: {known}")
        except InvalidInput as error:
            return InvokeResponse(failures=[CheckFailure(error.property, error.reason)])
        secret = functions.SECRET_RESULTS if request.tok in functions.READING else ()
        return InvokeResponse({name: wrap(value, secret=name in secret) for name, value in found.items()})
