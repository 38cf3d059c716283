"""The usual tools for a machine that has none: links to the sandbox's own, for the end of a PATH. AWS's CLI is not among them."""

from __future__ import annotations

from pathlib import Path

from sandbox.toolchain import go
from sandbox.toolchain.paths import postgres_binary, wheel_binary


def folder(state_dir: Path) -> Path:
    """Where the links are."""
    return state_dir / "bin"


def link(state_dir: Path) -> None:
    """Make the links, or make them anew after a tool moved."""
    place = folder(state_dir)
    place.mkdir(mode=0o700, exist_ok=True)
    tools = {name: wheel_binary(name) for name in ("bao", "kubectl", "sops")}
    for name, target in (tools | {"kubeseal": go.binary("kubeseal"), "psql": postgres_binary("psql")}).items():
        fresh = place / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(place / name)
