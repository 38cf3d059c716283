"""From what a program registers to what is done: finds the old resource, checks, diffs, decides, and has the steps carried out.

The decisions, and the order in which they are taken, are those of Pulumi's step generator.
"""

from __future__ import annotations

import os
from typing import Any

from sandbox.engine import events, paths, urns
from sandbox.engine.deployment import Deployment, Stopped, same_step
from sandbox.engine.diffing import diff_resource, replace_on_changes
from sandbox.engine.errors import EngineError, ResourceError
from sandbox.engine.events import Step
from sandbox.engine.goal import Goal
from sandbox.engine.importing import import_resource
from sandbox.engine.policy import Policy
from sandbox.engine.providers import Diff, OperationFailed, Provider
from sandbox.engine.registry import ProviderResources, Registry, denial, settings
from sandbox.engine.replacing import delete_dependents, dependents_to_replace
from sandbox.engine.state import Resource
from sandbox.engine.steps import create, create_replacement, delete_old, same, update
from sandbox.engine.values import Properties, has_unknown, unwrap

AnyProvider = Provider | ProviderResources


class Planner:
    """Takes the registrations of one run. Many may be under way at once."""

    def __init__(self, deployment: Deployment, registry: Registry, policy: Policy) -> None:
        self.deployment = deployment
        self.registry = registry
        self.policy = policy
        registry.register = self.register

    async def register(self, goal: Goal) -> Resource:
        """The resource as it is after the run (in a preview: as far as is known).

        Raises Stopped, StepFailed; ResourceError and OperationFailed are reported and become Stopped.
        """
        deployment = self.deployment
        deployment.check_running()
        urn = ""
        try:
            urn = self._urn(goal)
            return await self._register(goal, urn)
        except (EngineError, OperationFailed, ValueError) as error:
            where = error.urn if isinstance(error, ResourceError) else urn
            deployment.fail(str(error), where or urn)
            raise Stopped from error

    def _urn(self, goal: Goal) -> str:
        deployment = self.deployment
        default_provider = urns.is_provider(goal.type) and urns.is_default_provider(f"::::{goal.type}::{goal.name}")
        if goal.type != urns.STACK_TYPE and not goal.parent and not default_provider:
            goal.parent = deployment.root_urn if deployment.root_urn in deployment.seen else ""
        if goal.parent and goal.parent not in deployment.seen:
            raise ResourceError("", f"could not find parent resource {goal.parent} of {goal.type} {goal.name!r}")
        urn = urns.make(deployment.stack, deployment.project, goal.parent, goal.type, goal.name)
        if urn in deployment.seen:
            raise ResourceError(urn, f"Duplicate resource URN '{urn}'; try giving it a unique name")
        deployment.seen.add(urn)
        return urn

    async def _register(self, goal: Goal, urn: str) -> Resource:
        deployment = self.deployment
        aliases = urns.expand(
            goal.aliases, deployment.stack, deployment.project, goal.parent, goal.type, goal.name, deployment.aliases
        )
        old = deployment.old_of(urn, aliases)
        new = self._new(goal, urn, old)
        provider = self._provider(goal, new)
        if (
            goal.import_id
            and goal.custom
            and (old is None or old.external or (old.import_id or old.id) != goal.import_id)
        ):
            assert isinstance(provider, Provider)
            imported = await import_resource(deployment, provider, goal, new, old)
            return await self._against(goal, imported, self._new(goal, urn, imported), provider)
        recreating = urn in deployment.deleted and old is not None
        external = old is not None and old.external
        await self._check(goal, new, old, provider, fresh=recreating or external)
        await self.policy.analyze(new, goal)
        if old is not None and recreating:
            # Deleted before, because it depends on something that is deleted before it is replaced.
            deployment.deleted.discard(urn)
            deployment.replaced.add(urn)
            deployment.kept.add(urn)
            keys = deployment.dependent_keys.get(urn, [])
            deployment.note(Step(events.REPLACE, urn, old, new))
            step = Step(events.CREATE_REPLACEMENT, urn, old, new, replace_keys=keys)
            return await create_replacement(deployment, self.registry, provider, step, delete_first=True)
        if old is not None and external:
            # It was only read so far: it is not ours to change, so one of our own takes its place.
            deployment.kept.add(urn)
            step = Step(events.CREATE_REPLACEMENT, urn, old, new)
            resource = await create_replacement(deployment, self.registry, provider, step, delete_first=False)
            deployment.note(Step(events.REPLACE, urn, old, new))
            return resource
        if old is not None:
            return await self._against(goal, old, new, provider, checked=True)
        deployment.kept.add(urn)
        return await create(deployment, self.registry, provider, Step(events.CREATE, urn, None, new))

    def _new(self, goal: Goal, urn: str, old: Resource | None) -> Resource:
        deployment = self.deployment
        unfit: list[str] = []
        inputs = goal.inputs
        if old is not None and goal.custom:  # a component has no changes to ignore
            inputs = paths.with_ignored(inputs, old.inputs, goal.ignore_changes, unfit)
        if unfit:
            named = ", ".join(map(repr, unfit))
            deployment.tell(
                "info", f"ignore_changes does not apply where it leads through what is not there: {named}", urn
            )
        new = Resource(
            urn=urn,
            type=goal.type,
            custom=goal.custom,
            inputs=inputs,
            parent=goal.parent,
            provider=goal.provider,
            dependencies=goal.dependencies,
            property_dependencies=goal.property_dependencies,
            protect=goal.protect,
            retain_on_delete=goal.retain_on_delete,
            deleted_with=goal.deleted_with,
            replace_with=goal.replace_with,
            replacement_trigger=goal.replacement_trigger,
            additional_secret_outputs=goal.additional_secret_outputs,
            ignore_changes=goal.ignore_changes,
            replace_on_changes=goal.replace_on_changes,
            hide_diffs=goal.hide_diffs,
            custom_timeouts=goal.custom_timeouts,
            import_id=goal.import_id if goal.custom else "",
            hooks=goal.hooks,
            aliases=[deployment.aliases[urn]] if urn in deployment.aliases else [],
        )
        if old is not None:
            new.created, new.modified = old.created, old.modified
        if new.is_provider:
            deployment.provider_states[urn] = new
            if urn in deployment.aliases:
                deployment.provider_states[deployment.aliases[urn]] = new
        return new

    def _provider(self, goal: Goal, new: Resource) -> AnyProvider | None:
        if not goal.custom:
            return None
        if new.is_provider:
            return self.registry.resources
        if not goal.provider:
            raise ResourceError(new.urn, denial(urns.package_of(new.type), new.urn))
        return self.registry.get(new.urn, goal.provider)

    async def _check(
        self, goal: Goal, new: Resource, old: Resource | None, provider: AnyProvider | None, *, fresh: bool
    ) -> None:
        if provider is None:
            return
        given = goal.inputs if fresh or old is None else new.inputs
        before: Properties = {} if fresh or old is None else old.inputs
        new.inputs, failures = await provider.check(new.urn, before, given, os.urandom(32))
        if failures:
            raise ResourceError(new.urn, check_message(new, failures))

    # -- an old resource and what is wanted now ---------------------------------------------------------------------

    async def _against(
        self, goal: Goal, old: Resource, new: Resource, provider: AnyProvider | None, *, checked: bool = False
    ) -> Resource:
        deployment = self.deployment
        imported = not checked
        if imported:
            await self._check(goal, new, old, provider, fresh=False)
            await self.policy.analyze(new, goal)
        diff = await self._diff(goal, old, new, provider)
        deployment.kept.add(new.urn)
        if diff.changes or old.pending_replacement:
            if diff.replaces or old.pending_replacement:
                return await self._replace(goal, old, new, provider, diff)
            return await self._update(goal, old, new, provider, diff)
        if old.init_errors:
            return await self._update(goal, old, new, provider, Diff())
        if imported:
            return old  # it is as it was found
        return await same(deployment, self.registry, same_step(old, new))

    async def _update(
        self, goal: Goal, old: Resource, new: Resource, provider: AnyProvider | None, diff: Diff
    ) -> Resource:
        step = Step(events.UPDATE, new.urn, old, new, detailed=diff.detailed)
        return await update(self.deployment, self.registry, provider, step, goal.ignore_changes)

    async def _diff(self, goal: Goal, old: Resource, new: Resource, provider: AnyProvider | None) -> Diff:
        deployment = self.deployment
        if _triggered(old.replacement_trigger, new.replacement_trigger):
            return Diff(changes=True, triggered=True)
        if any(urn in deployment.replaced for urn in new.replace_with):
            return Diff(changes=True, replace_keys=["replaceWith"])
        if new.deleted_with in deployment.replaced:
            return Diff(changes=True, replace_keys=["deletedWith"])
        if await self._provider_changed(old, new):
            return Diff(changes=True, replace_keys=["provider"])
        if provider is None:
            return Diff(changes=old.inputs != new.inputs)
        diff = await diff_resource(provider, old, new.inputs, goal.ignore_changes)
        if diff.unavailable:
            deployment.tell(
                "warning",
                "The provider for this resource has inputs that are not known during preview.\n"
                "This preview may not correctly represent the changes that will be applied during an update.",
                new.urn,
            )
        return replace_on_changes(diff, goal.replace_on_changes, init_errors=bool(old.init_errors))

    async def _provider_changed(self, old: Resource, new: Resource) -> bool:
        deployment = self.deployment
        if old.provider == new.provider:
            return False
        if not old.provider or not new.provider:
            return True
        old_urn, new_urn = old.provider_urn, new.provider_urn
        if deployment.aliased.get(old_urn) == new_urn:
            return False
        before = deployment.olds.get(old_urn)
        after = deployment.provider_states.get(new_urn)
        if before is None or after is None:
            return True
        provider = self.registry.get(new.urn, new.provider)
        diff = await provider.diff_config(new_urn, before.id, before.outputs, settings(after.inputs))
        return diff.replaces

    async def _replace(
        self, goal: Goal, old: Resource, new: Resource, provider: AnyProvider | None, diff: Diff
    ) -> Resource:
        deployment = self.deployment
        if new.protect and old.protect:
            message = (
                f'unable to replace resource "{new.urn}"\nas it is currently marked for protection. To unprotect the resource, '
                "remove the `protect` flag from the resource in your Pulumi program and run `up`"
            )
            if not deployment.preview:
                raise ResourceError(new.urn, message)
            deployment.mark_failed()
            deployment.tell("error", message, new.urn)
        if goal.import_id:
            message = (
                "previously-imported resources that still specify an ID may not be replaced; "
                "please remove the `import` declaration from your program"
            )
            if not deployment.preview:
                raise ResourceError(new.urn, message)
            deployment.tell("warning", message, new.urn)
        deployment.replaced.add(new.urn)
        await self._check(goal, new, None, provider, fresh=True)
        first = diff.delete_before_replace if goal.delete_before_replace is None else goal.delete_before_replace
        detail: dict[str, Any] = {"replace_keys": diff.replace_keys, "detailed": diff.detailed}
        replaced = Step(events.REPLACE, new.urn, old, new, **detail)
        created = Step(events.CREATE_REPLACEMENT, new.urn, old, new, **detail)
        if first:
            found = await dependents_to_replace(deployment, self.registry, old)
            await delete_dependents(deployment, self.registry, old, found)
            if not old.pending_replacement:
                await delete_old(deployment, self.registry, old)
            deployment.note(replaced)
            return await create_replacement(deployment, self.registry, provider, created, delete_first=True)
        resource = await create_replacement(deployment, self.registry, provider, created, delete_first=False)
        deployment.note(replaced)
        return resource


def _triggered(old: Any, new: Any) -> bool:
    """Whether a replacement trigger asks for a replacement: what is not known may have changed, None asks for nothing."""
    if has_unknown(old) or has_unknown(new):
        return True
    return None not in (unwrap(old), unwrap(new)) and unwrap(old) != unwrap(new)


def check_message(resource: Resource, failures: list[tuple[str, str]]) -> str:
    """What a provider's check found, one line a property."""
    name = urns.name_of(resource.urn)
    return "\n".join(
        f"{resource.type} resource '{name}': "
        + (f"property {key} has a problem: {reason}" if key else f"has a problem: {reason}")
        for key, reason in failures
    )
