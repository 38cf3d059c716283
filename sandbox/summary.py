"""What `make up` ends with: what runs where, what was delivered to which workload, and what to try next."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sandbox import stack
from sandbox.endpoints import Endpoints
from sandbox.servers import ServerStatus
from sandbox.toolchain.paths import wheel_binary

WIDTH = 140  # where the output is no terminal, which has a width of its own
NEXT = (
    ('eval "$(make -s env)"', "then kubectl, bao, aws and psql talk to the sandbox"),
    ("kubectl get externalsecrets -A", "what is delivered, and when it was refreshed"),
    ("make preview", "what another `make up` would change: nothing"),
    ("make drill", "rotate every credential under load, and count failed requests"),
    ("make status", "the servers"),
    ("make down", "stop and remove everything"),
)


def progress(console: Console) -> Callable[[str, str, float], None]:
    """A callback that prints one line for each server as it changes."""

    def report(name: str, state: str, seconds: float) -> None:
        colour = {"ready": "green", "failed": "red"}.get(state, "dim")
        console.print(f"[{colour}]{state:>9}[/] {name} [dim]{seconds:.1f} s[/]", highlight=False)

    return report


def servers(console: Console, found: Sequence[ServerStatus]) -> None:
    """The servers as a table."""
    table = Table(title="What runs where", title_justify="left", box=None)
    for heading in ("server", "state", "at", "memory"):
        table.add_column(heading, justify="right" if heading == "memory" else "left")
    for server in found:
        colour = "green" if server.state == "ready" else "red"
        memory = f"{server.memory_bytes / 2**20:.0f} MiB" if server.memory_bytes else ""
        table.add_row(server.name, f"[{colour}]{server.state}[/]", server.address, memory)
    total = sum(server.memory_bytes or 0 for server in found)
    table.add_row("", "", "[dim]together[/]", f"[dim]{total / 2**20:.0f} MiB[/]")
    console.print(table)


def page(
    console: Console,
    endpoints: Endpoints,
    found: Sequence[ServerStatus],
    outputs: Mapping[str, Any],
    seconds: float,
) -> None:
    """The page at the end of `up`. It shows names and keys, never a value."""
    if not console.is_terminal:
        console.width = WIDTH
    console.print()
    servers(console, found)
    console.print()
    deliveries = outputs.get("deliveries") or []
    table = Table(title="What was delivered", title_justify="left", box=None)
    for heading in ("workload", "secret", "from", "keys"):
        table.add_column(heading, overflow="fold")
    for delivery in deliveries:
        keys = delivered_keys(endpoints, delivery)
        workload = f"{delivery['namespace']}/{delivery['workload']}"
        where = delivery.get("secret") or delivery.get("target", "")
        table.add_row(workload, where, delivery.get("source", ""), ", ".join(keys) or "[dim]not yet[/]")
    console.print(table)
    console.print()
    table = Table(title="What to try next", title_justify="left", box=None, show_header=False)
    for command, meaning in NEXT:
        table.add_row(f"[bold]{command}[/]", meaning)
    console.print(table)
    console.print(f"\n[dim]{stack.PROJECT} {stack.STACK} is up in {seconds:.1f} s[/]", highlight=False)


def delivered_keys(endpoints: Endpoints, delivery: Mapping[str, Any]) -> list[str]:
    """What the workload finds: the keys of its Secret, or the file in its pod; empty where it is not there."""
    if delivery.get("secret"):
        return secret_keys(endpoints, delivery["namespace"], delivery["secret"])
    pod = Path(endpoints.state_dir) / "pods" / delivery["namespace"] / delivery["workload"]
    return ["a file in the pod"] if (pod / delivery["target"].lstrip("/")).exists() else []


def secret_keys(endpoints: Endpoints, namespace: str, name: str) -> list[str]:
    """The keys of a Kubernetes Secret, without its values; empty where it is not there."""
    command = [str(wheel_binary("kubectl")), "get", "secret", "-n", namespace, name, "-o", "json", "--ignore-not-found"]
    environment = {
        "KUBECONFIG": endpoints.kubernetes.kubeconfig,
        "KUBECACHEDIR": str(Path(endpoints.state_dir) / "kube-cache"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0 or not done.stdout.strip():
        return []
    return sorted(json.loads(done.stdout).get("data") or {})
