"""A picture of a drill: latency over time, one panel a path and mode, every rotation marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotation.drill.load import Load
from rotation.drill.report import Row

_BINS = 120
_COLUMNS = 2


def draw(rows: Sequence[Row], loads: Sequence[Load], file: Path) -> None:
    """Median, 99th percentile and maximum of each slice of time, in ms, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = min(_COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(7.5 * columns, 2.6 * lines), squeeze=False, layout="constrained"
    )
    for axis, row, load in zip(axes.flat, rows, loads, strict=False):
        _panel(axis, row, load)
    for axis in list(axes.flat)[len(rows) :]:
        axis.set_visible(False)
    axes.flat[0].legend(loc="upper right", ncols=4, fontsize=7, framealpha=0.9)
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    for line in axes:
        line[0].set_ylabel("latency, ms")
    low = min(axis.get_ylim()[0] for axis in axes.flat[: len(rows)])
    high = max(axis.get_ylim()[1] for axis in axes.flat[: len(rows)])
    for axis in axes.flat[: len(rows)]:
        axis.set_ylim(low, high)
    figure.suptitle("Request latency while credentials rotate", fontsize=13, x=0.01, ha="left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _panel(axis: Any, row: Row, load: Load) -> None:
    width = (load.ended - load.began) / _BINS or 1.0
    slices: list[list[float]] = [[] for _ in range(_BINS)]
    for start, latency in zip(load.starts, load.latencies, strict=True):
        slices[min(int((start - load.began) / width), _BINS - 1)].append(latency * 1000)
    filled = [(number * width, sorted(values)) for number, values in enumerate(slices) if values]
    times = [time for time, _ in filled]
    for number, (began, _) in enumerate(load.rotations):
        axis.axvline(
            began - load.began, color="#d97706", linewidth=0.7, alpha=0.55, label="rotation" if number == 0 else None
        )
    p50 = [values[len(values) // 2] for _, values in filled]
    p99 = [values[min(int(len(values) * 0.99), len(values) - 1)] for _, values in filled]
    axis.fill_between(times, p50, p99, color="#2563eb", alpha=0.18, linewidth=0)
    axis.plot(times, p50, color="#1e3a8a", linewidth=1.3, label="median")
    axis.plot(times, p99, color="#2563eb", linewidth=0.9, label="99th percentile")
    axis.plot(times, [values[-1] for _, values in filled], ".", color="#64748b", markersize=2.5, label="slowest")
    axis.set_yscale("log")
    axis.margins(x=0)
    axis.grid(axis="y", linewidth=0.4, alpha=0.4)
    failed = f"{row.failed} failed"
    title = f"{row.source}, {row.mode}: {row.requests:,} requests, {row.rotations} rotations, {failed}"
    axis.set_title(title, fontsize=9, loc="left", color="#b91c1c" if row.failed else "#111827")
