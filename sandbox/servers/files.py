"""Private files and folders, secrets made once, and ports that stay the same over a restart."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

_FIRST_PORT = 15_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def private_folder(path: Path) -> Path:
    """The folder, made with mode 0700 where it is not there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def private_write(path: Path, content: str | bytes) -> Path:
    """Write a file whole, readable by its owner only."""
    temporary = path.with_name(f".{path.name}.new")
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    temporary.replace(path)
    return path


def secret_file(path: Path) -> Path:
    """A file with a random secret, made once."""
    if not path.exists():
        private_write(path, secrets.token_urlsafe(24))
    return path


class Ports:
    """Free loopback ports by name, remembered in ``ports.json``, so that addresses survive a restart."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / "ports.json"
        self._ports: dict[str, int] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def __getitem__(self, name: str) -> int:
        if name not in self._ports:
            self._ports[name] = free_port(exclude=set(self._ports.values()))
            private_write(self._file, json.dumps(self._ports, indent=2))
        return self._ports[name]


def free_port(exclude: Collection[int] = ()) -> int:
    """A port on which nothing listens on loopback now.

    It lies below the ports that the kernel gives to outgoing connections, so that it is still free at the next start.
    """
    try:
        last = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        last = 32_768
    span = range(_FIRST_PORT, last) if last > _FIRST_PORT + 1_000 else range(_FIRST_PORT, 65_000)
    while True:
        port = secrets.choice(span)
        if port not in exclude and _free(port):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
