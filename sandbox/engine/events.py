"""What a run tells its audience: steps, diagnostics, the program's own lines, policy violations, the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.engine import urns
from sandbox.engine.providers import Change
from sandbox.engine.state import Resource

# As the real engine names them.
SAME = "same"
CREATE = "create"
UPDATE = "update"
DELETE = "delete"
REPLACE = "replace"
CREATE_REPLACEMENT = "create-replacement"
DELETE_REPLACED = "delete-replaced"
READ = "read"
READ_REPLACEMENT = "read-replacement"
DISCARD = "discard"
DISCARD_REPLACED = "discard-replaced"
REFRESH = "refresh"
IMPORT = "import"
IMPORT_REPLACEMENT = "import-replacement"
REMOVE_PENDING_REPLACE = "remove-pending-replace"

# What the summary counts; the parts of a replacement count as one replace.
_UNCOUNTED = {CREATE_REPLACEMENT, DELETE_REPLACED, READ_REPLACEMENT, DISCARD_REPLACED, IMPORT_REPLACEMENT}


Redact = Callable[[str], str]


@dataclass(slots=True, eq=False)
class Step:
    """One step of a run. ``old`` and ``new`` are the resource before and after, where there is one."""

    op: str
    urn: str
    old: Resource | None = None
    new: Resource | None = None
    replace_keys: list[str] = field(default_factory=list)
    detailed: dict[str, Change] = field(default_factory=dict)
    outcome: str = ""  # of a refresh: same, update, delete
    error: str = ""  # why it failed
    inputs: dict[str, Any] | None = None  # as they were when the step was planned
    seconds: float = 0.0

    @property
    def hidden(self) -> bool:
        """Steps of default providers, and those that only tidy the state, are the engine's own business."""
        return urns.is_default_provider(self.urn) or self.op == REMOVE_PENDING_REPLACE

    @property
    def changed(self) -> bool:
        """Whether the resource was there before and has other outputs now."""
        return self.old is not None and self.new is not None and self.old.outputs != self.new.outputs

    @property
    def id(self) -> str:
        for resource in (self.new, self.old):
            if resource is not None and resource.id:
                return resource.id
        return ""


@dataclass(slots=True)
class Diagnostic:
    severity: str  # debug, info, warning, error
    message: str
    urn: str = ""
    violation: Any = None  # where a policy pack said it: an ``analyzer.Violation``


@dataclass(slots=True)
class Result:
    """How a run ended.

    ``outputs`` are the stack's outputs (values as in ``sandbox.engine.values``: secrets are marked, unknowns the sentinel).
    """

    ok: bool
    action: str
    steps: list[Step]
    diagnostics: list[Diagnostic]
    outputs: dict[str, Any]
    seconds: float

    @property
    def changes(self) -> dict[str, int]:
        """How many resources each operation was done to, as the real engine counts: of reads only those that told something new."""
        counts: Counter[str] = Counter()
        for step in self.steps:
            if not step.error and step.op not in _UNCOUNTED and (step.op != READ or step.changed):
                counts[step.outcome if step.op == REFRESH else step.op] += 1
        return dict(sorted(counts.items()))

    @property
    def failed_steps(self) -> list[Step]:
        return [step for step in self.steps if step.error]

    @property
    def has_changes(self) -> bool:
        """Whether anything was, or would be, done to any resource."""
        return any(step.op not in (SAME, READ) and step.outcome != SAME for step in self.steps)


class Audience(Protocol):
    """Whoever watches a run; called on the engine's event loop.

    Messages and lines are free of secrets. Property values are as they are: a ``Secret`` is not to be shown, and any other text
    goes through ``redact``, which blots out the secrets that have found their way into it.
    """

    def begin(self, action: str, project: str, stack: str, *, preview: bool, redact: Redact) -> None: ...

    def step_started(self, step: Step) -> None: ...

    def step_finished(self, step: Step) -> None: ...

    def diagnostic(self, diagnostic: Diagnostic) -> None: ...

    def program_line(self, stream: str, line: str) -> None: ...

    def end(self, result: Result) -> None: ...


class Silent:
    """An audience that only listens; the base of the others."""

    def begin(self, action: str, project: str, stack: str, *, preview: bool, redact: Redact) -> None: ...

    def step_started(self, step: Step) -> None: ...

    def step_finished(self, step: Step) -> None: ...

    def diagnostic(self, diagnostic: Diagnostic) -> None: ...

    def program_line(self, stream: str, line: str) -> None: ...

    def end(self, result: Result) -> None: ...


def kinds(step: Step) -> Mapping[str, str]:
    """A step's diff as property path to kind."""
    return {path: change.kind for path, change in sorted(step.detailed.items())}
