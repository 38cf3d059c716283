"""A Go module of two programs that compile in a second, and a real Go that notes what it is asked."""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.toolchain.pins import Program

CHECKOUT = Path(__file__).parents[2]
GO_MOD = "module example.test/small\n\ngo 1.21\n"
PROGRAMS = tuple(Program(name=name, package=f"example.test/small/{name}") for name in ("first", "second"))

_WRAPPER = """#!/bin/sh
slow=
case "$*" in
  *{slow}*) if [ -e "{folder}/slow" ]; then slow=1; echo $$ > "{folder}/pid"; fi ;;
esac
echo "$@" >> "{log}"
[ -z "$slow" ] || exec sleep 60
exec "{go}" "$@"
"""


def write_module(folder: Path, **mains: str) -> Path:
    """A module whose program NAME has the body ``mains[NAME]`` (default: prints its name)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(GO_MOD)
    for program in PROGRAMS:
        (folder / program.name).mkdir(exist_ok=True)
        body = mains.get(program.name, f'func main() {{ println("{program.name}") }}')
        (folder / program.name / "main.go").write_text(f"package main\n\n{body}\n")
    return folder


class Go:
    """The machine's Go behind a script that notes each call; it hangs in a build of ``second`` while ``slow`` is set."""

    def __init__(self, folder: Path, real: Path) -> None:
        self._folder = folder
        self._log = folder / "log"
        wrapper = folder / "go"
        slow = "build*small/second"
        wrapper.write_text(_WRAPPER.format(log=self._log, folder=folder, go=real, slow=slow))
        wrapper.chmod(0o755)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
        }

    def builds(self, name: str) -> int:
        """How often it was asked to build the program."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return sum(line.startswith("build ") and line.endswith(f"small/{name}") for line in lines)

    def slow(self, on: bool) -> None:
        (self._folder / "slow").touch() if on else (self._folder / "slow").unlink()

    def hanging_pid(self) -> int:
        return int((self._folder / "pid").read_text())
