"""Providers in this process: loading their classes, and calling one as the protocol would.

A provider is a subclass of ``pulumi.provider.experimental.Provider``; every configuration of it is an instance of its own.
Its methods run on the engine's event loop, many at once; one that blocks has to use threads of its own.

Beyond the SDK's methods a provider may have ``async def recover(self, request: CreateRequest) -> CreateResponse | None``: it
is asked, after a run was killed in the middle of a create, whether that create took effect. With it nothing is made twice.
"""

from __future__ import annotations

import importlib
import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi.provider.experimental import provider as sdk

from sandbox.engine.errors import ProviderError, UsageError
from sandbox.engine.values import (
    RESOURCE,
    SIGNATURE,
    Properties,
    Secret,
    copy_secrets,
    from_properties,
    has_unknown,
    to_properties,
    unwrap,
)

_KINDS = {
    sdk.PropertyDiffKind.ADD: "add",
    sdk.PropertyDiffKind.ADD_REPLACE: "add-replace",
    sdk.PropertyDiffKind.DELETE: "delete",
    sdk.PropertyDiffKind.DELETE_REPLACE: "delete-replace",
    sdk.PropertyDiffKind.UPDATE: "update",
    sdk.PropertyDiffKind.UPDATE_REPLACE: "update-replace",
}


@dataclass(slots=True, frozen=True)
class Change:
    """One entry of a detailed diff: ``kind`` is add, delete or update, with ``-replace`` where it replaces."""

    kind: str
    input_diff: bool = True

    def replacing(self) -> Change:
        return self if self.kind.endswith("-replace") else Change(self.kind + "-replace", self.input_diff)

    def inverted(self) -> Change:
        """As seen from the other side: what was added is deleted."""
        word, dash, rest = self.kind.partition("-")
        word = {"add": "delete", "delete": "add"}.get(word, word)
        return Change(word + dash + rest, self.input_diff)


@dataclass(slots=True)
class Diff:
    """What differs. ``changes`` is None where the provider does not know."""

    changes: bool | None = None
    replace_keys: list[str] = field(default_factory=list)
    changed_keys: list[str] = field(default_factory=list)
    stable_keys: list[str] = field(default_factory=list)
    detailed: dict[str, Change] = field(default_factory=dict)
    delete_before_replace: bool = False
    unavailable: bool = False  # the provider's settings are not known yet: anything may differ
    triggered: bool = False  # the replacement trigger changed

    @property
    def replaces(self) -> bool:
        return (
            self.triggered
            or bool(self.replace_keys)
            or any(change.kind.endswith("-replace") for change in self.detailed.values())
        )


@dataclass(slots=True)
class Read:
    """What a provider found; without an ID there is nothing."""

    id: str
    outputs: Properties
    inputs: Properties | None


class OperationFailed(Exception):
    """A provider refused. ``partial`` holds what there is nevertheless, where it says so."""

    def __init__(self, message: str, *, where: str = "", partial: Partial | None = None) -> None:
        self.message, self.where, self.partial = message, where, partial
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.where}" if self.where else self.message


@dataclass(slots=True)
class Partial:
    """A resource that exists but did not become what it was waited for."""

    id: str
    outputs: Properties
    inputs: Properties
    reasons: list[str]


class Provider:
    """One configured provider."""

    def __init__(self, package: str, instance: sdk.Provider) -> None:
        self.package = package
        self.instance = instance
        self.accepts_secrets = True
        self.accepts_resources = True
        self.supports_preview = True
        self.configured = False

    # -- its own settings -------------------------------------------------------------------------------------------

    async def check_config(
        self, urn: str, old: Properties, new: Properties
    ) -> tuple[Properties, list[tuple[str, str]]]:
        # It is not known yet whether the provider takes secrets.
        request = sdk.CheckRequest(urn, to_properties(old, secrets=False), to_properties(new, secrets=False), b"")
        response = await self._call(self.instance.check_config(request))
        inputs = new if response.inputs is None else from_properties(response.inputs)
        copy_secrets(inputs, new)
        return inputs, [(failure.property, failure.reason) for failure in response.failures or ()]

    async def diff_config(self, urn: str, identifier: str, old: Properties, new: Properties) -> Diff:
        request = sdk.DiffRequest(
            urn, identifier, to_properties(old, secrets=False), to_properties(new, secrets=False), []
        )
        return _diff(await self._call(self.instance.diff_config(request)))

    async def configure(self, inputs: Properties) -> None:
        """Unknown settings leave it unconfigured: then it only says that nothing is known."""
        if has_unknown(inputs):
            return
        variables = {
            f"{self.package}:config:{key}": value if isinstance(value, str) else json.dumps(value)
            for key, value in unwrap(inputs).items()
            if key != "version"
        }
        request = sdk.ConfigureRequest(variables, to_properties(inputs), accept_secrets=True, accept_resources=True)
        response = await self._call(self.instance.configure(request))
        self.accepts_secrets = response.accept_secrets
        self.accepts_resources = response.accept_resources
        self.supports_preview = response.supports_preview
        self.configured = True

    # -- resources --------------------------------------------------------------------------------------------------

    def _out(self, values: Mapping[str, Any]) -> Any:
        if not self.accepts_resources:
            values = {key: _without_references(value) for key, value in values.items()}
        return to_properties(values, secrets=self.accepts_secrets)

    async def check(
        self, urn: str, old: Properties, new: Properties, seed: bytes
    ) -> tuple[Properties, list[tuple[str, str]]]:
        if not self.configured:
            return new, []
        request = sdk.CheckRequest(urn, self._out(old), self._out(new), seed)
        response = await self._call(self.instance.check(request))
        inputs = new if response.inputs is None else from_properties(response.inputs)
        if not self.accepts_secrets:
            copy_secrets(inputs, new)
        return inputs, [(failure.property, failure.reason) for failure in response.failures or ()]

    async def diff(
        self, urn: str, identifier: str, outputs: Properties, new: Properties, ignored: Sequence[str]
    ) -> Diff:
        if not self.configured:
            return Diff(changes=True, unavailable=True)
        request = sdk.DiffRequest(urn, identifier, self._out(outputs), self._out(new), list(ignored))
        return _diff(await self._call(self.instance.diff(request)))

    async def create(
        self,
        urn: str,
        inputs: Properties,
        seconds: float,
        *,
        preview: bool,
    ) -> tuple[str, Properties]:
        if preview and not self.configured:
            return "", {}
        if preview and not self.supports_preview:
            return "", dict(inputs)
        request = sdk.CreateRequest(urn, self._out(inputs), seconds, preview)
        response = await self._call(self.instance.create(request))
        outputs = from_properties(response.properties)
        if not self.accepts_secrets:
            copy_secrets(outputs, inputs)
        if not preview and not response.resource_id:
            raise OperationFailed(f"the {self.package} provider's create returned no id")
        return response.resource_id or "", outputs

    async def update(
        self,
        urn: str,
        identifier: str,
        old: Properties,
        new: Properties,
        seconds: float,
        ignored: Sequence[str],
        *,
        preview: bool,
    ) -> Properties:
        if preview and not self.configured:
            return {}
        if preview and not self.supports_preview:
            return dict(new)
        request = sdk.UpdateRequest(urn, identifier, self._out(old), self._out(new), seconds, list(ignored), preview)
        response = await self._call(self.instance.update(request))
        outputs = from_properties(response.properties)
        if not self.accepts_secrets:
            copy_secrets(outputs, new)
        return outputs

    async def delete(self, urn: str, identifier: str, outputs: Properties, seconds: float) -> None:
        request = sdk.DeleteRequest(urn, identifier, self._out(outputs), seconds)
        await self._call(self.instance.delete(request))

    async def read(self, urn: str, identifier: str, outputs: Properties, inputs: Properties) -> Read:
        request = sdk.ReadRequest(urn, identifier, self._out(outputs), self._out(inputs))
        response = await self._call(self.instance.read(request))
        found = from_properties(response.properties)
        found_inputs = from_properties(response.inputs)
        if not self.accepts_secrets:
            copy_secrets(found, outputs)
            copy_secrets(found_inputs, inputs)
        return Read(response.resource_id or "", found, found_inputs or None)

    async def recover(self, urn: str, inputs: Properties) -> tuple[str, Properties] | None:
        """What an interrupted create made, where the provider can tell; see the module's text."""
        ask = getattr(self.instance, "recover", None)
        if ask is None:
            return None
        response = await self._call(ask(sdk.CreateRequest(urn, self._out(inputs), 0, preview=False)))
        if response is None or not response.resource_id:
            return None
        return response.resource_id, from_properties(response.properties)

    @property
    def can_recover(self) -> bool:
        return hasattr(self.instance, "recover")

    async def invoke(self, token: str, args: Properties) -> tuple[Properties, list[tuple[str, str]]]:
        response = await self._call(self.instance.invoke(sdk.InvokeRequest(token, self._out(args))))
        return from_properties(response.return_value), [
            (item.property, item.reason) for item in response.failures or ()
        ]

    async def _call(self, awaitable: Any) -> Any:
        try:
            return await awaitable
        except Exception as error:  # whatever it is, it is this resource's error
            raise _failure(error) from error


def _failure(error: Exception) -> OperationFailed:
    message = str(error) or type(error).__name__
    if all(hasattr(error, name) for name in ("resource_id", "properties", "inputs", "reasons")):
        found: Any = error
        partial = Partial(
            found.resource_id, from_properties(found.properties), from_properties(found.inputs), list(found.reasons)
        )
        return OperationFailed(message, partial=partial)
    where = ""
    if type(error).__module__ == "builtins":  # not an error that the provider's author made for its users
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1]
        where = f"({type(error).__name__} at {Path(last.filename).name}:{last.lineno} in {last.name}: {last.line})"
    return OperationFailed(message, where=where)


def _diff(response: sdk.DiffResponse) -> Diff:
    return Diff(
        changes=response.changes,
        replace_keys=list(response.replaces or ()),
        changed_keys=list(response.diffs or ()),
        stable_keys=list(response.stables or ()),
        detailed={
            path: Change(_KINDS[change.kind], bool(change.input_diff))
            for path, change in (response.detailed_diff or {}).items()
        },
        delete_before_replace=bool(response.delete_before_replace),
    )


def _without_references(value: Any) -> Any:
    if isinstance(value, Secret):
        return Secret(_without_references(value.value))
    if isinstance(value, list):
        return [_without_references(item) for item in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == RESOURCE:
            return value.get("id") or value["urn"]
        return {key: _without_references(item) for key, item in value.items()}
    return value


class Loader:
    """The provider classes that a run may use, by package."""

    def __init__(self, locations: Sequence[str]) -> None:
        """``locations``: ``module:Class``, or ``package=module:Class`` where the class does not tell its package."""
        for location in locations:
            module, _, name = location.rpartition("=")[2].partition(":")
            if not module or not name:
                raise UsageError(
                    f"--provider {location}: expected module:Class, for example sandbox.providers.vault:VaultProvider"
                )
        self._locations = list(locations)
        self._classes: dict[str, type[sdk.Provider]] | None = None

    async def load(self, package: str) -> Provider:
        """A new instance, not yet configured. Raises ProviderError for a package that no provider has."""
        if self._classes is None:
            self._classes = {}
            for location in self._locations:
                name, class_ = await self._load(location)
                if name in self._classes and self._classes[name] is not class_:
                    raise ProviderError(f"--provider: two providers for the package {name!r}; leave one out")
                self._classes[name] = class_
        if package not in self._classes:
            known = ", ".join(sorted(self._classes)) or "none"
            raise ProviderError(
                f"no provider for the package {package!r} (given: {known}); add --provider module:Class of the class that has it"
            )
        return Provider(package, self._classes[package]())

    @staticmethod
    async def _load(location: str) -> tuple[str, type[sdk.Provider]]:
        package, _, place = location.rpartition("=")
        module, _, name = place.partition(":")
        try:
            class_ = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise ProviderError(f"--provider {location}: cannot import {module}: {error}") from error
        except AttributeError:
            raise ProviderError(f"--provider {location}: {module} has no {name}") from None
        if not (isinstance(class_, type) and issubclass(class_, sdk.Provider)):
            raise ProviderError(
                f"--provider {location}: {name} is not a subclass of pulumi.provider.experimental.Provider"
            )
        if not package:
            own = getattr(class_, "package", None)
            package = own if isinstance(own, str) else await _package_of(class_, location)
        return package, class_


async def _package_of(class_: type[sdk.Provider], location: str) -> str:
    try:
        response = await class_().get_schema(sdk.GetSchemaRequest(0))
        return str(json.loads(response.schema or "")["name"])
    except Exception as error:
        raise ProviderError(
            f"--provider {location}: its schema does not name its package ({error}); write package={location}"
        ) from error
