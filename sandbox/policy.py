"""The policy pack over a program's environments, by previews that need no server, no cluster and no credentials.

The embedded engine runs the program with each environment's configuration against a provider that asks nobody, and the pack as
its own process, as for any preview: what a server would add is unknown to the rules, what the program asks for is not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox import offline, repository, stack
from sandbox.engine import EngineError, run
from sandbox.engine.analyzer import MENDED, Violation

ENVIRONMENTS = ("dev", "staging", "production")
PACK = stack.ROOT / "policies"
WIDTH = 160  # of a table that goes into a file or a log
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan"}
_ORDER = ("critical", "high", "medium", "low", "")


@dataclass(frozen=True)
class Report:
    """What the pack says of one environment. ``errors`` are what kept the preview from its end."""

    environment: str
    resources: int
    violations: list[Violation]
    errors: list[str]
    mended: list[str] = field(default_factory=list)  # what the pack would change in the program's inputs, and why

    @property
    def ok(self) -> bool:
        return not self.errors and not any(_level(item) == "mandatory" for item in self.violations)


def check(environment: str, program: Path = stack.ROOT, pack: Path = PACK) -> Report:
    """Preview ``program`` as its stack ``environment``, with the pack's configuration of that name where there is one."""
    with tempfile.TemporaryDirectory(prefix="strongroom-policy-") as name:
        folder = Path(name)
        variables = bare_environment(folder)
        own = program.resolve() == stack.ROOT
        files: Sequence[Path] = ()  # the program's own
        drawn: dict[str, str] = {}
        if own and environment == stack.STACK:
            files = _dev_config(folder, variables)
        elif own:
            drawn = {f"{stack.PROJECT}:databasePassword": secrets.token_urlsafe(24)}
        config = pack / "config" / f"{environment}.json"
        try:
            result = run(
                "preview",
                program=program,
                stack=environment,
                state=folder / "state.json",
                providers=offline.PROVIDERS,
                config_files=files,
                secrets=drawn,
                policy_packs=[pack],
                policy_pack_configs=[config] if config.exists() else [],
                environment=variables,
            )
        except EngineError as error:
            return Report(environment, 0, [], [str(error)])
    found = [
        dataclasses.replace(item.violation, urn=item.urn) for item in result.diagnostics if item.violation is not None
    ]
    mended = [
        f"{_resource(item.urn)}: {item.message.removeprefix(MENDED)}"
        for item in result.diagnostics
        if item.message.startswith(MENDED)
    ]
    errors = [item.message for item in result.diagnostics if item.severity == "error" and item.violation is None]
    if not result.ok and not errors and not any(_level(item) == "mandatory" for item in found):
        errors.append("the preview failed")
    found.sort(key=lambda item: (_ORDER.index(item.severity), item.policy, item.urn, item.message))
    return Report(environment, sum(result.changes.values()), found, errors, sorted(mended))


def bare_environment(folder: Path) -> dict[str, str]:
    """This process's environment without anything that would lead the program to a server."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AWS_", "VAULT_", "PULUMI_", "SOPS_", "PG")) and key != "KUBECONFIG"
    }
    return kept | {
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(stack.passphrase_file(folder)),
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(stack.ROOT), kept.get("PYTHONPATH")])),
    }


def _dev_config(folder: Path, variables: dict[str, str]) -> list[Path]:
    endpoints = offline.endpoints(folder)
    variables["SOPS_AGE_KEY_FILE"] = str(repository.age_key_file(endpoints))
    _, certificate = repository.key_pair()
    return stack.config_files(endpoints, sealing_certificate=certificate.decode())


def _level(violation: Violation) -> str:
    if violation.undecided:
        return "undecided"
    return "mandatory" if violation.level == "remediate" else violation.level


def _resource(urn: str) -> str:
    kind, _, name = urn.rpartition("::")
    return f"{kind.rpartition('::')[2].rpartition('$')[2]} {name}" if name else "the stack"


def _message(violation: Violation) -> str:
    if violation.undecided:
        return violation.message.partition(" during preview: ")[2] or violation.message
    return violation.message.removeprefix(violation.description).strip() or violation.description


def print_tables(reports: Sequence[Report], console: Console | None = None) -> None:
    """A table of each environment's violations, what can only be decided when the run knows more, and a line for each."""
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    for report in reports:
        if any(not item.undecided for item in report.violations):
            console.print(_table(report))
        undecided: dict[tuple[str, str], list[str]] = {}
        for item in report.violations:
            if item.undecided:
                undecided.setdefault((_resource(item.urn), _message(item)), []).append(item.policy)
        for (resource, reason), names in undecided.items():
            console.print(
                Text.assemble((f"{report.environment}, decided at `up`: ", "yellow"), f"{resource}: {reason}")
            )
            console.print(Text("  " + ", ".join(names), "dim"))
        for line in report.mended:
            console.print(Text.assemble((f"{report.environment}, mended: ", "cyan"), line))
        for error in report.errors:
            console.print(Text.assemble(("error: ", "bold red"), error))
    for report in reports:
        levels = [_level(item) for item in report.violations]
        counts = ", ".join(f"{levels.count(level)} {level}" for level in ("mandatory", "advisory", "undecided"))
        mark = ("passed", "bold green") if report.ok else ("failed", "bold red")
        console.print(Text.assemble(f"{report.environment}: ", mark, f" ({report.resources} resources: {counts})"))


def _table(report: Report) -> Table:
    table = Table(title=report.environment, title_justify="left", box=box.ASCII2, show_lines=True)
    for name, ratio in (("rule", 5), ("severity", 2), ("resource", 6), ("message", 8), ("remediation", 8)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for item in report.violations:
        if item.undecided:
            continue
        severity = Text(item.severity, _COLOURS.get(item.severity, ""))
        severity.append(f"\n{_level(item)}", "dim")
        table.add_row(item.policy, severity, _resource(item.urn), Text(_message(item)), Text(item.remediation))
    return table


def as_json(reports: Sequence[Report]) -> str:
    """The reports as a JSON document."""

    def entry(item: Violation) -> Mapping[str, Any]:
        return {
            "rule": item.policy,
            "severity": item.severity,
            "level": _level(item),
            "resource": item.urn,
            "message": _message(item),
            "remediation": item.remediation,
            "link": item.link,
        }

    return json.dumps(
        [
            {
                "environment": report.environment,
                "ok": report.ok,
                "resources": report.resources,
                "errors": report.errors,
                "mended": report.mended,
                "violations": [entry(item) for item in report.violations],
            }
            for report in reports
        ],
        indent=2,
    )
