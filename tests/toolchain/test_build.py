"""One process builds, others wait; an interrupted build goes on; what is missing is told early and by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.toolchain import build, golang
from sandbox.toolchain.errors import BuildFailed, LowDisk, NoGo, RegistryUnreachable
from sandbox.toolchain.pins import CrdFolder, Pins, Program
from sandbox.toolchain.store import Status, Store
from tests.toolchain.small_module import PROGRAMS, Go, write_module
from tests.waiting import until

Start = Callable[[], subprocess.Popen[str]]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def compiling(store: Store, name: str) -> bool:
    status = store.read_status()
    return status is not None and status.text == f"{name}: compiling"


def test_a_build_leaves_working_binaries_and_none_of_gos_caches(store: Store) -> None:
    shown: list[str] = []
    build.ensure(store, store.pins.names(), lambda status: shown.append(status.text))
    for name in store.pins.names():
        path = store.binary(name)
        assert path is not None
        assert subprocess.run([path], capture_output=True, text=True, check=True).stderr == f"{name}\n"
    assert not store.build.exists()
    assert "first: compiling" in shown
    status = store.read_status()
    assert status is not None
    assert status.state == "done"
    assert {"first", "second"} <= {name for name, _ in status.steps}


def test_gos_caches_stay_until_everything_is_built(store: Store) -> None:
    build.ensure(store, ("first",), lambda _: None)
    assert store.missing(store.pins.names()) == ("second",)
    assert any((store.build / "compiled").iterdir())


def test_version_variables_are_linked(store: Store) -> None:
    source = write_module(store.pins.source, first="var VERSION string\nfunc main() { println(VERSION) }")
    programs = (replace(PROGRAMS[0], variables=("main.VERSION=v1.2.3",)),)
    linked = Store(Pins(source=source, programs=programs), store.root)
    build.ensure(linked, ("first",), lambda _: None)
    path = linked.binary("first")
    assert path is not None
    assert subprocess.run([path], capture_output=True, text=True, check=True).stderr == "v1.2.3\n"


def test_of_two_builds_at_once_one_builds_and_the_other_waits_and_sees_it(store: Store, go: Go, start: Start) -> None:
    go.slow(True)
    one = start()
    until("it compiles", lambda: compiling(store, "second"))
    other = start()
    assert other.stdout is not None
    assert json.loads(other.stdout.readline())["pid"] == one.pid
    pid = go.hanging_pid()
    go.slow(False)
    os.kill(
        pid, 9
    )  # what the hanging `go build` stands for fails, and with it the build: the other one is told the same
    assert one.wait(300) == 1
    assert other.wait(300) == 1
    assert go.builds("second") == 1
    assert other.stderr is not None
    assert "second: compiling" in other.stderr.read()


def test_two_builds_started_together_build_each_binary_once(store: Store, go: Go, start: Start) -> None:
    for process in [start(), start()]:
        assert process.wait(300) == 0
    assert (go.builds("first"), go.builds("second")) == (1, 1)
    assert store.missing(store.pins.names()) == ()


def test_a_killed_build_goes_on_where_it_was(store: Store, go: Go, start: Start) -> None:
    go.slow(True)
    killed = start()
    until("it compiles the second", lambda: compiling(store, "second") and go.builds("second") == 1)
    killed.kill()
    killed.wait()
    until("the compiler has ended", lambda: not alive(go.hanging_pid()))  # nothing goes on compiling without the lock
    status = store.read_status()
    assert status is not None
    assert not status.alive()
    go.slow(False)
    assert start().wait(300) == 0
    assert (go.builds("first"), go.builds("second")) == (1, 2)
    assert not store.build.exists()


def test_a_waiting_build_takes_over_from_one_that_was_killed(store: Store, go: Go, start: Start) -> None:
    go.slow(True)
    killed = start()
    until("it compiles the second", lambda: compiling(store, "second") and go.builds("second") == 1)
    waiting = start()
    assert waiting.stdout is not None
    waiting.stdout.readline()
    go.slow(False)
    killed.kill()
    assert waiting.wait(300) == 0
    assert go.builds("first") == 1
    assert store.missing(store.pins.names()) == ()


def test_a_compile_error_is_told_with_the_compilers_words(store: Store) -> None:
    write_module(store.pins.source, second="func main() { undefined() }")
    with pytest.raises(BuildFailed, match=r"(?s)second: compiling.*undefined: undefined.*goes on where it stopped"):
        build.ensure(store, store.pins.names(), lambda _: None)
    assert store.missing(store.pins.names()) == ("second",)


def test_too_little_disk_is_told_before_anything_is_downloaded(tmp_path: Path, module: Path, go: Go) -> None:
    pins = Pins(source=module, programs=PROGRAMS, disk_bytes=2**60)
    store = Store.of(pins, tmp_path / "empty")
    with pytest.raises(LowDisk, match=r"needs 1073741824\.0 GiB of free disk.*STRONGROOM_CACHE"):
        build.ensure(store, pins.names(), lambda _: None)
    assert not store.build.exists()


@pytest.mark.parametrize("login", ["", "someone:hidden@"])
def test_an_unreachable_module_proxy_is_told_at_once_and_by_name(
    login: str, tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"http://{login}127.0.0.1:1,direct")
    (module / "go.mod").write_text("module example.test/small\n\ngo 1.21\n\nrequire example.test/other v1.0.0\n")
    store = Store.of(Pins(source=module, programs=PROGRAMS), tmp_path / "cache")
    with pytest.raises(
        RegistryUnreachable, match=r"module proxy 127\.0\.0\.1 does not answer .*refused.*GOPROXY"
    ) as caught:
        build.ensure(store, store.pins.names(), lambda _: None)
    assert "hidden" not in str(caught.value)


def test_crds_are_copied_out_of_a_modules_own_folder(
    tmp_path: Path, compiled_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, source = tmp_path / "proxy", write_module(tmp_path / "module")
    publish(
        proxy,
        "example.test/crds",
        {"crds/a.yaml": "kind: CustomResourceDefinition\n", "crds/k.yaml": "kind: Kustomization\n"},
    )
    monkeypatch.setenv("GOPROXY", proxy.as_uri())
    monkeypatch.setenv("GONOSUMDB", "*")
    (source / "go.mod").write_text("module example.test/small\n\ngo 1.21\n\nrequire example.test/crds v1.0.0\n")
    environment = {**golang.find((1, 21)).environment(tmp_path), "GOFLAGS": "-mod=mod -modcacherw", "GOTMPDIR": ""}
    subprocess.run(
        [golang.find((1, 21)).path, "mod", "download"], cwd=source, env=environment, check=True, capture_output=True
    )
    pins = Pins(
        source=source,
        programs=(Program(name="first", package="example.test/small/first"),),
        crds=(CrdFolder(name="a", module="example.test/crds", folder="crds"),),
    )
    store = Store.of(pins, tmp_path / "cache")
    shutil.copytree(compiled_runtime, store.build / "compiled")
    build.ensure(store, pins.names(), lambda _: None)
    folder = store.crds("a")
    assert folder is not None
    assert [file.name for file in folder.iterdir()] == ["a.yaml"]
    assert not store.build.exists()  # the module cache too, whose folders are read-only


def test_a_go_that_is_too_old_is_told_with_the_versions_found() -> None:
    with pytest.raises(NoGo, match=r"no Go of version 99\.0 or later \(.* is 1\.\d+.*make setup"):
        golang.find((99, 0))


def test_a_status_reads_as_one_line() -> None:
    status = Status(pid=1, text="first: compiling", done=3, total=9, began=time.time() - 61)
    assert status.line() == "first: compiling, 3 of 9 packages, 1 m 01 s"


def publish(proxy: Path, module: str, files: dict[str, str]) -> None:
    """Publish v1.0.0 of a module to a file proxy."""
    folder = proxy / module / "@v"
    folder.mkdir(parents=True)
    go_mod = f"module {module}\n"
    (folder / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (folder / "v1.0.0.mod").write_text(go_mod)
    (folder / "list").write_text("v1.0.0\n")
    with zipfile.ZipFile(folder / "v1.0.0.zip", "w") as archive:
        for name, text in {"go.mod": go_mod, **files}.items():
            archive.writestr(f"{module}@v1.0.0/{name}", text)
