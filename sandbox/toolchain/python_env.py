"""The checkout's ``.venv``: made once, filled with the pinned packages by uv, stamped so that a second run is quick.

The stamp holds what the environment was made from: the pins, the interpreter and the checkout's place. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from sandbox.process import die_with_parent
from sandbox.toolchain.errors import InstallFailed
from sandbox.toolchain.locks import locked
from sandbox.toolchain.paths import cache_root

_KEPT_LINES = 15
_AWS_SERVICES = ("config", "ec2", "eks", "iam", "kms", "rds", "region", "secretsmanager", "sts")
_NOT_COMPILED = rf"/sympy/|/pulumi_aws/(?!{'|'.join(f'{service}/' for service in _AWS_SERVICES)})[a-z0-9]+/"
"""Half of all the code, and nothing of it is imported: services of AWS that the kit does not use, and what cfn-lint brings."""

_PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


class PythonEnv:
    """The virtual environment of one checkout."""

    def __init__(self, checkout: Path) -> None:
        self._requirements = checkout / "requirements.txt"
        self.folder = checkout / ".venv"
        self.python = self.folder / "bin" / "python"
        self._stamp = self.folder / "strongroom-stamp"

    def ready(self) -> bool:
        """Whether the environment is complete and made from these pins."""
        try:
            return self.python.exists() and self._stamp.read_text(encoding="utf-8") == self._wanted()
        except FileNotFoundError:
            return False

    def install(
        self, on_step: Callable[[str], None], *, first: tuple[str, ...] = (), on_first: Callable[[], None]
    ) -> None:
        """Make the environment what the pins say. Where another process does, wait for it.

        ``first`` names packages to install before all others; ``on_first`` is called once they are there.
        ``on_step`` is told what is done now. Raises InstallFailed.
        """
        with locked(self._requirements):
            if self.ready():
                on_first()
                return
            on_step("making .venv")
            self._make()
            on_step("installing the installer")
            environment = {**os.environ, **_uv_settings(), "VIRTUAL_ENV": str(self.folder)}
            self._run(
                [*self._pip(), "install", "--quiet", "--disable-pip-version-check", self._pin("uv")], os.environ.copy()
            )
            uv = [str(self.folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(self.python)]
            if first:
                on_step(f"installing {', '.join(first)}")
                self._run([*uv, *map(self._pin, first)], environment)
            on_first()
            on_step("installing the pinned packages")
            self._run([*uv, "--requirements", str(self._requirements)], environment)
            on_step("compiling the packages")
            # Here and once, since many a CI forbids Python to write what it has compiled on import. A package may hold files
            # that are no Python of this version: they are skipped.
            compile_all = [
                str(self.python),
                "-m",
                "compileall",
                "-q",
                "-j",
                "0",
                "-x",
                _NOT_COMPILED,
                *self._libraries(),
            ]
            subprocess.run(compile_all, stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=die_with_parent)
            self._stamp.write_text(self._wanted(), encoding="utf-8")

    def environment(self) -> dict[str, str]:
        """The environment of programs that run in it."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "VIRTUAL_ENV": str(self.folder), "PATH": path}

    def _make(self) -> None:
        stamped = self._stamp.read_text(encoding="utf-8").splitlines() if self._stamp.exists() else []
        wanted = self._wanted().splitlines()
        # Another interpreter or another place: its scripts name what is no longer there.
        if self.folder.exists() and (not self.python.exists() or (stamped and stamped[1:] != wanted[1:])):
            shutil.rmtree(self.folder)
        self._stamp.unlink(missing_ok=True)
        if not self.python.exists():
            # pip is wanted for a moment only: this Python's own serves, and saves unpacking another one.
            pip = ["--without-pip"] if find_spec("pip") or not find_spec("ensurepip") else []
            self._run([sys.executable, "-m", "venv", *pip, str(self.folder)], os.environ.copy())

    def _libraries(self) -> list[str]:
        return [str(folder) for folder in self.folder.glob("lib/python*/site-packages")]

    def _pip(self) -> list[str]:
        if any((self.folder / "lib").glob("python*/site-packages/pip")):
            return [str(self.python), "-m", "pip"]
        if find_spec("pip"):
            return [sys.executable, "-m", "pip", "--python", str(self.python)]
        raise InstallFailed(
            f"{sys.executable} has neither ensurepip nor pip, so no package can be installed: install the system's "
            "`python3-venv` or `python3-pip` package, or run `make PYTHON=/path/to/another/python3`"
        )

    def _pin(self, package: str) -> str:
        found = re.search(rf"^{re.escape(package)}==.*$", self._requirements.read_text(encoding="utf-8"), re.MULTILINE)
        if not found:
            raise InstallFailed(
                f"{self._requirements.name} does not pin {package}: add it to requirements.in and pin it"
            )
        return found[0].strip()

    def _wanted(self) -> str:
        pins = hashlib.sha256(self._requirements.read_bytes()).hexdigest()
        version = ".".join(map(str, sys.version_info[:3]))
        # The base interpreter, so that it is the same one whether it or .venv's own runs this.
        return "\n".join([pins, version, str(Path(sys.base_prefix).resolve()), str(self.folder)])

    @staticmethod
    def _run(command: list[str], environment: dict[str, str]) -> None:
        said = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=die_with_parent,
        )
        if said.returncode != 0:
            lines = _masked(said.stdout + said.stderr).splitlines()[-_KEPT_LINES:]
            text = "\n".join(f"  {line}" for line in lines)
            raise InstallFailed(
                f"`{Path(command[0]).name} {' '.join(command[1:3])} ...` failed:\n{text}\n"
                "if the package index cannot be reached, set PIP_INDEX_URL (or UV_DEFAULT_INDEX) to one that can"
            )


def _uv_settings() -> dict[str, str]:
    """pip's settings as uv's variables, where uv has none of its own; and its cache in the project's."""
    settings = {"UV_CACHE_DIR": str(cache_root() / "uv"), "UV_NO_PROGRESS": "1"}
    for name, value in _pip_settings().items():
        if variable := _PIP_TO_UV.get(name):
            settings[variable] = value
    return {name: value for name, value in settings.items() if name not in os.environ}


def _pip_settings() -> dict[str, str]:
    if not find_spec("pip"):
        return {}
    said = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    found: dict[str, str] = {}
    # As pip ranks them: configuration of all commands, then of install, then the environment.
    for section in ("global", "install", ":env:"):
        for key, quoted in re.findall(rf"^{re.escape(section)}\.(\S+?)=(.*)$", said.stdout, re.MULTILINE):
            found[key] = quoted.strip("'\"").replace("\\n", " ").strip()
    return found


def _masked(text: str) -> str:
    """Without the logins that an index's URL may hold."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)
