"""After a run that was killed: what to make of the operations whose end nobody saw.

* An interrupted update is done again: the state has the resource as it was before.
* An interrupted deletion may have taken effect: the provider is asked whether the resource is still there.
* An interrupted create may have taken effect. A provider with ``recover`` is asked, and what it made is taken into the state; of
  any other provider the program's next ``create`` is made again, which is right where creating is idempotent by name.
"""

from __future__ import annotations

from sandbox.engine import state
from sandbox.engine.deployment import Deployment
from sandbox.engine.errors import ResourceError
from sandbox.engine.providers import OperationFailed, Provider
from sandbox.engine.registry import Registry
from sandbox.engine.state import Resource

CREATING = "creating"
DELETING = "deleting"


async def recover(deployment: Deployment, registry: Registry) -> None:
    """Settle the pending operations of the state, before anything else is done. A preview leaves them as they are."""
    if deployment.preview:
        return
    for pending in deployment.store.snapshot.pending:
        resource = pending.resource
        if resource.custom and not resource.is_provider:
            if pending.type == CREATING:
                await _recover_create(deployment, await _provider(registry, resource), resource)
            elif pending.type == DELETING:
                await _recover_delete(deployment, await _provider(registry, resource), resource)
        deployment.store.forget_pending(pending)
    await deployment.store.flush()


async def _provider(registry: Registry, resource: Resource) -> Provider | None:
    try:
        return await registry.ensure(resource.provider)
    except ResourceError:  # its provider is not in the state, so it cannot be asked
        return None


async def _recover_create(deployment: Deployment, provider: Provider | None, resource: Resource) -> None:
    found = await provider.recover(resource.urn, resource.inputs) if provider is not None else None
    if found is None:
        if provider is None or not provider.can_recover:
            deployment.tell(
                "warning",
                "an earlier run was interrupted while this was being created, and its provider cannot tell whether it was: it "
                "is created again where the program still has it; check for one that is left over",
                resource.urn,
            )
        return
    resource.id, resource.outputs = found
    deployment.mark_secret(resource)
    resource.created = resource.modified = state.now()
    replaced = deployment.olds.get(resource.urn)
    if replaced is not None and not replaced.pending_replacement:
        replaced.delete = True
        deployment.store.put(resource, replaced)
    else:
        deployment.store.put(resource, drop=[] if replaced is None else [replaced])
        if replaced is not None:
            deployment.old_list.remove(replaced)
    deployment.old_list.append(resource)
    deployment.olds[resource.urn] = resource
    deployment.tell(
        "info", f"an interrupted create had taken effect: {resource.id} is taken into the state", resource.urn
    )


async def _recover_delete(deployment: Deployment, provider: Provider | None, resource: Resource) -> None:
    held = next((item for item in deployment.old_list if (item.urn, item.id) == (resource.urn, resource.id)), None)
    if held is None or provider is None:
        return
    try:
        found = await provider.read(held.urn, held.id, held.outputs, held.inputs)
    except OperationFailed:
        return  # not known: it is deleted, or compared, as if it were there
    if found.id:
        return
    if held.delete:
        deployment.store.drop([held])
        deployment.old_list.remove(held)
    else:
        deployment.gone.add(id(held))
        held.pending_replacement = True  # what needs it in the state still finds it; it is made again, or forgotten
        deployment.store.put(held)
    deployment.tell("info", f"an interrupted deletion had taken effect: {held.id} is gone", held.urn)
