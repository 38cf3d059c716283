"""What the rest of the project asks of the toolchain."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from sandbox.toolchain import go
from sandbox.toolchain.errors import NotBuilt, ToolchainError


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRONGROOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRONGROOM_TOOLCHAIN", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def own(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with every binary and every CRD."""
    folder = tmp_path / "own"
    for name in go.BINARIES:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o755)
    for name in ("external-secrets", "sealed-secrets"):
        (folder / "crds" / name).mkdir(parents=True)
    monkeypatch.setenv("STRONGROOM_TOOLCHAIN", str(folder))
    return folder


def test_a_binary_that_is_not_built_names_the_command_that_builds_it(empty_cache: Path) -> None:
    with pytest.raises(NotBuilt, match="kubeseal is not built yet: run `make setup`"):
        go.binary("kubeseal")
    with pytest.raises(NotBuilt, match="CRDs of sealed-secrets are not there yet: run `make setup`"):
        go.crds("sealed-secrets")
    assert go.missing() == go.BINARIES
    assert not go.ready()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ToolchainError, match="'kubelet': expected one of kube-apiserver"):
        go.binary("kubelet")
    with pytest.raises(ToolchainError, match="'kubelet': expected one of external-secrets, sealed-secrets"):
        go.crds("kubelet")
    with pytest.raises(ToolchainError, match="'kubelet'"):
        go.wait_for(["kubelet"])


def test_a_folder_of_ones_own_wins_over_the_cache(own: Path) -> None:
    assert go.ready()
    assert go.binary("kubeseal") == own / "kubeseal"
    assert go.crds("sealed-secrets") == own / "crds" / "sealed-secrets"
    go.wait_for(go.BINARIES)


def test_what_ones_own_folder_lacks_is_still_missing(own: Path) -> None:
    (own / "kubeseal").unlink()
    assert go.missing() == ("kubeseal",)


def test_a_folder_of_ones_own_that_does_not_exist_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_TOOLCHAIN", str(tmp_path / "nowhere"))
    with pytest.raises(ToolchainError, match=r"STRONGROOM_TOOLCHAIN: .*nowhere is no folder"):
        go.binary("kubeseal")


def test_waiting_tells_where_the_build_fails(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**60))
    text = io.StringIO()
    with pytest.raises(ToolchainError, match=r"module proxy 127\.0\.0\.1 does not answer"):
        go.wait_for(["kubeseal"], Console(file=text))
    assert "looking for Go and the module proxy" in text.getvalue()


def test_the_set_up_has_built_everything() -> None:
    for name in go.BINARIES:
        assert go.binary(name).stat().st_size > 10_000_000
    assert len(list(go.crds("external-secrets").glob("*.yaml"))) > 10
    assert len(list(go.crds("sealed-secrets").glob("*.yaml"))) == 1
