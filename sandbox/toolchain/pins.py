"""What the toolchain is made of: programs of one Go module, the flags they are linked with, and the CRDs that they serve.

Versions stand in ``go/go.mod`` alone; the checksums in ``go/go.sum``. Standard library only.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false")
"""Flags of every build: the pins as they are, and no path of this machine in the binaries."""

_LAYOUT = "1"  # of the cache folder; a change of it makes a new key


@dataclass(frozen=True, kw_only=True)
class Program:
    """One binary: ``package`` of the module, linked with ``variables`` (``path.Name=value``, as ``-X`` takes them)."""

    name: str
    package: str
    variables: tuple[str, ...] = ()

    @property
    def link_flags(self) -> str:
        return " ".join(["-s", "-w", *(f"-X {variable}" for variable in self.variables)])


@dataclass(frozen=True, kw_only=True)
class CrdFolder:
    """Custom resource definitions: the YAML files of ``folder`` in ``module``."""

    name: str
    module: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class Pins:
    """One Go module and what is built from it.

    ``disk_bytes`` is the room that a build from nothing takes at its peak: sources, compiled packages and binaries.
    """

    source: Path  # folder with go.mod and go.sum
    programs: tuple[Program, ...]
    crds: tuple[CrdFolder, ...] = ()
    disk_bytes: int = 0

    def key(self) -> str:
        """What the cache is keyed by: the pins, the flags and the platform, as 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            file = self.source / name
            digest.update(file.read_bytes() if file.exists() else b"")
            digest.update(b"\0")
        parts = [_LAYOUT, sys.platform, platform.machine(), *FLAGS]
        parts += [f"{program.name} {program.package} {program.link_flags}" for program in self.programs]
        parts += [f"{crds.name} {crds.module} {crds.folder}" for crds in self.crds]
        digest.update("\n".join(parts).encode())
        return digest.hexdigest()[:16]

    def names(self) -> tuple[str, ...]:
        return tuple(program.name for program in self.programs)

    def required(self) -> dict[str, str]:
        """The modules that go.mod requires directly, and their versions."""
        return _required((self.source / "go.mod").read_text(encoding="utf-8"))

    def go_version(self) -> tuple[int, int]:
        """The oldest Go that builds the module, as go.mod's ``go`` line states it."""
        found = re.search(r"^go (\d+)\.(\d+)", (self.source / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
        return (int(found[1]), int(found[2])) if found else (1, 0)


def _required(go_mod: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for block in re.findall(r"^require \(\n(.*?)^\)", go_mod, re.MULTILINE | re.DOTALL):
        found.update(re.findall(r"^\s+(\S+) (v\S+)\s*$", block, re.MULTILINE))
    found.update(re.findall(r"^require (\S+) (v\S+)\s*$", go_mod, re.MULTILINE))
    return found


def strongroom() -> Pins:
    """The project's own toolchain, the slowest and most wanted programs first."""
    source = Path(__file__).parent / "go"
    required = _required((source / "go.mod").read_text(encoding="utf-8"))
    kubernetes = required["k8s.io/kubernetes"]
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    version = "k8s.io/component-base/version"
    # kubectl and Helm parse the server's version; unlinked it is "v0.0.0-master".
    linked = (f"{version}.gitVersion={kubernetes}", f"{version}.gitMajor={major}", f"{version}.gitMinor={minor}")
    sealed_secrets = "github.com/bitnami-labs/sealed-secrets"
    sealed = (f"main.VERSION={required[sealed_secrets]}",)
    external_secrets = "github.com/external-secrets/external-secrets"
    return Pins(
        source=source,
        programs=(
            Program(name="kube-apiserver", package="k8s.io/kubernetes/cmd/kube-apiserver", variables=linked),
            Program(
                name="kube-controller-manager",
                package="k8s.io/kubernetes/cmd/kube-controller-manager",
                variables=linked,
            ),
            Program(name="sealed-secrets-controller", package=f"{sealed_secrets}/cmd/controller", variables=sealed),
            Program(name="kubeseal", package=f"{sealed_secrets}/cmd/kubeseal", variables=sealed),
            Program(name="external-secrets", package=external_secrets),
        ),
        crds=(
            CrdFolder(name="external-secrets", module=external_secrets, folder="config/crds/bases"),
            CrdFolder(name="sealed-secrets", module=sealed_secrets, folder="helm/sealed-secrets/crds"),
        ),
        disk_bytes=9 * GIB,
    )
