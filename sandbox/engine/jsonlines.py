"""Machine-readable output: one JSON line a step, a line for each diagnostic and each line of the program, a summary last.

    {"op": "update", "urn": "urn:...", "id": "a-1", "detailedDiff": {"tags.env": {"kind": "update", "inputDiff": true}},
     "diff": {"tags.env": "update"}, "replaceKeys": [...], "outcome": "...", "inputs": {...}, "error": "..."}
    {"diagnostic": {"severity": "warning", "message": "...", "urn": "..."}}
    {"program": {"stream": "stdout", "line": "..."}}
    {"summary": {"action": "up", "preview": false, "result": "ok", "changes": {"update": 1}, "durationSeconds": 1.2,
                 "outputs": {...}, "failedSteps": [{"op": "...", "urn": "..."}]}}

Empty fields are left out; ``inputs`` (after the provider's check) are there in previews. ``kind`` is add, delete or update, with
``-replace`` where it replaces. A secret is Pulumi's secret object with ``"[secret]"`` as its plaintext; its value is nowhere.
What is not known before the run is the string 04da6b54-80e4-46f7-96ec-b56ff0331ba9.
"""

from __future__ import annotations

import json
from typing import Any, TextIO

from sandbox.engine.events import Diagnostic, Redact, Result, Silent, Step, kinds
from sandbox.engine.values import BLOT, SECRET, SIGNATURE, Secret


def without_secrets(value: Any, redact: Redact) -> Any:
    """A value as it may be printed."""
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "plaintext": json.dumps(BLOT)}
    if isinstance(value, dict):
        return {key: without_secrets(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item, redact) for item in value]
    return redact(value) if isinstance(value, str) else value


class JsonLines(Silent):
    """Writes the lines to a stream, each when what it tells of has happened."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._preview = False
        self._redact: Redact = str

    def begin(self, action: str, project: str, stack: str, *, preview: bool, redact: Redact) -> None:
        del action, project, stack
        self._preview, self._redact = preview, redact

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._stream.flush()

    def step_finished(self, step: Step) -> None:
        if step.hidden:
            return
        line: dict[str, Any] = {"op": step.op, "urn": step.urn}
        if step.id:
            line["id"] = step.id
        if step.detailed:
            line["detailedDiff"] = {
                path: {"kind": change.kind, "inputDiff": change.input_diff}
                for path, change in sorted(step.detailed.items())
            }
            line["diff"] = dict(kinds(step))
        if step.replace_keys:
            line["replaceKeys"] = sorted(step.replace_keys)
        if step.outcome:
            line["outcome"] = step.outcome
        if step.inputs:
            line["inputs"] = without_secrets(step.inputs, self._redact)
        if step.error:
            line["error"] = step.error
        self._write(line)

    def diagnostic(self, diagnostic: Diagnostic) -> None:
        if diagnostic.severity == "debug":
            return
        line = {"severity": diagnostic.severity, "message": diagnostic.message}
        if diagnostic.urn:
            line["urn"] = diagnostic.urn
        self._write({"diagnostic": line})

    def program_line(self, stream: str, line: str) -> None:
        self._write({"program": {"stream": stream, "line": line}})

    def end(self, result: Result) -> None:
        summary: dict[str, Any] = {
            "action": result.action,
            "preview": self._preview,
            "result": "ok" if result.ok else "failed",
            "changes": result.changes,
            "durationSeconds": round(result.seconds, 3),
            "outputs": without_secrets(result.outputs, self._redact),
        }
        if result.failed_steps:
            summary["failedSteps"] = [{"op": step.op, "urn": step.urn} for step in result.failed_steps]
        self._write({"summary": summary})
