"""What all parts of a run share: the old state and the new, what was decided for each URN, and how a step is carried out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from sandbox.engine import events, urns
from sandbox.engine.errors import EngineError
from sandbox.engine.events import Audience, Diagnostic, Step
from sandbox.engine.hooks import Hooks
from sandbox.engine.providers import OperationFailed
from sandbox.engine.state import Resource
from sandbox.engine.values import Properties, Redactor, Secret

if TYPE_CHECKING:
    from sandbox.engine.journal import Store

PARALLEL = 16
ORGANIZATION = "organization"  # of every stack, as in a backend of files


class Stopped(Exception):
    """This step does not begin: the run has failed elsewhere, or was interrupted."""


class StepFailed(Exception):
    """A step failed; it has been reported."""


class Deployment:
    """One run over one stack."""

    def __init__(
        self,
        *,
        project: str,
        stack: str,
        store: Store,
        audience: Audience,
        redactor: Redactor,
        preview: bool,
        parallel: int = PARALLEL,
    ) -> None:
        self.project, self.stack = project, stack
        self.store = store
        self.audience = audience
        self.redactor = redactor
        self.preview = preview
        self.old_list: list[Resource] = list(store.snapshot.resources)
        self.olds: dict[str, Resource] = {item.urn: item for item in self.old_list if not item.delete}
        for item in self.old_list:
            redactor.learn(item.inputs)
            redactor.learn(item.outputs)

        self.news: dict[str, Resource] = {}  # resources of this run, by URN
        self.seen: set[str] = set()  # every URN registered in this run
        self.aliased: dict[str, str] = {}  # earlier URN -> URN of this run
        self.aliases: dict[str, str] = {}  # URN of this run -> the earlier URN under which it was found
        self.kept: set[str] = set()  # URNs that were found to be same, updated, replaced or read
        self.replaced: set[str] = set()
        self.deleted: set[str] = set()
        self.condemned: set[int] = set()  # resources already deleted, by identity
        self.gone: set[int] = set()  # those that an interrupted run is known to have deleted, by identity
        self.dependent_keys: dict[str, list[str]] = {}  # why a dependent of a delete-before-replace must be replaced
        self.provider_states: dict[str, Resource] = {}  # provider resources of this run, also under their earlier URNs

        self.hooks = Hooks(self)
        self.steps: list[Step] = []
        self.diagnostics: list[Diagnostic] = []
        self.failed = False
        self.stopping = asyncio.Event()  # set by a failure or an interruption: nothing new begins
        self.running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._slots = asyncio.Semaphore(parallel)

    # -- URNs -------------------------------------------------------------------------------------------------------

    @property
    def root_urn(self) -> str:
        return urns.make(self.stack, self.project, "", urns.STACK_TYPE, f"{self.project}-{self.stack}")

    def outputs_of(self, name: str) -> Properties:
        """The outputs that a stack had before this run; only this one is known. Raises EngineError for another."""
        if name not in (self.stack, f"{ORGANIZATION}/{self.project}/{self.stack}"):
            raise EngineError(
                f'unknown stack "{name}": the embedded engine knows only the stack itself, '
                f"{ORGANIZATION}/{self.project}/{self.stack}; use the Pulumi CLI"
            )
        root = self.olds.get(self.root_urn)
        return root.outputs if root is not None else {}

    def old_of(self, urn: str, aliases: Sequence[str]) -> Resource | None:
        """The resource that was registered under the URN or one of its aliases before; records which alias it was.

        Raises ValueError where two resources of this run claim the same earlier one.
        """
        if urn in self.aliased:
            raise ValueError(
                f"Duplicate resource URN {urn!r} conflicting with alias on resource with URN {self.aliased[urn]!r}"
            )
        for name in (urn, *aliases):
            old = self.olds.get(name)
            if old is None:
                continue
            if name != urn:
                if name in self.seen:
                    raise ValueError(
                        f"Duplicate resource alias {name!r} applied to resource with URN {urn!r} conflicting with "
                        f"resource with URN {urn!r}"
                    )
                if name in self.aliased:
                    raise ValueError(
                        f"Duplicate resource alias {name!r} applied to resource with URN {urn!r} conflicting with "
                        f"resource with URN {self.aliased[name]!r}"
                    )
                self.aliased[name] = urn
                self.aliases[urn] = name
            return old
        return None

    # -- telling ----------------------------------------------------------------------------------------------------

    def violated(self, violation: Any, severity: str, message: str, urn: str) -> None:
        """Tell what a policy found."""
        redacted = dataclasses.replace(violation, message=self.redactor(violation.message))
        self._tell(Diagnostic(severity, self.redactor(message), urn, redacted))

    def tell(self, severity: str, message: str, urn: str = "") -> None:
        self._tell(Diagnostic(severity, self.redactor(message), urn))

    def _tell(self, diagnostic: Diagnostic) -> None:
        if diagnostic.severity != "debug":
            self.diagnostics.append(diagnostic)
        self.audience.diagnostic(diagnostic)

    def fail(self, message: str, urn: str = "") -> None:
        """Report an error: nothing new begins, what has begun is finished."""
        self.failed = True
        self.stopping.set()
        self.tell("error", message, urn)

    def fail_quietly(self) -> None:
        """As ``fail``, for what has been reported already."""
        self.failed = True
        self.stopping.set()

    def mark_failed(self) -> None:
        """The run will not be called good, but it goes on (a preview shows all that is wrong)."""
        self.failed = True

    def check_running(self) -> None:
        if self.stopping.is_set():
            raise Stopped

    # -- steps ------------------------------------------------------------------------------------------------------

    def note(self, step: Step) -> None:
        """A step that needs no provider: begun and done. Like any other it does not begin once the run has failed."""
        if self.stopping.is_set() and not step.error:
            return
        self._learn(step)
        self.steps.append(step)
        self.audience.step_started(step)
        self.audience.step_finished(step)

    @contextlib.asynccontextmanager
    async def step(self, step: Step, *, slot: bool = True) -> AsyncIterator[None]:
        """A step that a provider carries out: waits for one of the places, reports the beginning and the end.

        Raises Stopped where the run does not go on, StepFailed where the provider refused.
        """
        self.check_running()
        self._learn(step)
        async with self._slots if slot else contextlib.nullcontext():
            self.check_running()
            self.steps.append(step)
            self._enter()
            self.audience.step_started(step)
            began = time.monotonic()
            try:
                await asyncio.sleep(0)  # what could begin at the same time begins before this can fail
                yield
            except Stopped:
                raise
            except (OperationFailed, EngineError) as error:
                step.error = self.redactor(str(error))
                raise StepFailed from error
            except Exception as error:
                step.error = self.redactor(f"{type(error).__name__}: {error}")
                raise
            finally:
                step.seconds = time.monotonic() - began
                self._learn(step)
                self.audience.step_finished(step)
                if step.error:
                    self.fail(step.error, step.urn)
                self._leave()

    def _learn(self, step: Step) -> None:
        if step.new is not None:
            self.redactor.learn(step.new.inputs)
            self.redactor.learn(step.new.outputs)

    def _enter(self) -> None:
        self.running += 1
        self._idle.clear()

    def _leave(self) -> None:
        self.running -= 1
        if not self.running:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Until no provider works any more."""
        await self._idle.wait()

    # -- results ----------------------------------------------------------------------------------------------------

    def mark_secret(self, resource: Resource) -> None:
        """Mark in outputs that a provider has just given what the program calls secret, and what is a secret input."""
        secret_inputs = [key for key, value in resource.inputs.items() if isinstance(value, Secret)]
        for key in (*resource.additional_secret_outputs, *secret_inputs):
            if key in resource.outputs and not isinstance(resource.outputs[key], Secret):
                resource.outputs[key] = Secret(resource.outputs[key])

    def public_steps(self) -> list[Step]:
        return [step for step in self.steps if not step.hidden]

    def inputs_for_display(self, resource: Resource) -> Properties | None:
        return dict(resource.inputs) if self.preview else None


def same_step(old: Resource, new: Resource) -> Step:
    return Step(events.SAME, new.urn, old, new)
