"""VaultProvider: the types of ``types.RESOURCES`` as a Pulumi provider.

Type tokens, property names, ids and replacement follow pulumi-vault 7.14.0; TTLs are whole seconds, as there. Different
by intent: a password is not written again by an update that does not change it; deleting a database role or connection
first revokes the leases that need it; an engine that an interrupted run enabled and left empty is taken over.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from pulumi.provider.experimental.provider import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    ConfigureRequest,
    ConfigureResponse,
    DiffRequest,
    DiffResponse,
    InvokeRequest,
    InvokeResponse,
)
from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.errors import EndpointRefused
from sandbox.providers.loopback import require_loopback
from sandbox.providers.resource_provider import ResourceProvider
from sandbox.providers.table_provider import bare_type
from sandbox.providers.tables import Field, Fields
from sandbox.providers.values import (
    Properties,
    has_unknown,
    plain,
    plain_map,
    redact,
    wrap,
)
from sandbox.providers.vault import functions
from sandbox.providers.vault.client import VaultClient
from sandbox.providers.vault.errors import InvalidInput, VaultError
from sandbox.providers.vault.kv import parsed
from sandbox.providers.vault.resource import Values, VaultField
from sandbox.providers.vault.types import RESOURCES

VERSION = "7.14.0"

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


class VaultProvider(ResourceProvider):
    """See the module's docstring. Takes ``address``, ``token`` and ``caCertFile``, else VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT."""

    package = "vault"
    version = VERSION
    tables: ClassVar[Mapping[str, Fields]] = {token: resource.fields for token, resource in RESOURCES.items()}
    settings = _SETTINGS
    resources = RESOURCES

    def __init__(self) -> None:
        super().__init__()
        self._settings: Values = {}
        self._clients: dict[str, VaultClient] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections; the provider cannot be used afterwards."""
        super().close()
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

    def client(self, values: Values) -> VaultClient:
        with self._lock:
            return self._client(values.get("namespace") or self._setting("namespace", "VAULT_NAMESPACE") or "")

    def wrapped(self, error: Exception, secret_values: set[str]) -> Exception:
        if isinstance(error, InvalidInput) or not isinstance(error, VaultError):
            return error  # quotes no value, and the caller may want the property's name
        return VaultError(f"vault: {redact(str(error), secret_values)}")

    def _client(self, space: str) -> VaultClient:
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

    def named(self, request: CheckRequest, given: Properties) -> Properties:
        """With a name made up where there is none, kept from one run to the next."""
        named = dict(given)
        for name, field in RESOURCES[bare_type(request.type)].fields.items():
            if isinstance(field, VaultField) and field.autoname and plain(given.get(name)) is None:
                named[name] = request.old_inputs.get(name) or wrap(self.made_up_name(request))
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

    # -- functions ---------------------------------------------------------------------------------------------------

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        args = plain_map(request.args)
        try:
            if request.tok == functions.POLICY_DOCUMENT:
                found = functions.policy_document(args)
            elif request.tok in functions.READING:
                function = functions.READING[request.tok]
                found = await self.run(args, lambda client: function(client, args), request.args)
            else:
                known = ", ".join(sorted([functions.POLICY_DOCUMENT, *functions.READING]))
                raise VaultError(f"the sandbox's vault provider has no function {request.tok!r}; it has: {known}")
        except InvalidInput as error:
            return InvokeResponse(failures=[CheckFailure(error.property, error.reason)])
        secret = functions.SECRET_RESULTS if request.tok in functions.READING else ()
        return InvokeResponse({name: wrap(value, secret=name in secret) for name, value in found.items()})
