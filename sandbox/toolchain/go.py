"""The servers' binaries that are built from Go modules: where they are, and waiting until they are there.

``$STRONGROOM_TOOLCHAIN`` may name a folder of ready binaries (and ``crds/NAME/`` beside them); what it holds wins over the
cache. Standard library only, and quick once everything is built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.toolchain import pins
from sandbox.toolchain.errors import NotBuilt, ToolchainError
from sandbox.toolchain.paths import cache_root
from sandbox.toolchain.store import Store

if TYPE_CHECKING:
    from rich.console import Console

BINARIES = pins.strongroom().names()
"""Every binary of the toolchain, in the order in which they are built."""


def store() -> Store:
    """This project's part of the cache."""
    return _store(cache_root())


@cache
def _store(root: Path) -> Store:
    return Store.of(pins.strongroom(), root)


def binary(name: str) -> Path:
    """The binary ``name``, one of ``BINARIES``.

    Raises NotBuilt where it is not there yet, ToolchainError for a name that is none of them.
    """
    _check(name)
    path = _own(name) or store().binary(name)
    if path is None:
        raise NotBuilt(f"{name} is not built yet: run `make setup` (expected in {store().root / 'bin'})")
    return path


def crds(name: str) -> Path:
    """The folder with the custom resource definitions of ``external-secrets`` or ``sealed-secrets``.

    Raises NotBuilt where it is not there yet.
    """
    known = [folder.name for folder in store().pins.crds]
    if name not in known:
        raise ToolchainError(f"no CRDs are known by the name {name!r}: expected one of {', '.join(known)}")
    own = _own_folder()
    if own is not None and (own / "crds" / name).is_dir():
        return own / "crds" / name
    path = store().crds(name)
    if path is None:
        raise NotBuilt(f"the CRDs of {name} are not there yet: run `make setup` (expected in {store().root / 'crds'})")
    return path


def missing(names: Sequence[str] = BINARIES) -> tuple[str, ...]:
    """Those of ``names`` that are not there yet."""
    return store().missing(tuple(name for name in names if _own(name) is None))


def ready() -> bool:
    """Whether every binary and every CRD is there."""
    return not missing() and not _missing_crds()


def wait_for(names: Sequence[str], console: Console | None = None) -> None:
    """Return once ``names`` are there, and show on ``console`` how far their build is.

    Where no process builds them, this one does. Raises a ToolchainError where that fails.
    """
    for name in names:
        _check(name)
    if not missing(names) and not _missing_crds():
        return
    from sandbox.toolchain import build, display

    with display.on_console(console) as show:
        build.ensure(store(), missing(names), show)


def _missing_crds() -> bool:
    own = _own_folder()
    return any(
        store().crds(folder.name) is None and not (own is not None and (own / "crds" / folder.name).is_dir())
        for folder in store().pins.crds
    )


def _own_folder() -> Path | None:
    named = os.environ.get("STRONGROOM_TOOLCHAIN")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ToolchainError(
            f"STRONGROOM_TOOLCHAIN: {folder} is no folder; unset it, or name one that holds {', '.join(BINARIES)}"
        )
    return folder


def _own(name: str) -> Path | None:
    folder = _own_folder()
    path = folder / name if folder else None
    return path if path and os.access(path, os.X_OK) else None


def _check(name: str) -> None:
    if name not in BINARIES:
        raise ToolchainError(f"no binary is known by the name {name!r}: expected one of {', '.join(BINARIES)}")
