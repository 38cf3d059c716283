"""Building what is missing from a toolchain: one process builds, others wait and see how far it is.

Go's own caches stand in the toolchain's folder until everything is built, so that an interrupted build goes on where it
was; then they are removed. ``python3 -m sandbox.toolchain.build`` builds everything. Standard library only.
"""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox.process import die_with_parent
from sandbox.toolchain import errors, go, golang
from sandbox.toolchain.errors import BuildFailed, LowDisk, ToolchainError
from sandbox.toolchain.locks import try_lock
from sandbox.toolchain.pins import GIB, Program
from sandbox.toolchain.store import Status, Store

Show = Callable[[Status], None]

INTERRUPTED = 130
"""Exit code of a build that the terminal interrupted (128 + SIGINT)."""

_POLL = 0.5  # seconds between two looks at a build that another process does
_RESUMED_BYTES = 2 * GIB  # room for the rest of a build that was interrupted
_KEPT_LINES = 30  # of Go's output, for an error
_PACKAGE = re.compile(r"^[\w.~-]+(/[\w.~-]+)*$")  # a line of `go build -v` that names a package it compiles


def ensure(store: Store, names: Sequence[str], show: Show) -> None:
    """Return once ``names`` and the CRDs are in ``store``; build them where no other process does.

    ``show`` is called with the status about twice a second. Raises a ToolchainError where the build fails, also
    where the one that this process waited for did.
    """
    watched: int | None = None
    while store.missing(tuple(names)) or store.missing_crds():
        lock = try_lock(store.lock)
        if lock is not None:
            with lock:
                status = store.read_status()
                if status and status.state == "failed" and status.pid == watched:
                    raise getattr(errors, status.error_type, BuildFailed)(status.error)
                _Build(store, show).run(names)
            return
        status = store.read_status()
        if status:
            watched = status.pid
            show(status)
        time.sleep(_POLL)


class _Build:
    """One build, by the process that holds the lock."""

    def __init__(self, store: Store, show: Show) -> None:
        self._store = store
        self._show = show
        self._status = Status(pid=os.getpid())
        self._reported = 0.0
        self._output: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

    def run(self, names: Sequence[str]) -> None:
        store = self._store
        try:
            wanted = [program for program in store.pins.programs if program.name in store.missing(tuple(names))]
            self._check_disk()
            self._begin("looking for Go and the module proxy")
            tool = golang.find(store.pins.go_version())
            self._environment = tool.environment(store.build)
            self._tool = str(tool.path)
            golang.check_proxy(self._tool, self._environment, store.pins)
            if store.missing_crds():
                self._copy_crds()
            for program in wanted:
                self._build(program)
            if not store.missing(store.pins.names()):
                self._step("Go's caches removed", "removing Go's caches", lambda: remove(store.build))
            self._status.state = "done"
        except ToolchainError as error:
            self._status.state, self._status.error, self._status.error_type = "failed", str(error), type(error).__name__
            raise
        finally:
            self._report()

    def _check_disk(self) -> None:
        root = self._store.root
        resumed = self._store.build.is_dir()
        root.mkdir(parents=True, exist_ok=True)
        needed = min(_RESUMED_BYTES, self._store.pins.disk_bytes) if resumed else self._store.pins.disk_bytes
        free = shutil.disk_usage(root).free
        if free < needed:
            raise LowDisk(
                f"the build needs {needed / GIB:.1f} GiB of free disk for a while, and {root} has {free / GIB:.1f} GiB: "
                "free some, or set STRONGROOM_CACHE to a folder on another disk "
                "(or STRONGROOM_TOOLCHAIN to one with ready binaries)"
            )
        for folder in ("tmp", "out"):  # what a killed build left half done
            shutil.rmtree(self._store.build / folder, ignore_errors=True)
            (self._store.build / folder).mkdir(parents=True)

    def _copy_crds(self) -> None:
        folders = self._store.pins.crds

        def copy() -> None:
            modules = [folder.module for folder in folders]
            found = {}
            decoder, text = json.JSONDecoder(), self._go("mod", "download", "-json", *modules).strip()
            while text:
                module, end = decoder.raw_decode(text)
                found[module["Path"]] = Path(module["Dir"])
                text = text[end:].lstrip()
            for folder in folders:
                if not self._store.add_crds(folder.name, found[folder.module] / folder.folder):
                    raise BuildFailed(
                        f"{folder.module} has no CRDs in {folder.folder}: does go.mod pin the right version?"
                    )

        self._step("CRDs", "downloading the modules with the CRDs", copy)

    def _build(self, program: Program) -> None:
        flags = [f"-ldflags={program.link_flags}", program.package]
        stale: list[str] = []

        def download() -> None:
            template = "-f={{if .Stale}}{{.ImportPath}}{{end}}"
            stale.extend(line for line in self._go("list", "-deps", template, *flags).splitlines() if line)

        # Listing what is to be compiled loads every package, and so downloads whatever module is not there yet.
        self._step(f"{program.name}: modules", f"{program.name}: downloading modules", download)
        out = self._store.build / "out" / program.name

        def compile_it() -> None:
            self._status.total = len(stale)
            began = time.monotonic()
            self._go("build", "-v", f"-o={out}", *flags)
            self._store.add(program.name, out, time.monotonic() - began)

        self._step(program.name, f"{program.name}: compiling", compile_it)

    def _go(self, *arguments: str) -> str:
        """Run go, follow what it prints to standard error, and return what it prints to standard output."""
        self._output.clear()
        with (
            (self._store.build / "tmp" / "stdout").open("w+", encoding="utf-8") as stdout,
            subprocess.Popen(
                [self._tool, *arguments],
                cwd=self._store.pins.source,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=die_with_parent,  # nothing may go on compiling once nobody holds the lock
            ) as process,
        ):
            assert process.stderr is not None
            for raw in process.stderr:
                line = raw.rstrip()
                if _PACKAGE.match(line):
                    self._status.done += 1
                else:
                    self._output.append(line)
                if time.monotonic() - self._reported > _POLL:
                    self._report()
            if process.wait() != 0:
                raise BuildFailed(self._explain(arguments[0]))
            stdout.seek(0)
            return stdout.read()

    def _explain(self, command: str) -> str:
        said = [line for line in self._output if line and not line.startswith("go: downloading")]
        text = "\n".join(f"  {line}" for line in said) or "  (it said nothing)"
        hint = "run the same command again: it goes on where it stopped"
        if "no space left on device" in text:
            hint = "free some disk, or set STRONGROOM_CACHE to a folder on another disk, and run the same command again"
        return f"{self._status.text}: `go {command}` failed:\n{text}\n{hint}"

    def _step(self, name: str, text: str, action: Callable[[], None]) -> None:
        self._begin(text)
        began = time.monotonic()
        action()
        self._status.steps.append((name, round(time.monotonic() - began, 1)))
        self._report()

    def _begin(self, text: str) -> None:
        self._status.text, self._status.began = text, time.time()
        self._status.done = self._status.total = 0
        self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        self._store.write_status(self._status)
        self._show(self._status)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, also Go's module cache, whose folders are read-only."""
    for path, _folders, _files in os.walk(folder):
        Path(path).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Build everything that is missing; the status file tells how far it is."""
    try:
        ensure(go.store(), go.missing(), lambda _: None)
    except ToolchainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
