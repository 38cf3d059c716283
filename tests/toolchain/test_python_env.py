"""The checkout's virtual environment: made from its pins, quick when nothing has changed, made anew when it must be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import venv
from pathlib import Path

import pytest

from sandbox.toolchain.errors import InstallFailed
from sandbox.toolchain.python_env import PythonEnv
from tests.toolchain.small_module import CHECKOUT

PINS = (CHECKOUT / "requirements.txt").read_text()


def pin(package: str) -> str:
    found = re.search(rf"^{package}==.*$", PINS, re.MULTILINE)
    assert found
    return found[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A checkout of two pins, set up by two threads of one process at once, and the steps that they told."""
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / "requirements.txt").write_text(f"{pin('iniconfig')}\n{pin('uv')}\n")
    steps: list[str] = []
    called: list[bool] = []

    def install() -> None:
        PythonEnv(checkout).install(steps.append, first=("iniconfig",), on_first=lambda: called.append(True))

    threads = [threading.Thread(target=install) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(called) == 2
    return checkout, steps


@pytest.fixture
def checkout(made: tuple[Path, list[str]], tmp_path: Path) -> Path:
    """The stamped environment of that checkout, at a place where nothing else looks at it."""
    env = tmp_path / ".venv"
    env.mkdir()
    shutil.copy(made[0] / "requirements.txt", tmp_path)
    (env / "bin").mkdir()
    (env / "bin" / "python").symlink_to(sys.executable)
    stamp = (made[0] / ".venv" / "strongroom-stamp").read_text()
    (env / "strongroom-stamp").write_text(stamp.replace(str(made[0]), str(tmp_path)))
    return tmp_path


def test_of_two_installations_at_once_one_installs_and_the_other_waits(made: tuple[Path, list[str]]) -> None:
    checkout, steps = made
    assert steps == [
        "making .venv",
        "installing the installer",
        "installing iniconfig",
        "installing the pinned packages",
        "compiling the packages",
    ]
    assert PythonEnv(checkout).ready()
    python = checkout / ".venv" / "bin" / "python"
    subprocess.run([python, "-W", "error", "-c", "import iniconfig"], check=True)
    assert list((checkout / ".venv").glob("lib/*/site-packages/iniconfig/__pycache__/*.pyc"))


def test_an_unchanged_environment_is_ready(checkout: Path) -> None:
    assert PythonEnv(checkout).ready()


def test_another_pin_makes_it_stale(checkout: Path) -> None:
    with (checkout / "requirements.txt").open("a") as file:
        file.write("something==1\n")
    assert not PythonEnv(checkout).ready()


def test_an_environment_of_another_place_is_stale(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "checkout"
    checkout.rename(moved)
    assert not PythonEnv(moved).ready()


def test_an_environment_without_its_interpreter_is_stale(checkout: Path) -> None:
    (checkout / ".venv" / "bin" / "python").unlink()
    assert not PythonEnv(checkout).ready()


def test_an_interrupted_installation_is_not_ready(checkout: Path) -> None:
    (checkout / ".venv" / "strongroom-stamp").unlink()
    assert not PythonEnv(checkout).ready()


def test_an_unreachable_index_is_told_without_its_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:hidden@127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (tmp_path / "requirements.txt").write_text("uv==999\n")
    with pytest.raises(InstallFailed, match=r"(?s)failed:.*set PIP_INDEX_URL") as caught:
        PythonEnv(tmp_path).install(lambda _: None, on_first=lambda: None)
    assert "hidden" not in str(caught.value)
    assert not PythonEnv(tmp_path).ready()


@pytest.fixture(scope="module")
def with_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has pip, as the machine's own that sets up; the project's environment has none."""
    folder = tmp_path_factory.mktemp("with-pip") / "venv"
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def uv_settings(python: Path) -> dict[str, str]:
    code = "import json; from sandbox.toolchain import python_env; print(json.dumps(python_env._uv_settings()))"
    found: dict[str, str] = json.loads(subprocess.check_output([str(python), "-c", code], cwd=CHECKOUT))
    return found


def test_pips_own_settings_reach_uv(with_pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://127.0.0.1/one https://127.0.0.1/two")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX", raising=False)
    settings = uv_settings(with_pip)
    assert settings["UV_DEFAULT_INDEX"] == "https://127.0.0.1/simple"
    assert settings["UV_INDEX"] == "https://127.0.0.1/one https://127.0.0.1/two"


def test_uvs_settings_win_over_pips(with_pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://127.0.0.1/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://127.0.0.1/other")
    assert "UV_DEFAULT_INDEX" not in uv_settings(with_pip)


def test_every_package_of_requirements_in_is_pinned_exactly() -> None:
    pinned = {line.split("==")[0].lower() for line in PINS.splitlines() if line}
    wanted = {
        re.split(r"[\[=<>~ ]", line)[0].lower() for line in (CHECKOUT / "requirements.in").read_text().splitlines()
    }
    assert wanted - {"", "#"} <= pinned
    assert all(re.match(r"^[A-Za-z0-9._-]+(\[[^]]+\])?==\S+$", line) for line in PINS.splitlines() if line)
