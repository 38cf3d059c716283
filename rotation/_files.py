"""Mounted files: a Secret's volume (External Secrets), the CSI driver's, or what Vault Agent renders."""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection
from pathlib import Path

from rotation import _clock, _parsing
from rotation._credential import Credential, Source
from rotation.errors import InvalidArgument, SourceMalformed, SourceUnavailable

_DATA = "..data"  # the symlink that the kubelet's AtomicWriter swaps (kubernetes/pkg/volume/util/atomic_writer.go)
_ATTEMPTS = 5
_LARGEST = 1 << 20  # a Secret's own limit

_Signature = tuple[tuple[str, int, int, int], ...]


class MountedFiles(Source):
    """Name and password from a folder with one file a key, or from one file: JSON, or lines like ``export NAME=value``.

    Changes are noticed within ``poll_interval``, which costs a few stat calls. Both values always come from one version:
    a folder that the kubelet swaps is read through its symlink, resolved once; any other is read again when it changed
    meanwhile. A volume mounted with ``subPath`` never changes: mount the whole volume.

    Args:
        path: the folder or the file.
        username_key, password_key: the file's or the JSON's keys; default: the usual ones (username, DB_USERNAME, ...).
        lifetime: seconds from the moment of the file's change after which its credential stops working (the lease's
            TTL); default None: not known.
        poll_interval: seconds; default 1.
    """

    name = "files"

    def __init__(
        self,
        path: str | Path,
        *,
        username_key: str | None = None,
        password_key: str | None = None,
        lifetime: float | None = None,
        poll_interval: float = 1.0,
    ) -> None:
        if lifetime is not None and lifetime <= 0:
            raise InvalidArgument(f"lifetime is {lifetime}; expected seconds above 0, or None where it is not known")
        self.path = Path(path)
        self.poll_interval = poll_interval
        self._keys = (username_key, password_key)
        self._lifetime = lifetime
        self._read: tuple[_Signature, Credential] | None = None

    def fetch(self, rejected: Collection[Credential] = ()) -> Credential:  # noqa: ARG002 - there is no other to give
        for _ in range(_ATTEMPTS):
            try:
                root = self._root()
                before = self._signature(root)
                if self._read is not None and self._read[0] == before:
                    return self._read[1]
                try:
                    credential = self._parse(root)
                except SourceMalformed:
                    if self._unchanged(root, before):
                        raise
                    continue  # swapped, and the old version half removed, while it was read
                if self._unchanged(root, before):
                    self._read = (before, credential)
                    return credential
            except FileNotFoundError:  # swapped between two calls, or not there yet
                continue
            except PermissionError as error:
                raise SourceUnavailable(
                    f"{self.path}: not readable by user {os.geteuid()}; see fsGroup, defaultMode"
                ) from error
        raise SourceUnavailable(f"{self.path}: not there, or changing all the time; is the volume mounted?")

    def _unchanged(self, root: Path, before: _Signature) -> bool:
        return self._root() == root and self._signature(root) == before

    def _root(self) -> Path:
        swapped = self.path / _DATA
        return Path(os.path.realpath(swapped)) if swapped.is_symlink() else self.path

    def _signature(self, root: Path) -> _Signature:
        files = self._files(root) if root.is_dir() else [root]
        return tuple((str(file), (stat := file.stat()).st_ino, stat.st_mtime_ns, stat.st_size) for file in files)

    @staticmethod
    def _files(root: Path) -> list[Path]:
        return sorted(file for file in root.iterdir() if not file.name.startswith(".") and file.is_file())

    def _parse(self, root: Path) -> Credential:
        if root.is_dir():
            files = self._files(root)
            values = {file.name: self._text(file).rstrip("\n") for file in files}
            changed = max((file.stat().st_mtime for file in files), default=0.0)
        else:
            values = _parsing.parse_text(self._text(root), str(self.path))
            changed = root.stat().st_mtime
        if root.is_dir() and len(values) == 1 and not set(values) & set(_parsing.URL_KEYS):
            only = next(iter(values.values()))  # one file, as the agent's annotations make it
            values = _parsing.parse_text(only, str(self.path))
        username, password, place = _parsing.login(values, str(self.path), *self._keys)
        return Credential(
            username=username,
            password=password,
            parameters=place,
            version=datetime.datetime.fromtimestamp(changed, datetime.UTC).isoformat(timespec="milliseconds"),
            expires_at=None if self._lifetime is None else self._end(changed),
        )

    def _end(self, changed: float) -> float:
        assert self._lifetime is not None
        latest = _clock.now() + self._lifetime  # a wall clock that was set back must not make it live longer
        return min(_clock.from_wall(changed + self._lifetime), latest)

    @staticmethod
    def _text(file: Path) -> str:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise SourceMalformed(f"{file}: over {_LARGEST} bytes; that is no credential")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise SourceMalformed(f"{file}: not UTF-8 at byte {error.start}") from None
