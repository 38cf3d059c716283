"""Backups of the sealing keys: encrypted with age, restored into a new cluster, checked against the keys in use.

Without the keys every sealed file of a repository is lost. A new key comes every 30 days by default, so a backup goes stale.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gitops.errors import BackupError
from gitops.sealed import cluster
from gitops.writing import write

_KEEP = ("name", "namespace", "labels", "annotations")


def backup(target: Path, recipients: Sequence[str], namespace: str = "kube-system") -> list[str]:
    """Write every sealing key to ``target``, encrypted to age ``recipients`` (``age1...``); the keys' names.

    It is an armored age file of a v1 List, which ``age`` and ``kubectl`` understand without this program. ``target``.json
    has the keys' names, the date and the file's SHA-256, so that ``stale`` can tell without a secret.
    Nothing is written in clear, not even for a moment. A backup of keys that this cluster does not have (any more) is never
    overwritten: it may be all that is left of them.
    Raises BackupError, ControllerError.
    """
    if not recipients:
        raise BackupError("recipients: give at least one age recipient (age1...); keys are never written in clear")
    try:
        parsed = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError as error:
        raise BackupError(f"recipients: expected age recipients (age1...): {error}") from error
    keys = cluster.sealing_keys(namespace)
    if not keys:
        raise BackupError(
            f"no sealing key in namespace {namespace!r}: is the controller there, and may you read its Secrets?"
        )
    names = [str(key["metadata"]["name"]) for key in keys]
    if target.exists() and (only_there := sorted(set(_index(target)["keys"]) - set(names))):
        raise BackupError(
            f"{target}: holds keys that this cluster does not have: {', '.join(only_there)}; give another file, "
            "or restore them first"
        )
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_clean(key) for key in keys]})
    encrypted = pyrage.encrypt(bundle.encode(), parsed, armored=True)
    write(target, encrypted, mode=0o600)
    written = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    index = {"written": written, "keys": names, "sha256": hashlib.sha256(encrypted).hexdigest()}
    write(_index_file(target), json.dumps(index, indent=2) + "\n")
    return names


def _clean(key: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in key["metadata"].items() if name in _KEEP}
    (metadata.get("annotations") or {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {"apiVersion": "v1", "kind": "Secret", "type": key.get("type"), "metadata": metadata, "data": key["data"]}


def read(source: Path, identity_file: Path) -> list[dict[str, Any]]:
    """The key Secrets of a backup (they hold private keys). Raises BackupError."""
    try:
        text = identity_file.read_text(encoding="utf-8")
        lines = [line.strip() for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")]
        identities = [pyrage.x25519.Identity.from_str(line) for line in lines]
        items: list[dict[str, Any]] = json.loads(pyrage.decrypt(source.read_bytes(), identities))["items"]
    except OSError as error:
        raise BackupError(f"{error.filename}: {error.strerror}") from error
    except (pyrage.DecryptError, pyrage.IdentityError) as error:
        raise BackupError(f"{source}: no identity in {identity_file} opens this backup: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{source}: damaged, or not a backup of sealing keys") from error
    return items


def restore(source: Path, identity_file: Path) -> list[str]:
    """Put the keys of a backup into the cluster; their names. The controller reads keys at its start: restart it after."""
    keys = read(source, identity_file)
    cluster.apply(keys)
    return [str(key["metadata"]["name"]) for key in keys]


def private_keys(keys: Sequence[dict[str, Any]]) -> list[rsa.RSAPrivateKey]:
    """The RSA keys of key Secrets, to open sealed files without a cluster."""
    try:
        loaded = [serialization.load_pem_private_key(base64.b64decode(key["data"]["tls.key"]), None) for key in keys]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError("a key of the backup is damaged, or is no sealing key") from error
    return [key for key in loaded if isinstance(key, rsa.RSAPrivateKey)]


def stale(target: Path, namespace: str = "kube-system") -> list[str]:
    """Names of the sealing keys in the cluster that the backup does not hold; needs its index, and no secret.

    Raises BackupError where the backup itself is not there, or is not what was written.
    """
    index = _index(target)
    try:
        found = hashlib.sha256(target.read_bytes()).hexdigest()
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror}; write it with `backup`") from error
    if found != index.get("sha256"):
        raise BackupError(f"{target}: damaged, or another backup than its index tells of; write it again with `backup`")
    held = set(index["keys"])
    return [name for key in cluster.sealing_keys(namespace) if (name := str(key["metadata"]["name"])) not in held]


def _index_file(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _index(target: Path) -> dict[str, Any]:
    """What is known of a backup without opening it: ``keys``, the names of the keys that it holds, and ``sha256``."""
    file = _index_file(target)
    try:
        index: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(name, str) for name in index["keys"]):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{file}: no index of a backup there; write one with `backup`, to another file") from error
    return index
