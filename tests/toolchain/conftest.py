"""An empty toolchain of the small module, with a warm copy of Go's cache, and builds of it that can be killed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.toolchain import golang
from sandbox.toolchain.pins import Pins
from sandbox.toolchain.store import Store
from tests.toolchain.small_module import PROGRAMS, Go, write_module


@pytest.fixture(scope="session")
def compiled_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Go's cache with the runtime compiled, so that each test compiles only its own few lines."""
    folder = tmp_path_factory.mktemp("warm")
    go = golang.find((1, 21))
    module = write_module(folder / "module")
    environment = go.environment(folder)
    (folder / "tmp").mkdir()
    subprocess.run([go.path, "build", "-o", folder / "out", "./first"], cwd=module, env=environment, check=True)
    return folder / "compiled"


@pytest.fixture
def go(tmp_path: Path) -> Go:
    folder = tmp_path / "go"
    folder.mkdir()
    return Go(folder, golang.find((1, 21)).path)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return write_module(tmp_path / "module")


@pytest.fixture
def store(tmp_path: Path, module: Path, compiled_runtime: Path) -> Store:
    """An empty toolchain whose Go cache is warm, as that of an interrupted build."""
    store = Store.of(Pins(source=module, programs=PROGRAMS), tmp_path / "cache")
    shutil.copytree(compiled_runtime, store.build / "compiled")
    return store


@pytest.fixture
def start(tmp_path: Path, module: Path, go: Go) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a build of the small toolchain as a process of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / "builder.py", module, tmp_path / "cache"],
            env=go.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()
