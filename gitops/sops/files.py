"""Set a repository up for SOPS, encrypt, edit, rotate data keys, add and remove recipients. The real ``sops`` does the work."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from components.sops.decrypt import SopsError, find_sops, run_sops
from gitops.errors import GitOpsError, SopsCommandError
from gitops.manifests import write
from gitops.sops.rules import CONFIG, load

RECIPIENT_KINDS = ("age", "kms", "hc-vault-transit")
ENVIRONMENTS = ("dev", "staging", "production")


def recipient_kind(recipient: str) -> str:
    """sops's name for the kind of a recipient: an age key, a KMS key's ARN or a Vault transit key's URL."""
    if recipient.startswith(("age1", "ssh-")):
        return "age"
    if recipient.startswith("arn:"):
        return "kms"
    if recipient.startswith(("https://", "http://127.0.0.1")) and "/v1/" in recipient and "/keys/" in recipient:
        return "hc-vault-transit"
    raise GitOpsError(
        f"recipient: {recipient!r} is none that is known; expected age1..., a KMS key's ARN, "
        "or a transit key's URL (https://VAULT/v1/transit/keys/NAME)"
    )


def init(root: Path, recipients: Mapping[str, Sequence[str]], folder: str = "secrets") -> Path:
    """Write ``.sops.yaml``: one creation rule per environment, for ``<folder>/<environment>/``.

    Its keys: environment -> recipients, any one of which opens a file. An existing file is never overwritten.
    """
    config = root / CONFIG
    if config.exists():
        raise GitOpsError(f"{config}: it is there already; edit it, then run `python -m gitops sops update-keys`")
    rules = []
    for environment, keys in recipients.items():
        if not keys:
            raise GitOpsError(f"{environment}: give at least one recipient; a file without one could never be opened")
        rule: dict[str, object] = {"path_regex": rf"^{folder}/{environment}/.*"}
        by_kind: dict[str, list[str]] = {}
        for key in keys:
            by_kind.setdefault(recipient_kind(key), []).append(key)
        for kind, values in by_kind.items():
            name = {"age": "age", "kms": "kms", "hc-vault-transit": "hc_vault_transit_uri"}[kind]
            rule[name] = ",".join(values)
        rules.append(rule)
    write(config, yaml.safe_dump({"creation_rules": rules}, sort_keys=False, width=1_000_000))
    return config


def encrypt(root: Path, files: Sequence[Path]) -> None:
    """Encrypt files in place by the repository's creation rules; one that is encrypted already is refused."""
    load(root)
    for file in files:
        text = _sops(["--config", str(root / CONFIG), "encrypt", str(_inside(root, file))], cwd=root)
        write(file, text.decode(), mode=0o600)


def rotate(files: Sequence[Path]) -> None:
    """A new data key for each file: every value is encrypted anew, to the same recipients."""
    for file in files:
        write(file, _sops(["rotate", str(file)]).decode(), mode=file.stat().st_mode & 0o777)


def add_recipient(files: Sequence[Path], recipient: str) -> None:
    """Let one more key open the files. The data key is renewed as well."""
    kind = recipient_kind(recipient)
    for file in files:
        write(file, _sops(["rotate", f"--add-{kind}", recipient, str(file)]).decode(), mode=file.stat().st_mode & 0o777)


def remove_recipient(files: Sequence[Path], recipient: str) -> None:
    """Take a key away and renew the data key. What the files held before stays readable to its owner in git's history:
    rotate the values themselves."""
    kind = recipient_kind(recipient)
    for file in files:
        write(file, _sops(["rotate", f"--rm-{kind}", recipient, str(file)]).decode(), mode=file.stat().st_mode & 0o777)


def update_keys(root: Path, files: Sequence[Path]) -> None:
    """Bring files to the recipients that ``.sops.yaml`` names now."""
    for file in files:
        _sops(["--config", str(root / CONFIG), "updatekeys", "--yes", str(_inside(root, file))], cwd=root)


def edit(root: Path, file: Path) -> int:
    """Open the file in ``$SOPS_EDITOR`` or ``$EDITOR``; sops encrypts it again at the end. sops's exit code.

    The editor needs a plain file: it lies in a folder that only this user can enter, in memory where there is ``/dev/shm``,
    and is gone at the end, with what the editor left beside it.
    """
    load(root)
    try:
        command = [find_sops(), "--config", str(root / CONFIG), "edit", str(file)]
    except SopsError as error:
        raise SopsCommandError(str(error)) from error
    memory = Path("/dev/shm")  # noqa: S108 - memory, and a folder of mode 0700 in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        return subprocess.run(command, check=False, env={**os.environ, "TMPDIR": folder}).returncode


def _inside(root: Path, file: Path) -> Path:
    """The path as the creation rules see it: relative to the repository."""
    try:
        return file.resolve().relative_to(root.resolve())
    except ValueError as error:
        raise GitOpsError(f"{file}: outside of the repository {root}, so no creation rule covers it") from error


def _sops(arguments: Sequence[str], cwd: Path | None = None) -> bytes:
    try:
        return run_sops(arguments, cwd=cwd)
    except SopsError as error:
        raise SopsCommandError(str(error)) from error
