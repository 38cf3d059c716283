"""After a run that was killed: what to make of the operations whose end nobody saw.

An interrupted update or deletion needs nothing: the state has the resource as it was, and the next run does it again. An
interrupted create may have taken effect. A provider with ``recover`` is asked, and what it made is taken into the state; of
any other provider the program's next ``create`` is made again, which is right where creating is idempotent by name.
"""

from __future__ import annotations

from sandbox.engine import state
from sandbox.engine.deployment import Deployment
from sandbox.engine.errors import ResourceError
from sandbox.engine.registry import Registry

CREATING = "creating"


async def recover(deployment: Deployment, registry: Registry) -> None:
    """Settle the pending operations of the state, before anything else is done."""
    for pending in deployment.store.snapshot.pending:
        resource = pending.resource
        if pending.type != CREATING or not resource.custom or resource.is_provider:
            deployment.store.forget_pending(pending)
            continue
        if deployment.preview:
            continue
        try:
            provider = await registry.ensure(resource.provider)
        except ResourceError:  # its provider is not in the state, so it cannot be asked
            found, can_recover = None, False
        else:
            found, can_recover = await provider.recover(resource.urn, resource.inputs), provider.can_recover
        if found is None and not can_recover:
            deployment.tell(
                "warning",
                "an earlier run was interrupted while this was being created, and its provider cannot tell whether it was: it "
                "is created again where the program still has it; check for one that is left over",
                resource.urn,
            )
        if found is not None:
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
        deployment.store.forget_pending(pending)
    await deployment.store.flush()
