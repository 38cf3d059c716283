"""How fast the embedded engine is, against a provider that does nothing: ``python -m tests.bench.engine [N ...]``.

Prints a table: time, resources per second and the peak memory of the larger of its two processes, for a preview, an ``up``
from nothing, an unchanged ``up`` and a ``destroy`` of N resources (default 500, 2,000 and 6,000), each a process of its own, with
the journal's fsyncs. ``--kind component`` makes components instead of resources of the provider.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = (500, 2_000, 6_000)
PROGRAM = """
import os
import pulumi

COUNT = int(os.environ["BENCH_COUNT"])


class Group(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("bench:index:Group", name, {}, opts)
        self.register_outputs({"name": name})


class Item(pulumi.CustomResource):
    def __init__(self, name, value, opts=None):
        super().__init__("noop:index:Item", name, {"value": value, "size": None}, opts)


for at in range(COUNT):
    if os.environ["BENCH_KIND"] == "component":
        Group(f"group-{at}")
    else:
        Item(f"item-{at}", f"value {at}", pulumi.ResourceOptions(version="1.0.0"))
"""
STEPS = (("preview", "preview"), ("up", "up"), ("unchanged up", "up"), ("destroy", "destroy"))


def measure(kind: str, count: int, folder: Path) -> list[tuple[str, float, float]]:
    """Time in seconds and peak memory in MB of each step."""
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    environment = {**os.environ, "BENCH_COUNT": str(count), "BENCH_KIND": kind, "PULUMI_CONFIG_PASSPHRASE": "bench"}
    environment["PYTHONPATH"] = str(ROOT)
    found = []
    for name, action in STEPS:
        command = [sys.executable, "-m", "sandbox.engine", action, "--program", str(program), "--project", "bench"]
        command += ["--stack", "dev", "--state", str(folder / "state.json")]
        command += ["--provider", "noop=tests.bench.engine_provider:NoopProvider"]
        began = time.monotonic()
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{name} of {count} {kind}s failed with exit code {process.returncode}")
        found.append((name, took, usage.ru_maxrss / 1024))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=list(SIZES), metavar="N")
    parser.add_argument("--kind", choices=("resource", "component"), default="resource")
    options = parser.parse_args()
    table = Table(title=f"embedded engine, {options.kind}s, {os.cpu_count()} cores")
    for column in ("N", "step", "seconds", "per second", "peak MB"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for count in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for name, took, memory in measure(options.kind, count, Path(folder)):
                table.add_row(str(count), name, f"{took:.2f}", f"{count / took:.0f}", f"{memory:.0f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
