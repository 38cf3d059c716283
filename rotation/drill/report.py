"""What a drill found: one row a path and mode, as a table, as JSON, and as the exit code."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rotation.drill.load import Load

_CAPTION = (
    "latencies in ms: before / during / after rotations; left over ?: ESO revokes nothing, each ends with its lease"
)
SETTLE = 0.15  # seconds after a rotation that still count as "during": connections are being replaced


@dataclass(frozen=True)
class Times:
    """A latency before the first rotation, during rotations, and after the last, in milliseconds; None: no request then."""

    before: float | None
    during: float | None
    after: float | None


@dataclass
class Row:
    """One delivery path in one mode."""

    source: str
    mode: str
    requests: int
    failed: int
    rotations: int
    p50: Times
    p99: Times
    per_second: float
    connections_replaced: int
    left_over: int | None
    """Users, leases and sessions that are still there after everything was closed; None: the source does not tell."""
    seconds: float
    errors: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not (self.failed or self.errors or self.left_over)


def row(source: str, mode: str, load: Load, *, replaced: int, left_over: int | None) -> Row:
    before, during, after = split(load)
    failures = sorted(set(load.failures))[:5]
    return Row(
        source=source,
        mode=mode,
        requests=load.requests,
        failed=len(load.failures),
        rotations=len(load.rotations),
        p50=Times(*(percentile(each, 50) for each in (before, during, after))),
        p99=Times(*(percentile(each, 99) for each in (before, during, after))),
        per_second=round(load.per_second, 1),
        connections_replaced=replaced,
        left_over=left_over,
        seconds=round(load.ended - load.began, 3),
        errors=[*load.waited, *failures],
    )


def split(load: Load) -> tuple[array[float], array[float], array[float]]:
    """Latencies before the first rotation, during rotations, and after the last; those between two are left out."""
    windows = [(began, ended + SETTLE) for began, ended in load.rotations]
    before, during, after = array("d"), array("d"), array("d")
    if not windows:
        return load.latencies, during, after
    first, last = windows[0][0], windows[-1][1]
    position = 0
    for start, latency in sorted(zip(load.starts, load.latencies, strict=True)):
        if start + latency < first:
            before.append(latency)
        elif start > last:
            after.append(latency)
        else:
            while position < len(windows) - 1 and windows[position][1] < start:
                position += 1
            if windows[position][0] <= start + latency and start <= windows[position][1]:
                during.append(latency)
    return before, during, after


def percentile(seconds: Iterable[float], percent: float) -> float | None:
    """Nearest rank, in milliseconds."""
    values = sorted(seconds)
    return round(1000 * values[max(math.ceil(len(values) * percent / 100) - 1, 0)], 3) if values else None


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Latencies in milliseconds."""
    return [{**asdict(each), "passed": each.passed} for each in rows]


def save(rows: Sequence[Row], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(as_json(rows), indent=2) + "\n", encoding="utf-8")


def show(rows: Sequence[Row], skipped: dict[str, str]) -> None:
    """The table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = 150
    table = Table(title="Rotation drill", caption=_CAPTION, title_justify="left")
    table.add_column("source", overflow="fold")
    for name in ("mode", "requests", "failed", "rotations", "p50", "p99", "replaced", "left over"):
        table.add_column(name, justify="left" if name == "mode" else "right", no_wrap=name != "rotations")
    for each in rows:
        failed = f"[bold red]{each.failed}[/]" if each.failed else "[green]0[/]"
        left = "?" if each.left_over is None else str(each.left_over)
        table.add_row(
            each.source,
            each.mode,
            f"{each.requests:,}",
            failed,
            str(each.rotations),
            _times(each.p50),
            _times(each.p99),
            str(each.connections_replaced),
            left,
        )
    console.print(table)
    for each in rows:
        for error in each.errors:
            console.print(f"[red]{each.source} ({each.mode}):[/] {error}", highlight=False)
    for name, reason in skipped.items():
        console.print(f"[yellow]{name} was not drilled:[/] {reason}", highlight=False)


def _times(times: Times) -> str:
    return " / ".join("-" if each is None else f"{each:.2f}" for each in (times.before, times.during, times.after))
