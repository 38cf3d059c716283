"""Refresh: the state takes what is really there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sandbox.engine import events, state
from sandbox.engine.deployment import Deployment, StepFailed, Stopped
from sandbox.engine.diffing import diff_resource
from sandbox.engine.errors import EngineError
from sandbox.engine.events import Step
from sandbox.engine.objects import object_diff
from sandbox.engine.providers import Change
from sandbox.engine.registry import Registry
from sandbox.engine.state import Resource


async def refresh_all(deployment: Deployment, registry: Registry) -> None:
    """Read every resource of the state; then let go of what is gone, and of every edge to it."""
    resources = list(deployment.old_list)
    gone: list[Resource] = []
    await asyncio.gather(*(_refresh(deployment, registry, resource, gone) for resource in resources))
    if not gone:
        return
    urns = {resource.urn for resource in gone if not resource.delete}
    urns -= {resource.urn for resource in resources if resource not in gone and not resource.delete}
    left = [resource for resource in deployment.store.resources() if resource not in gone and _forget(resource, urns)]
    deployment.store.put(*left, drop=gone)
    await deployment.store.flush()


def _forget(resource: Resource, urns: set[str]) -> bool:
    """Remove the edges to vanished resources; whether there were any."""
    if not urns.intersection(resource.needs()):
        return False
    resource.dependencies = _without(resource.dependencies, urns)
    resource.replace_with = _without(resource.replace_with, urns)
    resource.property_dependencies = {
        key: kept for key, listed in resource.property_dependencies.items() if (kept := _without(listed, urns))
    }
    if resource.parent in urns:
        resource.parent = ""
    if resource.deleted_with in urns:
        resource.deleted_with = ""
    return True


def _without(listed: Iterable[str], urns: set[str]) -> list[str]:
    return [urn for urn in listed if urn not in urns]


async def _refresh(deployment: Deployment, registry: Registry, old: Resource, gone: list[Resource]) -> None:
    step = Step(events.REFRESH, old.urn, old, old)
    if not old.custom or old.is_provider or old.pending_replacement:
        step.outcome = events.SAME
        if not deployment.stopping.is_set():
            deployment.note(step)
        return
    try:
        async with deployment.step(step):
            await _read(deployment, registry, step, old)
            if step.outcome == events.DELETE:
                gone.append(old)
            elif step.new is not None:
                deployment.store.same(old, step.new)
                await deployment.store.flush()
    except EngineError as error:
        deployment.fail(str(error), old.urn)
    except (Stopped, StepFailed):
        return


async def _read(deployment: Deployment, registry: Registry, step: Step, old: Resource) -> None:
    provider = await registry.ensure(old.provider)
    found = await provider.read(old.urn, old.id, old.outputs, old.inputs)
    if not found.id:
        step.outcome, step.new = events.DELETE, None
        return
    inputs = old.inputs if found.inputs is None else found.inputs
    new = Resource(**{name: getattr(old, name) for name in Resource.__slots__})
    new.id, new.inputs, new.outputs, new.init_errors = found.id, inputs, found.outputs, []
    deployment.mark_secret(new)
    step.new, step.outcome = new, events.SAME
    detailed: dict[str, Change] = {}
    changed = False
    if old.external:
        changed = old.outputs != new.outputs  # nobody asked for anything that it could differ from
    elif found.inputs is None:
        detailed = object_diff(old.outputs, new.outputs)
        changed = bool(detailed)
    else:
        # The provider compares from the state's side, so its answer is turned around.
        diff = await diff_resource(provider, new, old.inputs, old.ignore_changes)
        if diff.changes:
            detailed = {path: change.inverted() for path, change in diff.detailed.items()}
            changed = True
    if changed:
        step.outcome, step.detailed = events.UPDATE, detailed
        new.modified = state.now()
