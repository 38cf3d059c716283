"""How each step is carried out: the provider's call, the new state, the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandbox.engine import events, hooks, state
from sandbox.engine.deployment import Deployment
from sandbox.engine.errors import ResourceError, SecretsError
from sandbox.engine.events import Step
from sandbox.engine.providers import OperationFailed
from sandbox.engine.registry import Registry
from sandbox.engine.state import Resource
from sandbox.engine.values import has_secret


async def same(deployment: Deployment, registry: Registry, step: Step) -> Resource:
    """Nothing changes but what the program says of it: inputs, options and dependencies are taken.

    Outputs stay, and so do their secret marks, to which others may come.
    """
    old, new = step.old, step.new
    assert old is not None
    assert new is not None
    deployment.check_running()
    new.id, new.outputs, new.init_errors = old.id, dict(old.outputs), old.init_errors
    deployment.mark_secret(new)
    new.other = old.other
    if new.is_provider:
        await registry.resources.ready(new)
    _keep_secrets(deployment, new)
    deployment.store.same(old, new)
    deployment.news[new.urn] = new
    deployment.note(step)
    return new


async def create(deployment: Deployment, registry: Registry, provider: Any, step: Step) -> Resource:
    new = step.new
    assert new is not None
    step.inputs = deployment.inputs_for_display(new)
    if provider is None:
        async with deployment.step(step, slot=False):
            await deployment.hooks.before(hooks.BEFORE_CREATE, None, new)
            deployment.hooks.later(hooks.AFTER_CREATE, None, new)
            new.created = new.modified = state.now()
            deployment.store.put(new)
            deployment.news[new.urn] = new
            await deployment.store.flush()
        return new
    await _create(deployment, registry, provider, step, drop=())
    return new


async def create_replacement(
    deployment: Deployment, registry: Registry, provider: Any, step: Step, *, delete_first: bool
) -> Resource:
    """The new one of a replacement. The old one is gone already, or is marked to be deleted when all else is done."""
    old, new = step.old, step.new
    assert old is not None
    assert new is not None
    step.inputs = deployment.inputs_for_display(new)
    gone = delete_first or id(old) in deployment.gone
    if provider is None:
        async with deployment.step(step, slot=False):
            await deployment.hooks.before(hooks.BEFORE_CREATE, None, new)
            deployment.hooks.later(hooks.AFTER_CREATE, None, new)
            new.created = new.modified = state.now()
            _put_replacement(deployment, old, new, gone=gone, end=None)
            deployment.news[new.urn] = new
            await deployment.store.flush()
        return new
    await _create(deployment, registry, provider, step, drop=(old,), gone=gone)
    return new


def _put_replacement(deployment: Deployment, old: Resource, new: Resource, *, gone: bool, end: int | None) -> None:
    if gone:
        deployment.store.put(new, drop=[old], end=end)
        return
    old.delete = True
    if old.pending_replacement:  # its provider is asked once more, but the state need not remember it
        deployment.store.put(new, drop=[old], end=end)
    else:
        deployment.store.put(new, old, end=end)


async def _create(
    deployment: Deployment,
    registry: Registry,
    provider: Any,
    step: Step,
    *,
    drop: Sequence[Resource],
    gone: bool = False,
) -> None:
    new = step.new
    assert new is not None
    _keep_secrets(deployment, new)

    async def attempt() -> Any:
        timeout = new.custom_timeouts.get("create", 0.0)
        return await provider.create(new.urn, new.inputs, timeout, preview=deployment.preview)

    async with deployment.step(step):
        await deployment.hooks.before(hooks.BEFORE_CREATE, None, new)
        number = await deployment.store.begin("creating", new)
        failure: OperationFailed | None = None
        try:
            new.id, new.outputs = await deployment.hooks.retrying("create", None, new, attempt)
        except OperationFailed as error:
            if error.partial is None:
                deployment.store.end(number)
                await deployment.store.flush()
                raise
            _take_partial(new, error)
            failure = error
        deployment.mark_secret(new)
        new.created = new.modified = state.now()
        if new.is_provider:
            registry.resources.offer(new)
        await _store_or_strip(deployment, new)
        if drop:
            _put_replacement(deployment, drop[0], new, gone=gone, end=number)
        else:
            deployment.store.put(new, end=number)
        deployment.news[new.urn] = new
        await deployment.store.flush()
        if failure is not None:
            raise failure
        await deployment.hooks.after(hooks.AFTER_CREATE, None, new)


async def update(
    deployment: Deployment, registry: Registry, provider: Any, step: Step, ignored: Sequence[str]
) -> Resource:
    old, new = step.old, step.new
    assert old is not None
    assert new is not None
    step.inputs = deployment.inputs_for_display(new)
    new.id = old.id
    if provider is None:
        async with deployment.step(step, slot=False):
            await deployment.hooks.before(hooks.BEFORE_UPDATE, old, new)
            deployment.hooks.later(hooks.AFTER_UPDATE, old, new)
            new.modified = state.now()  # its outputs come when it registers them
            deployment.store.put(new, drop=[old])
            deployment.news[new.urn] = new
        return new
    _keep_secrets(deployment, new)

    async def attempt() -> Any:
        timeout = new.custom_timeouts.get("update", 0.0)
        return await provider.update(
            new.urn, old.id, old.outputs, new.inputs, timeout, ignored, preview=deployment.preview
        )

    async with deployment.step(step):
        await deployment.hooks.before(hooks.BEFORE_UPDATE, old, new)
        number = await deployment.store.begin("updating", new)
        failure: OperationFailed | None = None
        try:
            new.outputs = await deployment.hooks.retrying("update", old, new, attempt)
        except OperationFailed as error:
            if error.partial is None:
                deployment.store.end(number)
                await deployment.store.flush()
                raise
            _take_partial(new, error)
            failure = error
        deployment.mark_secret(new)
        new.modified = state.now()
        if new.is_provider:
            registry.resources.offer(new)
        await _store_or_strip(deployment, new)
        deployment.store.put(new, drop=[old], end=number)
        deployment.news[new.urn] = new
        await deployment.store.flush()
        if failure is not None:
            raise failure
        await deployment.hooks.after(hooks.AFTER_UPDATE, old, new)
    return new


async def delete_old(deployment: Deployment, registry: Registry, old: Resource) -> None:
    """The deletion that comes before a replacement: afterwards the old one waits for its replacement."""
    step = Step(events.DELETE_REPLACED, old.urn, old, None)
    async with deployment.step(step):
        await call_delete(deployment, registry, old)
        old.pending_replacement = True
        deployment.store.put(old)
        await deployment.store.flush()


async def call_delete(deployment: Deployment, registry: Registry, old: Resource) -> None:
    """Have the provider delete it, where that is to be done at all. To be used within a step."""
    await deployment.hooks.before(hooks.BEFORE_DELETE, old, None)
    await _call_delete(deployment, registry, old)
    await deployment.hooks.after(hooks.AFTER_DELETE, old, None)


async def _call_delete(deployment: Deployment, registry: Registry, old: Resource) -> None:
    if deployment.preview or not old.custom or old.external or old.retain_on_delete or old.is_provider:
        return
    if old.deleted_with and old.deleted_with in deployment.deleted:
        return
    provider = await registry.ensure(old.provider)

    async def attempt() -> None:
        await provider.delete(old.urn, old.id, old.outputs, old.custom_timeouts.get("delete", 0.0))

    number = await deployment.store.begin("deleting", old)
    try:
        await deployment.hooks.retrying("delete", old, None, attempt)
    finally:
        deployment.store.end(number)


def _take_partial(new: Resource, error: OperationFailed) -> None:
    partial = error.partial
    assert partial is not None
    new.id = partial.id or new.id
    new.outputs = partial.outputs
    if partial.inputs:
        new.inputs = partial.inputs
    new.init_errors = partial.reasons


def _keep_secrets(deployment: Deployment, new: Resource) -> None:
    """Refuse a resource with secrets before anything is done, where they could not be stored."""
    if not deployment.store.durable or deployment.store.codec.crypter.has_passphrase:
        return
    if has_secret(new.inputs) or has_secret(new.outputs):
        try:
            deployment.store.codec.crypter.verify()
        except SecretsError as error:
            raise ResourceError(new.urn, str(error)) from error


async def _store_or_strip(deployment: Deployment, new: Resource) -> None:
    # It exists now and must not be lost, whatever comes of its secrets.
    if not deployment.store.durable or deployment.store.codec.crypter.has_passphrase or not has_secret(new.outputs):
        return
    new.outputs = {key: value for key, value in new.outputs.items() if not has_secret(value)}
    deployment.fail(
        "its secret outputs cannot be stored: there is no passphrase (PULUMI_CONFIG_PASSPHRASE); set one and run `refresh`",
        new.urn,
    )
