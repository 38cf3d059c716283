"""What a person sees: progress by resource and a diff on a terminal, plain lines elsewhere, a summary with counts and time."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sandbox.engine import events, urns
from sandbox.engine.events import Diagnostic, Redact, Result, Silent, Step
from sandbox.engine.paths import parse
from sandbox.engine.values import BLOT, UNKNOWN, Secret

SYMBOLS = {
    events.CREATE: ("+", "green"),
    events.UPDATE: ("~", "yellow"),
    events.DELETE: ("-", "red"),
    events.REPLACE: ("+-", "magenta"),
    events.CREATE_REPLACEMENT: ("++", "green"),
    events.DELETE_REPLACED: ("--", "red"),
    events.READ: (">", "cyan"),
    events.READ_REPLACEMENT: (">>", "cyan"),
    events.DISCARD: ("<", "cyan"),
    events.DISCARD_REPLACED: ("<<", "cyan"),
    events.IMPORT: ("=", "blue"),
    events.IMPORT_REPLACEMENT: ("=", "blue"),
    events.REFRESH: ("~", "yellow"),
    events.SAME: (" ", "dim"),
}
_DOING = {
    events.CREATE: ("creating", "created"),
    events.UPDATE: ("updating", "updated"),
    events.DELETE: ("deleting", "deleted"),
    events.REPLACE: ("replacing", "replaced"),
    events.CREATE_REPLACEMENT: ("creating replacement", "created replacement"),
    events.DELETE_REPLACED: ("deleting original", "deleted original"),
    events.READ: ("reading", "read"),
    events.READ_REPLACEMENT: ("reading replacement", "read replacement"),
    events.DISCARD: ("discarding", "discarded"),
    events.DISCARD_REPLACED: ("discarding original", "discarded original"),
    events.IMPORT: ("importing", "imported"),
    events.IMPORT_REPLACEMENT: ("importing replacement", "imported replacement"),
    events.REFRESH: ("refreshing", "refreshed"),
}
_COUNTED = {
    "create": "to create",
    "update": "to update",
    "delete": "to delete",
    "replace": "to replace",
    "same": "unchanged",
    "import": "to import",
    "read": "to read",
    "discard": "to discard",
}
_DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "same": "unchanged",
    "import": "imported",
    "read": "read",
    "discard": "discarded",
}
_LONGEST_VALUE = 120


def worth_showing(step: Step) -> bool:
    """What did not change is only counted."""
    return not step.hidden and (bool(step.error) or (step.op != events.SAME and step.outcome != events.SAME))


def title(step: Step) -> str:
    return f"{urns.type_of(step.urn)} {urns.name_of(step.urn)}"


def _value(value: Any, redact: Redact) -> str:
    if isinstance(value, Secret):
        return BLOT
    if isinstance(value, str):
        if value == UNKNOWN:
            return "(known after the run)"
        text = json.dumps(redact(value), ensure_ascii=False)
    else:
        text = json.dumps(_printable(value, redact), ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _printable(value: Any, redact: Redact) -> Any:
    if isinstance(value, Secret):
        return BLOT
    if isinstance(value, dict):
        return {key: _printable(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item, redact) for item in value]
    if isinstance(value, str):
        return "(known after the run)" if value == UNKNOWN else redact(value)
    return value


def at(properties: Any, path: str) -> Any:
    """What is at a property path; a secret hides all below it."""
    try:
        keys = parse(path)
    except ValueError:  # a provider may spell it as it likes
        return None
    value = properties
    for key in keys:
        if isinstance(value, Secret):
            return value
        if isinstance(value, dict):
            value = value.get(str(key))
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def changes(step: Step, redact: Redact) -> list[tuple[str, str, str]]:
    """The lines of a step's diff: kind, path, what it was and what it becomes."""
    old = step.old.inputs if step.old is not None else {}
    before = {**(step.old.outputs if step.old is not None else {}), **old}
    after = step.new.inputs if step.new is not None else {}
    if step.op == events.REFRESH and step.new is not None:
        after = {**step.new.outputs, **step.new.inputs}
    lines = []
    for path, change in sorted(step.detailed.items()):
        try:
            was, becomes = at(before, path), at(after, path)
        except ValueError:
            was = becomes = None
        word = change.kind.partition("-")[0]
        text = {
            "add": _value(becomes, redact),
            "delete": _value(was, redact),
            "update": f"{_value(was, redact)} => {_value(becomes, redact)}",
        }[word]
        lines.append((change.kind, path, text))
    lines += [("update-replace", key, "") for key in step.replace_keys if not step.detailed]
    return lines


def summary(result: Result, *, preview: bool) -> str:
    """``3 created, 1 updated, 12 unchanged in 4.2 s``."""
    words = _COUNTED if preview else _DONE
    counts = result.changes
    parts = [f"{counts[op]} {words.get(op, op)}" for op in words if counts.get(op)]
    parts += [f"{count} {op}" for op, count in counts.items() if op not in words]
    if result.failed_steps:
        parts.append(f"{len(result.failed_steps)} failed")
    return f"{', '.join(parts) or 'nothing to do'} in {result.seconds:.1f} s"


class PlainDisplay(Silent):
    """One line an event, for logs and pipes."""

    def __init__(self, out: Any = None, err: Any = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._preview = False
        self._redact: Redact = str

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def begin(self, action: str, project: str, stack: str, *, preview: bool, redact: Redact) -> None:
        self._preview, self._redact = preview, redact
        what = f"preview of {action}" if preview and action != "preview" else action
        self._line(f"{what}: {project}/{stack}")

    def step_finished(self, step: Step) -> None:
        if not worth_showing(step):
            return
        symbol = SYMBOLS.get(step.op, ("?", ""))[0]
        state = step.op if self._preview else _DOING.get(step.op, (step.op, step.op))[1]
        if step.outcome:
            state = f"{state} ({step.outcome})"
        if step.error:
            state = f"{step.op} FAILED"
        took = f" [{step.seconds:.1f} s]" if step.seconds >= 0.1 and not self._preview else ""
        self._line(f"  {symbol:2} {title(step)} {state}{took}")
        if step.op in (events.UPDATE, events.REPLACE, events.REFRESH):
            for kind, path, text in changes(step, self._redact):
                self._line(f"       {kind:8} {path}{': ' + text if text else ''}")

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        if diagnostic.severity == "debug":
            return
        where = f"{diagnostic.urn}: " if diagnostic.urn else ""
        self._err.write(f"{diagnostic.severity}: {where}{diagnostic.message}\n")
        self._err.flush()

    def program_line(self, stream: str, line: str) -> None:
        del stream
        self._line(f"  | {line}")

    def end(self, result: Result) -> None:
        if result.action != "destroy" and result.outputs:
            self._line("outputs:")
            for key, value in sorted(result.outputs.items()):
                self._line(f"  {key}: {_value(value, self._redact)}")
        self._line(f"{'ok' if result.ok else 'FAILED'}: {summary(result, preview=self._preview)}")


class Display(Silent):
    """Live progress on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._running: dict[int, tuple[Step, float]] = {}
        self._done = 0
        self._unchanged = 0
        self._began = time.monotonic()
        self._preview = False
        self._redact: Redact = str
        self._live: Live | None = None

    def begin(self, action: str, project: str, stack: str, *, preview: bool, redact: Redact) -> None:
        self._preview, self._redact, self._began = preview, redact, time.monotonic()
        what = f"preview of {action}" if preview and action != "preview" else action
        self._console.print(Text.assemble((f"{what} ", "bold"), (f"{project}/{stack}", "bold cyan")))
        self._live = Live(get_renderable=self._progress, console=self._console, transient=True, refresh_per_second=8)
        self._live.start()

    def _progress(self) -> RenderableType:
        now = time.monotonic()
        lines: list[RenderableType] = []
        table = Table.grid(padding=(0, 1))
        running = list(self._running.values())
        for step, began in running[:12]:
            symbol, colour = SYMBOLS.get(step.op, ("?", "white"))
            doing = _DOING.get(step.op, (step.op, step.op))[0]
            table.add_row(Text(f" {symbol:2}", colour), title(step), Text(f"{doing} {now - began:.0f} s", "dim"))
        lines.append(table)
        if len(running) > 12:
            lines.append(Text(f"    and {len(running) - 12} more", "dim"))
        text = f"{self._done} done, {self._unchanged} unchanged, {now - self._began:.0f} s"
        lines.append(Spinner("dots", Text(text, "dim")))
        return Group(*lines)

    def step_started(self, step: Step) -> None:
        if worth_showing(step) or step.op == events.REFRESH:
            self._running[id(step)] = (step, time.monotonic())

    def step_finished(self, step: Step) -> None:
        self._running.pop(id(step), None)
        if not worth_showing(step):
            self._unchanged += not step.hidden
            return
        self._done += 1
        symbol, colour = SYMBOLS.get(step.op, ("?", "white"))
        state = step.op if self._preview else _DOING.get(step.op, (step.op, step.op))[1]
        line = Text.assemble(
            (f" {symbol:2} ", colour), (urns.type_of(step.urn), "dim"), " ", (urns.name_of(step.urn), "bold"), " "
        )
        if step.error:
            line.append(f"{step.op} failed", "bold red")
        else:
            line.append(f"{state} ({step.outcome})" if step.outcome else state, colour)
        if step.seconds >= 0.1 and not self._preview:
            line.append(f" {step.seconds:.1f} s", "dim")
        self._print(line)
        if step.op in (events.UPDATE, events.REPLACE, events.REFRESH):
            for kind, path, text in changes(step, self._redact):
                word, _, replacing = kind.partition("-")
                symbol, colour = SYMBOLS[{"add": events.CREATE, "delete": events.DELETE}.get(word, events.UPDATE)]
                row = Text.assemble((f"      {symbol} {path}", "magenta" if replacing else colour))
                row.append(f": {text}" if text else "")
                row.append(" (replaces)" if replacing else "", "magenta")
                self._print(row)

    def _print(self, text: RenderableType) -> None:
        self._console.print(text)

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        if diagnostic.severity == "debug":
            return
        colour = {"error": "bold red", "warning": "yellow"}.get(diagnostic.severity, "cyan")
        line = Text.assemble((f"{diagnostic.severity}: ", colour))
        if diagnostic.urn:
            line.append(diagnostic.urn + ": ", "dim")
        line.append(diagnostic.message)
        self._print(line)

    def program_line(self, stream: str, line: str) -> None:
        del stream
        self._print(Text.assemble(("  | ", "dim"), line))

    def close(self) -> None:
        """Give the terminal back, also where the run did not come to its end."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def end(self, result: Result) -> None:
        self.close()
        if result.action != "destroy" and result.outputs:
            self._print(Text("outputs", "bold"))
            for key, value in sorted(result.outputs.items()):
                self._print(Text.assemble(("  " + key, "cyan"), ": ", _value(value, self._redact)))
        mark = ("ok", "bold green") if result.ok else ("failed", "bold red")
        self._print(Text.assemble(mark, ": ", summary(result, preview=self._preview)))
