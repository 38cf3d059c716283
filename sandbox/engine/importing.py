"""Taking over what exists: the ``import_`` option, and resources that are only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.engine import events, state, urns
from sandbox.engine.deployment import Deployment, Stopped
from sandbox.engine.errors import EngineError, ResourceError
from sandbox.engine.events import Step
from sandbox.engine.providers import OperationFailed, Provider
from sandbox.engine.state import Resource
from sandbox.engine.values import UNKNOWN

if TYPE_CHECKING:
    from sandbox.engine.goal import Goal, ReadGoal
    from sandbox.engine.registry import Registry


async def import_resource(
    deployment: Deployment, provider: Provider, goal: Goal, new: Resource, old: Resource | None
) -> Resource:
    """The resource as it really is, in the state; what the program wants otherwise is then an update like any other."""
    replacing = old is not None and new.urn not in deployment.deleted
    op = events.IMPORT_REPLACEMENT if replacing else events.IMPORT
    new.id = new.import_id = goal.import_id
    step = Step(op, new.urn, old, new, inputs=dict(goal.inputs) if deployment.preview else None)
    deployment.kept.add(new.urn)
    async with deployment.step(step):
        number = await deployment.store.begin("importing", new)
        try:
            found = await provider.read(new.urn, goal.import_id, {}, {})
            if not found.id:
                raise OperationFailed(f"cannot import {goal.import_id!r}: there is no {new.type} with this id")
        except OperationFailed:
            deployment.store.end(number)
            raise
        new.id = found.id
        new.outputs = found.outputs
        new.inputs = dict(found.inputs or {})
        deployment.mark_secret(new)
        new.created = new.modified = state.now()
        if replacing and old is not None:
            deployment.replaced.add(new.urn)
            old.delete = True
            deployment.store.put(new, old, end=number)
        else:
            deployment.store.put(new, drop=[old] if old is not None else [], end=number)
        deployment.news[new.urn] = new
        await deployment.store.flush()
    if replacing:
        deployment.note(Step(events.REPLACE, new.urn, old, new))
    return new


async def read_resource(deployment: Deployment, registry: Registry, goal: ReadGoal) -> Resource:
    """A resource that the program reads and does not manage. Raises Stopped, StepFailed."""
    deployment.check_running()
    parent = goal.parent or (deployment.root_urn if deployment.root_urn in deployment.seen else "")
    urn = urns.make(deployment.stack, deployment.project, parent, goal.type, goal.name)
    try:
        if urn in deployment.seen:
            raise ResourceError(urn, f"Duplicate resource URN '{urn}'; try giving it a unique name")
        deployment.seen.add(urn)
        return await _read(deployment, registry, goal, urn, parent)
    except (EngineError, OperationFailed) as error:
        deployment.fail(str(error), urn)
        raise Stopped from error


async def _read(deployment: Deployment, registry: Registry, goal: ReadGoal, urn: str, parent: str) -> Resource:
    provider = registry.get(urn, goal.provider)
    aliases = urns.expand([], deployment.stack, deployment.project, parent, goal.type, goal.name, deployment.aliases)
    old = deployment.old_of(urn, aliases)
    new = Resource(
        urn=urn,
        type=goal.type,
        custom=True,
        id="" if goal.id == UNKNOWN else goal.id,
        inputs=goal.inputs,
        parent=parent,
        provider=goal.provider,
        dependencies=goal.dependencies,
        external=True,
        additional_secret_outputs=goal.additional_secret_outputs,
    )
    replacing = old is not None and not old.external and old.id != new.id
    deployment.kept.add(urn)
    step = Step(events.READ_REPLACEMENT if replacing else events.READ, urn, old, new)
    async with deployment.step(step):
        if new.id and provider.configured:
            found = await provider.read(urn, goal.id, {}, goal.inputs)
            if not found.id:
                raise OperationFailed(f"there is no {goal.type} with the id {goal.id!r}")
            new.id, new.outputs = found.id, found.outputs
            deployment.mark_secret(new)
        new.created = (old.created if old is not None else "") or state.now()
        new.modified = state.now()
        if replacing and old is not None:
            deployment.replaced.add(urn)
            old.delete = True
            deployment.store.put(new, old)
        else:
            deployment.store.put(new, drop=[old] if old is not None else [])
        deployment.news[urn] = new
        await deployment.store.flush()
    if replacing:
        deployment.note(Step(events.REPLACE, urn, old, new))
    return new
