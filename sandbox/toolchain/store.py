"""The cache folder of one set of pins: finished binaries, CRDs, and how far a build is.

    CACHE/go/KEY/bin/NAME            a finished binary
                 records/NAME.json   its size, time stamp and SHA-256, and how long it took
                 crds/NAME/*.yaml
                 status.json         what the build does now, or why it failed
                 lock                held by the process that builds
                 build/              Go's own caches, until everything is built

A binary counts as finished when its record fits it. Everything appears by renaming, so a build may be killed at any moment.
Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sandbox.toolchain.pins import Pins


@dataclass(kw_only=True)
class Status:
    """How far a build is. Written by the one process that builds, read by those who wait."""

    pid: int
    state: str = "building"  # building, done, failed
    text: str = ""  # what is done now
    done: int = 0  # packages of this step compiled so far
    total: int = 0  # 0 where it is not known
    began: float = 0.0  # of this step, seconds since the epoch
    steps: list[tuple[str, float]] = field(default_factory=list)  # finished ones and their seconds
    error: str = ""
    error_type: str = ""

    def alive(self) -> bool:
        """Whether the process that wrote it still builds; one that was killed cannot say so."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return self.state == "building"

    def line(self) -> str:
        """One line for a person."""
        share = f", {self.done} of {self.total} packages" if self.total else ""
        return f"{self.text}{share}, {seconds(time.time() - self.began)}"


def seconds(value: float) -> str:
    """A duration as people read it: ``7 s``, ``4 m 50 s``."""
    whole = round(value)
    return f"{whole} s" if whole < 60 else f"{whole // 60} m {whole % 60:02d} s"


@dataclass(frozen=True)
class Store:
    """The finished part of a toolchain."""

    pins: Pins
    root: Path

    @classmethod
    def of(cls, pins: Pins, cache: Path) -> Store:
        return cls(pins, cache / "go" / pins.key())

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def build(self) -> Path:
        return self.root / "build"

    def binary(self, name: str) -> Path | None:
        """The finished binary, or None. Its content is read again only where its time stamp has changed."""
        path = self.root / "bin" / name
        record = self._record(name)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        if record is None or stat.st_size != record["size"] or not os.access(path, os.X_OK):
            return None
        if stat.st_mtime_ns != record["mtime_ns"]:
            if sha256(path) != record["sha256"]:
                return None
            self._write_record(name, {**record, "mtime_ns": stat.st_mtime_ns})
        return path

    def crds(self, name: str) -> Path | None:
        path = self.root / "crds" / name
        return path if path.is_dir() else None

    def missing(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if self.binary(name) is None)

    def missing_crds(self) -> bool:
        return any(self.crds(crds.name) is None for crds in self.pins.crds)

    def add(self, name: str, built: Path, took: float) -> None:
        """Move a freshly built binary in."""
        target = self.root / "bin" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        built.chmod(0o755)
        stat = built.stat()
        record = {
            "sha256": sha256(built),
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "seconds": round(took, 1),
        }
        built.replace(target)
        self._write_record(name, record)

    def add_crds(self, name: str, source: Path) -> int:
        """Copy the definitions among ``source``'s files; returns how many there are."""
        target = self.root / "crds" / name
        fresh = target.with_name(f".{name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        count = 0
        for file in sorted(source.glob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            if "kind: CustomResourceDefinition" in text:  # a folder of them may hold a kustomization as well
                (fresh / file.name).write_text(text, encoding="utf-8")
                count += 1
        if count:
            shutil.rmtree(target, ignore_errors=True)
            fresh.replace(target)
        return count

    def read_status(self) -> Status | None:
        try:
            return Status(**json.loads((self.root / "status.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_status(self, status: Status) -> None:
        _write(self.root / "status.json", asdict(status))

    def _record(self, name: str) -> dict[str, object] | None:
        try:
            found = json.loads((self.root / "records" / f"{name}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and {"sha256", "size", "mtime_ns"} <= found.keys() else None

    def _write_record(self, name: str, record: dict[str, object]) -> None:
        _write(self.root / "records" / f"{name}.json", record)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, data: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data), encoding="utf-8")
    temporary.replace(path)
