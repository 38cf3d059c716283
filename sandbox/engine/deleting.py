"""The deletion phase: what the program no longer has, and the old ones of replacements, dependents before what they need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sandbox.engine import events
from sandbox.engine.deployment import Deployment, StepFailed, Stopped
from sandbox.engine.errors import EngineError
from sandbox.engine.events import Step
from sandbox.engine.registry import Registry
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
    """Carry the deletions out, as many at once as may be. After a failure nothing more begins."""
    waits = _waits(steps)
    done: set[int] = set()
    tasks: dict[asyncio.Task[bool], int] = {}
    waiting = dict(enumerate(steps))
    dependents: dict[int, list[int]] = {}
    counts = {at: len(before) for at, before in waits.items()}
    for at, before in waits.items():
        for other in before:
            dependents.setdefault(other, []).append(at)
    ready = [at for at in waiting if not counts[at]]
    failed = False
    while waiting or tasks:
        if not failed and not deployment.stopping.is_set():
            for at in ready:
                tasks[asyncio.create_task(_delete(deployment, registry, waiting.pop(at)))] = at
        ready = []
        if not tasks:
            if failed or deployment.stopping.is_set() or not waiting:
                return
            ready = [_weakest(steps, waiting, waits, done)]  # edges between generations can run in a circle
            continue
        finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in finished:
            at = tasks.pop(task)
            if not task.result():
                failed = True
                continue
            done.add(at)
            for other in dependents.get(at, ()):
                counts[other] -= 1
                if not counts[other] and other in waiting:
                    ready.append(other)


def _waits(steps: Sequence[Step]) -> dict[int, set[int]]:
    """For each step the steps that must be done before it: the deletions of what needs its resource."""
    by_urn: dict[str, list[int]] = {}
    for at, step in enumerate(steps):
        by_urn.setdefault(step.urn, []).append(at)
    waits: dict[int, set[int]] = {at: set() for at in range(len(steps))}
    for at, step in enumerate(steps):
        assert step.old is not None
        for urn in step.old.needs():
            for other in by_urn.get(urn, ()):
                if other != at:
                    waits[other].add(at)
    return waits


def _weakest(steps: Sequence[Step], waiting: dict[int, Step], waits: dict[int, set[int]], done: set[int]) -> int:
    def blocked(at: int) -> tuple[int, int]:
        old = steps[at].old
        return (0 if old is not None and old.delete else 1, len(waits[at] - done))

    return min(waiting, key=blocked)


async def _delete(deployment: Deployment, registry: Registry, step: Step) -> bool:
    old = step.old
    assert old is not None
    try:
        if step.op == events.DELETE and old.protect:
            message = (
                f"resource {old.urn!r} cannot be deleted\nbecause it is protected. To unprotect the resource, remove the "
                "`protect` flag from the resource in your Pulumi program and run `up`"
            )
            step.error = message.splitlines()[0]
            deployment.note(step)
            deployment.mark_failed()
            deployment.tell("error", message, old.urn)
            return False
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
