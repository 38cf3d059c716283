"""The configured providers of a run: explicit ones, default ones (one per package, version and URL), and those of the old state.

A provider is itself a resource of the state; ``ProviderResources`` does for such resources what a provider does for others.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from sandbox.engine import builtin, urns
from sandbox.engine.errors import ConfigError, ResourceError
from sandbox.engine.goal import Goal, ProviderRequest
from sandbox.engine.providers import Diff, Loader, Provider
from sandbox.engine.values import UNKNOWN, Properties, unwrap

if TYPE_CHECKING:
    from sandbox.engine.deployment import Deployment
    from sandbox.engine.state import Resource

INTERNAL = "__internal"


def settings(inputs: Properties) -> Properties:
    """A provider resource's inputs without the engine's own."""
    return {key: value for key, value in inputs.items() if key != INTERNAL}


class Registry:
    """Providers by reference (``URN::ID``)."""

    def __init__(self, deployment: Deployment, loader: Loader, config: Callable[[str], Properties]) -> None:
        """``config`` gives the stack's settings for a package, which are the default provider's inputs."""
        self._deployment = deployment
        self._loader = loader
        self._config = config
        self._live: dict[str, Provider] = {}
        self._defaults: dict[tuple[str, str, str], asyncio.Future[str]] = {}
        self._loading: dict[str, asyncio.Lock] = {}
        self.resources = ProviderResources(deployment, self)
        self.register: Callable[[Goal], Awaitable[Resource]] | None = None  # set by the planner

    async def load(self, package: str) -> Provider:
        if package == builtin.PACKAGE:
            return Provider(package, builtin.Builtin(self._deployment.outputs_of))
        return await self._loader.load(package)

    def put(self, resource: Resource, provider: Provider) -> None:
        """A provider resource's provider is ready. In a preview a new one's ID is not known yet."""
        self._live[reference(resource)] = provider

    def drop(self, resource: Resource) -> None:
        self._live.pop(reference(resource), None)

    def get(self, urn: str, wanted: str) -> Provider:
        """The provider of a resource of this run. Raises ResourceError where there is none of that reference."""
        provider = self._live.get(wanted)
        if provider is None:
            raise ResourceError(urn, f"unknown provider {wanted!r} for resource {urn!r}")
        return provider

    async def ensure(self, wanted: str) -> Provider:
        """The provider of an old resource, made from the old state where this run does not have it."""
        provider = self._live.get(wanted)
        if provider is not None:
            return provider
        async with self._loading.setdefault(wanted, asyncio.Lock()):
            if wanted in self._live:
                return self._live[wanted]
            urn, identifier = urns.split_reference(wanted)
            for resource in self._deployment.old_list:
                if resource.urn == urn and resource.id == identifier:
                    provider = await self.load(urns.package_of(resource.type))
                    await provider.configure(settings(resource.inputs))
                    self._live[wanted] = provider
                    return provider
        raise ResourceError("", f"the state has no provider {wanted!r}, which a resource in it refers to")

    def denied(self, package: str) -> bool:
        """Whether the setting ``pulumi:disable-default-providers`` (a JSON list of packages, or ``*``) forbids its default one."""
        if package == builtin.PACKAGE:
            return False
        text = str(unwrap(self._config("pulumi").get("disable-default-providers", "")))
        try:
            listed = json.loads(text or "[]")
        except json.JSONDecodeError:
            listed = None
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise ConfigError(
                f'pulumi:disable-default-providers: expected a JSON list of package names, or ["*"], found {text!r}'
            )
        return bool({"*", package} & {item.strip() for item in listed})

    async def default(self, request: ProviderRequest) -> str:
        """The reference of the default provider for a package; registers it when it is first asked for."""
        key = (request.package, request.version, request.url)
        if key in self._defaults:
            return await asyncio.shield(self._defaults[key])
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._defaults[key] = future
        try:
            inputs = dict(self._config(request.package))
            internal: Properties = {}
            if request.version:
                inputs["version"] = request.version
            if request.url:
                internal["pluginDownloadURL"] = request.url
            inputs[INTERNAL] = internal
            assert self.register is not None
            resource = await self.register(
                Goal(
                    type=urns.PROVIDER_PREFIX + request.package,
                    name=urns.default_provider_name(request.version, request.url),
                    custom=True,
                    inputs=inputs,
                )
            )
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # whoever else waits gets it; nobody may
            raise
        future.set_result(reference(resource))
        return future.result()


def denial(package: str, what: str) -> str:
    """What is told where a default provider is wanted and forbidden."""
    return f"Default provider for '{package}' disabled. '{what}' must use an explicit provider."


def reference(resource: Resource) -> str:
    return f"{resource.urn}::{resource.id or UNKNOWN}"


class ProviderResources:
    """Check, diff, create, update and delete of provider resources."""

    configured = True

    def __init__(self, deployment: Deployment, registry: Registry) -> None:
        self._deployment = deployment
        self._registry = registry
        self._checked: dict[str, Provider] = {}

    async def check(
        self, urn: str, old: Properties, new: Properties, seed: bytes
    ) -> tuple[Properties, list[tuple[str, str]]]:
        del seed
        provider = await self._registry.load(urns.package_of(urns.type_of(urn)))
        self._checked[urn] = provider
        inputs, failures = await provider.check_config(urn, settings(old), settings(new))
        return {**inputs, INTERNAL: new.get(INTERNAL, {})}, failures

    async def diff(
        self, urn: str, identifier: str, outputs: Properties, new: Properties, ignored: Sequence[str]
    ) -> Diff:
        del ignored
        provider = self._checked.get(urn) or await self._registry.load(urns.package_of(urns.type_of(urn)))
        diff = await provider.diff_config(urn, identifier, outputs, settings(new))
        if diff.replaces:
            diff.changes = True
        elif diff.changes is None:
            diff.changes = outputs != settings(new)
        return diff

    async def create(
        self,
        urn: str,
        inputs: Properties,
        seconds: float,
        *,
        preview: bool,
    ) -> tuple[str, Properties]:
        del seconds
        await self._configure(urn, inputs)
        return "" if preview else str(uuid.uuid4()), settings(inputs)

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
        del identifier, old, seconds, ignored, preview
        await self._configure(urn, new)
        return settings(new)

    async def delete(self, urn: str, identifier: str, outputs: Properties, seconds: float) -> None:
        """There is nothing to do: nothing of it is anywhere but in the state."""

    async def _configure(self, urn: str, inputs: Properties) -> None:
        if urn not in self._checked:
            self._checked[urn] = await self._registry.load(urns.package_of(urns.type_of(urn)))
        await self._checked[urn].configure(settings(inputs))

    async def ready(self, resource: Resource) -> None:
        """A provider resource stays as it is: configure its provider and offer it."""
        await self._configure(resource.urn, resource.inputs)
        self.offer(resource)

    def offer(self, resource: Resource) -> None:
        self._registry.put(resource, self._checked[resource.urn])
