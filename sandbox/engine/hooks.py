"""Resource hooks: functions of the program that run before and after a step, or when one fails.

A resource's hooks are names, and they stay in its state: a deletion runs those that are bound there, with the functions that the
program of the run has registered under these names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pulumi.runtime.proto import resource_pb2

from sandbox.engine import urns
from sandbox.engine.errors import EngineError
from sandbox.engine.providers import OperationFailed
from sandbox.engine.values import to_struct

if TYPE_CHECKING:
    from sandbox.engine.deployment import Deployment
    from sandbox.engine.state import Resource

BEFORE_CREATE, AFTER_CREATE = "BeforeCreate", "AfterCreate"
BEFORE_UPDATE, AFTER_UPDATE = "BeforeUpdate", "AfterUpdate"
BEFORE_DELETE, AFTER_DELETE = "BeforeDelete", "AfterDelete"
ON_ERROR = "OnError"
FIELDS = {  # of the protocol's binding
    "before_create": BEFORE_CREATE,
    "after_create": AFTER_CREATE,
    "before_update": BEFORE_UPDATE,
    "after_update": AFTER_UPDATE,
    "before_delete": BEFORE_DELETE,
    "after_delete": AFTER_DELETE,
    "on_error": ON_ERROR,
}
MOST_TRIES = 100

T = TypeVar("T")
Call = Callable[[Any, Any, Any], Awaitable[Any]]


def bound(binding: Any) -> dict[str, list[str]]:
    """The hooks that a registration names, by kind."""
    return {kind: list(getattr(binding, field)) for field, kind in FIELDS.items() if getattr(binding, field)}


class Hooks:
    """The hooks that the program of a run has registered."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._registered: dict[str, Any] = {}
        self._later: dict[str, tuple[str, Resource | None, Resource]] = {}  # after-hooks of components, by URN
        self.call: Call | None = None  # calls a function of the program: (callback, request, response type) -> response

    def __bool__(self) -> bool:
        return bool(self._registered)

    def register(self, request: Any) -> None:
        """``request``: a RegisterResourceHookRequest or RegisterErrorHookRequest."""
        if request.name in self._registered:
            raise EngineError(f'resource hook already registered for name "{request.name}"')
        self._registered[request.name] = request

    def _find(self, name: str, what: str) -> Any:
        if name not in self._registered:
            raise OperationFailed(f'{what} "{name}" was not registered')
        return self._registered[name]

    async def before(self, kind: str, old: Resource | None, new: Resource | None) -> None:
        """Run the hooks of a kind. Raises OperationFailed where one fails: then the step does."""
        await self._run(kind, old, new, "before")

    async def after(self, kind: str, old: Resource | None, new: Resource | None) -> None:
        """Run the hooks of a kind. Where one fails the step has been done nevertheless, but the run fails."""
        subject = new or old
        assert subject is not None
        try:
            await self._run(kind, old, new, "after")
        except OperationFailed as error:
            self._deployment.fail(str(error), subject.urn)

    def later(self, kind: str, old: Resource | None, new: Resource) -> None:
        """A component's after-hooks run when it has registered its outputs."""
        if new.hooks.get(kind):
            self._later[new.urn] = (kind, old, new)

    async def outputs_registered(self, urn: str) -> None:
        if urn in self._later:
            await self.after(*self._later.pop(urn))

    async def _run(self, kind: str, old: Resource | None, new: Resource | None, when: str) -> None:
        subject = new or old
        assert subject is not None
        for name in subject.hooks.get(kind, ()):
            hook = self._find(name, "hook")
            if self._deployment.preview and not hook.on_dry_run:
                continue
            request = _request(resource_pb2.ResourceHookRequest, old, new, new_outputs=when == "after")
            problem = await self._ask(hook, request, resource_pb2.ResourceHookResponse)
            if isinstance(problem, str):
                if not hook.ignore_errors:
                    raise OperationFailed(f'{when} hook "{name}" failed: {problem}')
                self._deployment.tell("warning", f'{kind} hook "{name}" failed: {problem}', subject.urn)

    async def _ask(self, hook: Any, request: Any, answer: Any) -> Any:
        """The function's answer, or what it raised."""
        assert self.call is not None
        try:
            response = await self.call(hook.callback, request, answer)
        except EngineError as error:
            return str(error)
        return response.error or response

    async def retrying(
        self, operation: str, old: Resource | None, new: Resource | None, attempt: Callable[[], Awaitable[T]]
    ) -> T:
        """What the operation gives; after a failure it is tried again for as long as a hook for errors asks for it."""
        subject = new or old
        assert subject is not None
        failures: list[str] = []
        while True:
            try:
                return await attempt()
            except OperationFailed as error:
                failures.insert(0, str(error))
                if not subject.hooks.get(ON_ERROR) or not await self._again(operation, old, new, failures):
                    raise
            tries = f"({len(failures)}/{MOST_TRIES})"
            if len(failures) >= MOST_TRIES:
                raise OperationFailed(f"maximum number of error hook retries {tries} reached: {failures[0]}")
            self._deployment.tell("warning", f"retrying {operation} due to on-error hook request {tries}", subject.urn)

    async def _again(self, operation: str, old: Resource | None, new: Resource | None, failures: list[str]) -> bool:
        subject = new or old
        assert subject is not None
        again = False
        for name in subject.hooks[ON_ERROR]:
            hook = self._find(name, "error hook")
            request = _request(resource_pb2.ErrorHookRequest, old, new)
            request.failed_operation = operation
            request.errors.extend(failures)
            response = await self._ask(hook, request, resource_pb2.ErrorHookResponse)
            if isinstance(response, str):
                raise OperationFailed(f'error hooks execution failed: error hook "{name}" failed: {response}')
            again = again or response.retry
        return again


def _request(message: Any, old: Resource | None, new: Resource | None, *, new_outputs: bool = False) -> Any:
    subject = new or old
    assert subject is not None
    request = message(urn=subject.urn, id=subject.id, name=urns.name_of(subject.urn), type=subject.type)
    if old is not None:
        request.old_inputs.CopyFrom(to_struct(old.inputs))
        request.old_outputs.CopyFrom(to_struct(old.outputs))
    if new is not None:
        request.new_inputs.CopyFrom(to_struct(new.inputs))
        if new_outputs:
            request.new_outputs.CopyFrom(to_struct(new.outputs))
    return request
