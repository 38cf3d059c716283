"""Builds a small toolchain as a process of its own, so that tests can start two of them, and kill them.

builder.py SOURCE CACHE      prints one JSON line a status; exit code 1 and the error's type and text where it fails
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from sandbox.toolchain import build
from sandbox.toolchain.errors import ToolchainError
from sandbox.toolchain.pins import Pins
from sandbox.toolchain.store import Status, Store
from tests.toolchain.small_module import PROGRAMS


def main() -> int:
    source, cache = map(Path, sys.argv[1:])
    store = Store.of(Pins(source=source, programs=PROGRAMS), cache)

    def show(status: Status) -> None:
        print(json.dumps(asdict(status)), flush=True)

    try:
        build.ensure(store, store.pins.names(), show)
    except ToolchainError as error:
        print(type(error).__name__, error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
