"""Findings for readers: a table for people, JSON for scripts, SARIF 2.1.0 for code scanning."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policies.evaluate import Finding
from policies.registry import RULES, VERSION
from policies.rule import Rule, Severity
from policies.suppressions import Suppression

_WIDTH: Final = 160  # of a table that goes into a file or a log
_COLOURS = {Severity.CRITICAL: "bold red", Severity.HIGH: "red", Severity.MEDIUM: "yellow", Severity.LOW: "cyan"}
_ORDER = [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW]
# What code scanning sorts by: https://docs.github.com/code-security, "SARIF support", security-severity.
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
ENDED: Final = "exception-ended"


@dataclass(frozen=True)
class Report:
    """What was found over so many resources."""

    findings: Sequence[Finding]
    ended: Sequence[Suppression]  # exceptions that hold no longer, which fails
    unused: Sequence[Suppression]  # exceptions that nothing needed
    resources: int

    @property
    def fails(self) -> bool:
        return bool(self.ended) or any(finding.fails for finding in self.findings)

    @property
    def ordered(self) -> list[Finding]:
        """The most severe first."""
        return sorted(
            self.findings, key=lambda item: (_ORDER.index(item.rule.severity), item.rule.number, item.urn, item.message)
        )


def state_of(finding: Finding) -> str:
    """mandatory, advisory, undecided or accepted."""
    if finding.undecided:
        return "undecided"
    if finding.suppression:
        return "accepted"
    return "mandatory" if finding.fails else "advisory"


def table(report: Report, source: str) -> str:
    """For a terminal; in colour where standard output is one."""
    terminal = sys.stdout.isatty()
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=terminal, no_color=not terminal, highlight=False, width=None if terminal else _WIDTH
    )
    if report.findings:
        grid = Table(box=box.ASCII2, show_lines=True)
        for name, ratio in (("rule", 5), ("severity", 2), ("resource", 6), ("message", 8), ("remediation", 8)):
            grid.add_column(name, ratio=ratio, overflow="fold")
        for finding in report.ordered:
            severity = Text(finding.rule.severity, _COLOURS[finding.rule.severity])
            severity.append(f"\n{state_of(finding)}", "dim")
            grid.add_row(
                finding.rule.name,
                severity,
                _short(finding.urn),
                Text(_explained(finding)),
                Text(finding.rule.remediation),
            )
        console.print(grid)
    for item in report.ended:
        console.print(Text(f"exception has ended: {item}", "bold red"))
    for item in report.unused:
        console.print(Text(f"exception is not needed: {item}", "yellow"))
    states = [state_of(finding) for finding in report.findings]
    counts = ", ".join(f"{states.count(name)} {name}" for name in ("mandatory", "advisory", "accepted", "undecided"))
    verdict = ("failed", "bold red") if report.fails else ("passed", "bold green")
    console.print(Text.assemble(f"{source}: ", verdict, f" ({report.resources} resources: {counts})"))
    return out.getvalue()


def _short(urn: str) -> str:
    if not urn:
        return "the stack"
    kind, _, name = urn.rpartition("::")
    return f"{kind.rpartition('::')[2].rpartition('$')[2]} {name}"


def _explained(finding: Finding) -> str:
    accepted = finding.suppression
    return f"{finding.message} (accepted until {accepted.until}: {accepted.reason})" if accepted else finding.message


def as_json(report: Report, source: str) -> str:
    """One document."""
    document = {
        "state": source,
        "passed": not report.fails,
        "resources": report.resources,
        "findings": [
            {
                "rule": finding.rule.name,
                "severity": finding.rule.severity.value,
                "state": state_of(finding),
                "resource": finding.urn,
                "message": finding.message,
                "remediation": finding.rule.remediation,
                "link": finding.rule.link,
                "exception": _exception(finding.suppression) if finding.suppression else None,
            }
            for finding in report.ordered
        ],
        "exceptions": {
            "ended": [_exception(item) for item in report.ended],
            "unused": [_exception(item) for item in report.unused],
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _exception(item: Suppression) -> dict[str, str]:
    return {"rule": item.rule, "resource": item.resource, "reason": item.reason, "until": item.until.isoformat()}


def sarif(report: Report, source: str) -> str:
    """SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""
    index = {rule.name: at for at, rule in enumerate(RULES)}
    ended = {
        "id": ENDED,
        "shortDescription": {"text": "An exception to a rule has ended"},
        "help": {"text": "Mend the resource and take the exception out of the exceptions file."},
    }
    results = [_result(finding, index[finding.rule.name], source) for finding in report.ordered]
    results += [
        {
            "ruleId": ENDED,
            "ruleIndex": len(RULES),
            "level": "error",
            "message": {"text": str(item)},
            "locations": [_location(item.resource, source)],
            "partialFingerprints": _fingerprints(ENDED, item.rule, item.resource),
        }
        for item in report.ended
    ]
    driver = {
        "name": "strongroom policies",
        "version": VERSION,
        "rules": [*(_described(rule) for rule in RULES), ended],
    }
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(document, indent=2) + "\n"


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.remediation},
        "helpUri": rule.link,
        "defaultConfiguration": {"level": "error" if rule.severity in _ORDER[:2] else "warning"},
        "properties": {"tags": ["security", *rule.tags], "security-severity": _SCORES[rule.severity]},
    }


def _result(finding: Finding, index: int, source: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule.name,
        "ruleIndex": index,
        "message": {"text": finding.message},
        "locations": [_location(finding.urn, source)],
        "partialFingerprints": _fingerprints(finding.rule.name, finding.urn, finding.message),
    }
    if finding.undecided:
        return {**result, "kind": "review", "level": "none"}
    result["level"] = "error" if state_of(finding) == "mandatory" else "warning"
    if finding.suppression:
        reason = f"until {finding.suppression.until}: {finding.suppression.reason}"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return result


def _fingerprints(*parts: str) -> dict[str, str]:
    # By its default, code scanning would take two results of one rule in one line for one; all results are in line 1.
    return {"primaryLocationLineHash": hashlib.sha256("\0".join(parts).encode()).hexdigest()}


def _location(urn: str, source: str) -> dict[str, Any]:
    # The state's file stands for a place in the code, which a state does not know; scanners want one.
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(PurePath(source).as_posix())},
            "region": {"startLine": 1},
        }
    }
    if urn:
        location["logicalLocations"] = [{"fullyQualifiedName": urn, "kind": "resource"}]
    return location


FORMATS: Final[dict[str, Callable[[Report, str], str]]] = {"table": table, "json": as_json, "sarif": sarif}
