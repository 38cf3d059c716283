"""Delete-before-replace: which dependents must go before what they depend on can be deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.engine import events
from sandbox.engine.deployment import Deployment
from sandbox.engine.diffing import diff_resource, replace_on_changes
from sandbox.engine.errors import ResourceError
from sandbox.engine.events import Step
from sandbox.engine.providers import Provider
from sandbox.engine.registry import ProviderResources, Registry
from sandbox.engine.state import Resource, in_order
from sandbox.engine.steps import call_delete
from sandbox.engine.values import UNKNOWN


@dataclass(slots=True)
class Dependent:
    resource: Resource
    keys: list[str]


async def dependents_to_replace(deployment: Deployment, registry: Registry, root: Resource) -> list[Dependent]:
    """Every old resource that a replacement of ``root`` replaces, in dependency order.

    Of all that depend on it, directly or not, these are the ones that would be replaced if the inputs that come from a
    replaced resource were to change; and those that are to be deleted or replaced with it (the options ``deleted_with`` and
    ``replace_with``). What was registered in this run already cannot depend on it any more.
    """
    replaced = {root.urn}
    reached = {root.urn}
    found: list[Dependent] = []
    tied: list[Dependent] = []
    for resource in in_order(deployment.old_list):
        if resource is root or resource.urn in deployment.seen or _renamed(deployment, resource):
            continue
        if not reached.intersection(_depends_on(resource)):
            continue
        reached.add(resource.urn)
        keys = await _keys(registry, resource, replaced)
        if keys is not None:
            replaced.add(resource.urn)
        if not resource.delete and (resource.deleted_with == root.urn or root.urn in resource.replace_with):
            tied.append(Dependent(resource, []))
        elif keys is not None:
            found.append(Dependent(resource, keys))
    return found + tied


def _renamed(deployment: Deployment, resource: Resource) -> bool:
    return resource.urn in deployment.aliased


def _depends_on(resource: Resource) -> set[str]:
    urns = {resource.provider_urn, resource.deleted_with, *resource.dependencies, *resource.replace_with}
    for listed in resource.property_dependencies.values():
        urns.update(listed)
    return urns


async def _keys(registry: Registry, resource: Resource, replaced: set[str]) -> list[str] | None:
    """Why the resource must be replaced; None where it need not be."""
    if not resource.custom or resource.external:
        return None
    if resource.provider_urn in replaced or resource.deleted_with in replaced:
        return []
    inputs = dict(resource.inputs)
    touched = False
    for key in inputs:
        if replaced.intersection(resource.property_dependencies.get(key, ())):
            inputs[key] = UNKNOWN
            touched = True
    if not touched:
        return None
    provider: Provider | ProviderResources = (
        registry.resources if resource.is_provider else await registry.ensure(resource.provider)
    )
    diff = await diff_resource(provider, resource, inputs, resource.ignore_changes)
    diff = replace_on_changes(diff, resource.replace_on_changes, init_errors=False)
    return diff.replace_keys if diff.replaces else None


async def delete_dependents(
    deployment: Deployment, registry: Registry, root: Resource, dependents: Sequence[Dependent]
) -> None:
    """Delete them, the last in dependency order first. Raises ResourceError for a protected one before any is touched."""
    for dependent in dependents:
        resource = dependent.resource
        if resource.protect and not resource.delete:
            raise ResourceError(
                resource.urn,
                f'unable to replace resource "{resource.urn}" as part of replacing "{root.urn}" as it is currently marked for '
                "protection. To unprotect the resource, remove the `protect` flag from the resource in your Pulumi program and "
                "run `up`",
            )
    if not root.pending_replacement:
        deployment.deleted.add(root.urn)  # what is to be deleted with it need not be deleted by itself
    condemned = [dependent for dependent in reversed(dependents) if id(dependent.resource) not in deployment.condemned]
    for dependent in condemned:
        deployment.condemned.add(id(dependent.resource))
        deployment.deleted.add(dependent.resource.urn)
        deployment.dependent_keys[dependent.resource.urn] = dependent.keys
    for dependent in condemned:
        resource = dependent.resource
        if id(resource) in deployment.gone:
            continue
        op = events.DELETE if resource.delete else events.DELETE_REPLACED
        async with deployment.step(Step(op, resource.urn, resource, None)):
            await call_delete(deployment, registry, resource)
            if resource.delete:
                deployment.store.drop([resource])
            else:
                resource.pending_replacement = True
                deployment.store.put(resource)
            await deployment.store.flush()
