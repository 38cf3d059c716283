"""What AWS knows, kept over a restart and a kill.

A request that changes something is answered only when the state is on disk: one encrypted file, replaced atomically. Requests that
come while one is written share the next one, so that many at once cost few writes. So nothing that was acknowledged is
lost, however the process ends (the machine itself may not crash: there is no fsync).

The state is a pickle of moto's models, sealed with AES-256-GCM under a key that lies beside it: no secret's value is in
a file in clear, and nothing is unpickled that this sandbox did not write.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import secrets
import threading
from pathlib import Path
from typing import Any

import moto
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox.servers.aws import backends
from sandbox.servers.files import private_write

HEADER = f"strongroom aws state, moto {moto.__version__}\n".encode()
_NONCE = 12


def _reduce_private_key(key: Any) -> Any:
    data = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _private_key, (data,)


def _private_key(data: bytes) -> Any:
    return serialization.load_der_private_key(data, None)


class _Pickler(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table.copy()

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            return _reduce_private_key(obj)
        return NotImplemented


class SnapshotUnreadable(Exception):
    """The state file is not one that this version wrote; the message says what to do."""


class Snapshot:
    """The state file. ``lock`` is the one under which the models change."""

    def __init__(self, folder: Path, lock: threading.RLock) -> None:
        self._file, self._key_file = folder / "state", folder / "state.key"
        self._lock = lock
        self._writing = threading.Lock()
        self._changes = self._kept = 0

    def changed(self) -> int:
        """Count a change, under the lock; hand the number to ``keep``."""
        self._changes += 1
        return self._changes

    def keep(self, change: int) -> None:
        """Return when that change is on disk. Call it without the lock."""
        with self._writing:
            if self._kept >= change:
                return
            with self._lock:
                counted = self._changes
                data = self._pickled()
            nonce = secrets.token_bytes(_NONCE)
            private_write(self._file, HEADER + nonce + AESGCM(self._key()).encrypt(nonce, data, HEADER))
            self._kept = counted

    def load(self) -> bool:
        """Put the kept state into the models; whether there was one. Raises SnapshotUnreadable."""
        if not self._file.exists():
            return False
        content = self._file.read_bytes()
        if not content.startswith(HEADER):
            raise SnapshotUnreadable(
                f"{self._file} is of another version of moto: delete it, or run the version that wrote it"
            )
        sealed = content[len(HEADER) :]
        try:
            data = AESGCM(self._key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], HEADER)
        except InvalidTag:
            raise SnapshotUnreadable(
                f"{self._file} does not belong to the key in {self._key_file}: delete both"
            ) from None
        for service, regions in pickle.loads(data).items():  # noqa: S301 - sealed by this sandbox's own key
            for region, backend in regions.items():
                backends.BACKENDS[service][backends.ACCOUNT][region] = backend
        return True

    @staticmethod
    def _pickled() -> bytes:
        stream = io.BytesIO()
        state = {service: dict(found[backends.ACCOUNT].items()) for service, found in backends.BACKENDS.items()}
        _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(state)
        return stream.getvalue()

    def _key(self) -> bytes:
        if not self._key_file.exists():
            private_write(self._key_file, AESGCM.generate_key(256))
        return self._key_file.read_bytes()
