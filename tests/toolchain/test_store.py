"""What counts as finished in the cache, and what the cache is keyed by."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.toolchain import pins as project
from sandbox.toolchain.pins import Pins
from sandbox.toolchain.store import Status, Store, seconds
from tests.toolchain.small_module import PROGRAMS, write_module


@pytest.fixture
def filled(tmp_path: Path) -> Store:
    """A cache in which ``first`` is finished."""
    store = Store.of(Pins(source=write_module(tmp_path / "module"), programs=PROGRAMS), tmp_path / "cache")
    built = tmp_path / "built"
    built.write_bytes(b"a binary")
    store.add("first", built, 1.0)
    return store


def test_a_finished_binary_is_found_and_can_be_run(filled: Store) -> None:
    path = filled.binary("first")
    assert path is not None
    assert os.access(path, os.X_OK)
    assert filled.missing(("first", "second")) == ("second",)


def test_a_truncated_binary_counts_as_missing(filled: Store) -> None:
    os.truncate(filled.root / "bin" / "first", 3)
    assert filled.missing(("first",)) == ("first",)


def test_a_binary_with_other_content_of_the_same_size_counts_as_missing(filled: Store) -> None:
    path = filled.root / "bin" / "first"
    path.write_bytes(b"A binary")
    os.utime(path, ns=(1, 1))
    assert filled.missing(("first",)) == ("first",)


def test_a_binary_that_was_only_touched_is_kept(filled: Store) -> None:
    os.utime(filled.root / "bin" / "first", ns=(1, 1))
    assert filled.binary("first") is not None


def test_a_binary_that_may_not_be_run_counts_as_missing(filled: Store) -> None:
    (filled.root / "bin" / "first").chmod(0o644)
    assert filled.binary("first") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_binary_with_a_damaged_record_counts_as_missing(filled: Store, content: str) -> None:
    (filled.root / "records" / "first.json").write_text(content)
    assert filled.binary("first") is None


def test_crds_are_the_definitions_and_no_other_yaml(filled: Store, tmp_path: Path) -> None:
    source = tmp_path / "bases"
    source.mkdir()
    (source / "a.yaml").write_text("kind: CustomResourceDefinition\n")
    (source / "kustomization.yaml").write_text("kind: Kustomization\n")
    assert filled.add_crds("a", source) == 1
    folder = filled.crds("a")
    assert folder is not None
    assert [file.name for file in folder.iterdir()] == ["a.yaml"]


def test_a_folder_without_crds_is_not_taken(filled: Store, tmp_path: Path) -> None:
    assert filled.add_crds("a", tmp_path) == 0
    assert filled.crds("a") is None


def test_a_damaged_status_reads_as_none(filled: Store) -> None:
    filled.write_status(Status(pid=os.getpid(), text="something"))
    assert filled.read_status() == Status(pid=os.getpid(), text="something")
    (filled.root / "status.json").write_text('{"pid": 1, "unknown": 2}')
    assert filled.read_status() is None


def test_clones_of_one_commit_share_the_key(tmp_path: Path) -> None:
    one = write_module(tmp_path / "one")
    shutil.copytree(one, tmp_path / "other")
    assert Pins(source=one, programs=PROGRAMS).key() == Pins(source=tmp_path / "other", programs=PROGRAMS).key()


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_another_pin_makes_another_key(tmp_path: Path, file: str) -> None:
    pins = Pins(source=write_module(tmp_path), programs=PROGRAMS)
    before = pins.key()
    (tmp_path / file).write_text("module example.test/small\n\ngo 1.22\n")
    assert pins.key() != before


def test_other_link_flags_make_another_key(tmp_path: Path) -> None:
    pins = Pins(source=write_module(tmp_path), programs=PROGRAMS)
    linked = replace(pins, programs=(replace(PROGRAMS[0], variables=("main.V=1",)), PROGRAMS[1]))
    assert pins.key() != linked.key()


def test_another_platform_makes_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = Pins(source=write_module(tmp_path), programs=PROGRAMS)
    before = pins.key()
    monkeypatch.setattr("platform.machine", lambda: "another")
    assert pins.key() != before


def test_the_projects_own_pins_are_exact_and_have_sums() -> None:
    pins = project.strongroom()
    sums = (pins.source / "go.sum").read_text()
    required = pins.required()
    assert set(required) == {
        "k8s.io/kubernetes",
        "github.com/external-secrets/external-secrets",
        "github.com/bitnami-labs/sealed-secrets",
    }
    for module, version in required.items():
        assert f"{module} {version} h1:" in sums
    # One release of Kubernetes: every staging module is pinned to the version that goes with the server's.
    release = required["k8s.io/kubernetes"].removeprefix("v1.")
    lines = [line for line in (pins.source / "go.mod").read_text().splitlines() if "=> k8s.io/" in line]
    assert len(lines) > 25
    assert all(line.endswith(f" v0.{release}") for line in lines)


def test_the_api_server_is_linked_with_the_version_that_it_is() -> None:
    pins = project.strongroom()
    assert f"gitVersion={pins.required()['k8s.io/kubernetes']}" in pins.programs[0].link_flags


@pytest.mark.parametrize(("value", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (290, "4 m 50 s")])
def test_a_duration_reads_as_people_say_it(value: float, text: str) -> None:
    assert seconds(value) == text
