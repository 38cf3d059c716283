"""Policy packs: what they say of a resource before its step, and of the stack at the end."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.engine import urns
from sandbox.engine.errors import ResourceError
from sandbox.engine.policy import Policy

if TYPE_CHECKING:
    from sandbox.engine.config import StackConfig
    from sandbox.engine.deployment import Deployment
    from sandbox.engine.goal import Goal
    from sandbox.engine.state import Resource

MANDATORY = ("mandatory", "remediate")


class Packs(Policy):
    """Asks ``sandbox.engine.analyzer.PolicyPacks``."""

    def __init__(self, packs: Any, deployment: Deployment) -> None:
        self._packs = packs
        self._deployment = deployment

    @classmethod
    async def start(
        cls,
        folders: Sequence[Path],
        configs: Sequence[Path | None],
        deployment: Deployment,
        settings: StackConfig,
        environment: Mapping[str, str],
        organization: str,
    ) -> Packs:
        """``configs`` has the configuration file of the pack at the same place in ``folders``."""
        packs = importlib.import_module("sandbox.engine.analyzer").PolicyPacks()
        await packs.start(
            list(folders),
            deployment.project,
            deployment.stack,
            dict(settings.values),
            configs=list(configs),
            organization=organization,
            dry_run=deployment.preview,
            secret_keys=sorted(settings.secret_keys),
            environment=environment,
            tell=deployment.tell,
        )
        return cls(packs, deployment)

    def _fields(self, resource: Resource, goal: Goal | None, properties: Any) -> dict[str, Any]:
        provider = self._deployment.provider_states.get(resource.provider_urn) if resource.provider else None
        return {
            "urn": resource.urn,
            "type": resource.type,
            "name": urns.name_of(resource.urn),
            "properties": properties,
            "parent": resource.parent,
            "dependencies": resource.dependencies,
            "property_dependencies": resource.property_dependencies,
            "options": {
                "protect": resource.protect,
                "ignore_changes": resource.ignore_changes,
                "delete_before_replace": None if goal is None else goal.delete_before_replace,
                "additional_secret_outputs": resource.additional_secret_outputs,
                "aliases": [] if goal is None else [alias.urn for alias in goal.aliases if alias.urn],
                "custom_timeouts": resource.custom_timeouts,
                "parent": resource.parent,
            },
            "provider": None
            if provider is None
            else {
                "urn": provider.urn,
                "type": provider.type,
                "name": urns.name_of(provider.urn),
                "properties": provider.inputs,
            },
        }

    async def analyze(self, resource: Resource, goal: Goal) -> None:
        self._deployment.redactor.learn(resource.inputs)  # a pack is sent secrets, and may say them
        remedied = await self._packs.remediate(**self._fields(resource, goal, resource.inputs))
        if remedied is not None:
            resource.inputs = remedied
        violations = await self._packs.analyze(**self._fields(resource, goal, resource.inputs))
        if self._report(violations, resource.urn) and not self._deployment.preview:
            raise ResourceError(resource.urn, "a mandatory policy is violated")

    async def analyze_stack(self, resources: Iterable[Resource]) -> None:
        fields = [self._fields(resource, None, resource.outputs or resource.inputs) for resource in resources]
        if self._report(await self._packs.analyze_stack(fields), self._deployment.root_urn):
            if self._deployment.preview:
                return
            self._deployment.fail_quietly()

    def _report(self, violations: Sequence[Any], default: str) -> bool:
        """Tell of each violation; whether one is mandatory."""
        found = False
        for violation in violations:
            mandatory = violation.level in MANDATORY
            found = found or mandatory
            message = f"policy {violation.policy}: {violation.message}"
            if mandatory:
                self._deployment.mark_failed()
            self._deployment.violated(violation, "error" if mandatory else "warning", message, violation.urn or default)
        return found

    async def close(self) -> None:
        closing = self._packs.close()
        if inspect.isawaitable(closing):
            await closing
