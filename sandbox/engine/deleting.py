"""The deletion phase: what the program no longer has, and the old ones of replacements, dependents before what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sandbox.engine import events
from sandbox.engine.deployment import Deployment, StepFailed, Stopped
from sandbox.engine.errors import EngineError
from sandbox.engine.events import Step
from sandbox.engine.registry import Registry
from sandbox.engine.state import Resource, in_order
from sandbox.engine.steps import call_delete


def to_delete(deployment: Deployment) -> list[Step]:
    """The steps that remove every resource of the old state that this run does not keep."""
    found = []
    for resource in deployment.old_list:
        if id(resource) in deployment.condemned and (
            resource.delete or deployment.aliased.get(resource.urn, resource.urn) in deployment.kept
        ):
            continue
        if resource.delete:
            op = events.DISCARD_REPLACED if resource.external else events.DELETE_REPLACED
        elif deployment.aliased.get(resource.urn, resource.urn) in deployment.kept:
            continue
        elif resource.pending_replacement:
            op = events.REMOVE_PENDING_REPLACE
        else:
            op = events.DISCARD if resource.external else events.DELETE
        deployment.deleted.add(resource.urn)
        found.append(Step(op, resource.urn, resource, None))
    return found


async def delete_all(deployment: Deployment, registry: Registry, steps: Sequence[Step]) -> None:
    """Carry the deletions out, level by level; those of a level at once. After a failure no other level begins.

    What is protected fails, but stops only the deletion of what it needs itself.
    """
    spared: set[int] = set()
    for level in _levels(deployment, steps):
        if deployment.stopping.is_set():
            return
        left = [step for step in level if id(step.old) not in spared]
        if not all(await asyncio.gather(*(_delete(deployment, registry, step) for step in left))):
            return
        for step in left:
            if step.error and step.old is not None:
                _spare(deployment, step.old, spared)


def _spare(deployment: Deployment, resource: Resource, spared: set[int]) -> None:
    """Add all that the resource needs, directly or not; not what waits to be deleted under the same URNs."""
    for urn in resource.needs():
        needed = deployment.olds.get(urn)
        if needed is not None and id(needed) not in spared:
            spared.add(id(needed))
            _spare(deployment, needed, spared)


def _levels(deployment: Deployment, steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in levels, the last in dependency order first: what a resource needs is in a later level than itself.

    A resource is as late as that allows, as with the real engine; it matters for what is left after a failure. Edges go to what
    comes earlier in the state, so those between an old and a new generation cannot run in a circle.
    """
    by_resource = {id(step.old): step for step in steps}
    depth_by_urn: dict[str, int] = {}
    below: dict[str, int] = {}  # the greatest depth of a component's children: what depends on it needs them too
    levels: dict[int, list[Step]] = {}
    for resource in in_order(deployment.old_list):
        step = by_resource.get(id(resource))
        if step is None:
            continue
        needs = [
            max(depth_by_urn.get(urn, 0), 0 if urn == resource.parent else below.get(urn, 0))
            for urn in resource.needs()
        ]
        depth = 1 + max(needs, default=0)
        depth_by_urn[resource.urn] = max(depth, depth_by_urn.get(resource.urn, 0))
        above = deployment.olds.get(resource.parent)
        while above is not None:
            if not above.custom:
                below[above.urn] = max(depth, below.get(above.urn, 0))
            above = deployment.olds.get(above.parent)
        levels.setdefault(depth, []).append(step)
    return [levels[depth] for depth in sorted(levels, reverse=True)]


async def _delete(deployment: Deployment, registry: Registry, step: Step) -> bool:
    """Whether the deletions may go on."""
    old = step.old
    assert old is not None
    try:
        if step.op == events.DELETE and old.protect:
            message = (
                f'resource "{old.urn}" cannot be deleted\nbecause it is protected. To unprotect the resource, remove the '
                "`protect` flag from the resource in your Pulumi program and run `up`"
            )
            step.error = message.splitlines()[0]
            deployment.note(step)
            deployment.mark_failed()
            deployment.tell("error", message, old.urn)
            return True
        slot = old.custom and not old.is_provider and not deployment.preview
        async with deployment.step(step, slot=slot):
            if step.op != events.REMOVE_PENDING_REPLACE:
                await call_delete(deployment, registry, old)
            deployment.store.drop([old])
            await deployment.store.flush()
            if old.is_provider:
                registry.drop(old)
    except EngineError as error:
        deployment.fail(str(error), old.urn)
        return False
    except (Stopped, StepFailed):
        return False
    return True
