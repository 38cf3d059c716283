"""Go itself: which one builds, with which environment, and whether its module proxy answers. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from sandbox.toolchain.errors import NoGo, RegistryUnreachable
from sandbox.toolchain.pins import FLAGS, Pins

_ANSWER_SECONDS = 10
_TRIES = 2


@dataclass(frozen=True)
class Go:
    path: Path

    def environment(self, build: Path) -> dict[str, str]:
        """This machine's settings of Go (proxy, checksum database, credentials), but caches and flags of our own."""
        return {
            **os.environ,
            "GOMODCACHE": str(build / "modules"),
            "GOCACHE": str(build / "compiled"),
            "GOTMPDIR": str(build / "tmp"),  # on the same disk, so that a binary is moved and not copied
            "GOFLAGS": " ".join(FLAGS),
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "GO111MODULE": "on",
            "CGO_ENABLED": "0",
            "GOOS": "",
            "GOARCH": "",
        }


def find(oldest: tuple[int, int]) -> Go:
    """The machine's Go where it is new enough, else the one that the Python packages bring. Raises NoGo."""
    checkout = Path(__file__).parents[2]
    candidates = [shutil.which("go"), Path(sys.prefix) / "bin" / "go", checkout / ".venv" / "bin" / "go"]
    seen = []
    for candidate in [Path(path) for path in candidates if path]:
        version = _version(candidate)
        if version and version >= oldest:
            return Go(candidate)
        if version:
            seen.append(f"{candidate} is {version[0]}.{version[1]}")
    found = f" ({'; '.join(dict.fromkeys(seen))})" if seen else ""
    raise NoGo(
        f"no Go of version {oldest[0]}.{oldest[1]} or later{found}: run `make setup`, which installs one in .venv"
    )


def _version(path: Path) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [path, "version"], capture_output=True, text=True, timeout=30, env={**os.environ, "GOTOOLCHAIN": "local"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"go(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found and said.returncode == 0 else None


def check_proxy(go: str, environment: dict[str, str], pins: Pins) -> None:
    """Ask the module proxy for one version, so that an unreachable one is told at once and by name.

    Whatever it answers is enough (Go has credentials of its own); raises RegistryUnreachable where nothing does.
    """
    required = pins.required()
    setting = subprocess.run([go, "env", "GOPROXY"], capture_output=True, text=True, env=environment).stdout.strip()
    first = re.split(r"[,|]", setting)[0]
    if not required or not first.startswith(("http://", "https://")):
        return  # nothing to download, or from a folder or the modules' own repositories
    module, version = next(iter(required.items()))
    url = f"{first.rstrip('/')}/{module}/@v/{version}.info"
    parts = urllib.parse.urlsplit(first)
    reason: object = ""
    for _ in range(_TRIES):
        try:
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()))
            opener.open(_without_login(url), timeout=_ANSWER_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
            reason = f"HTTP status {error.code}"
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
        else:
            return
    raise RegistryUnreachable(
        f"the Go module proxy {parts.hostname} does not answer ({reason}): set GOPROXY to one that can be reached, "
        "or STRONGROOM_TOOLCHAIN to a folder with ready binaries"
    )


def _without_login(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
