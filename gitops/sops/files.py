"""Set a repository up for SOPS, encrypt, edit, rotate data keys, add and remove recipients. The real ``sops`` does the work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from components.sops.decrypt import SopsError, find_sops, run_sops
from gitops.errors import GitOpsError, SopsCommandError
from gitops.sops.rules import CONFIG, load
from gitops.writing import write, write_all

NOT_CHANGED = 200  # sops's exit code for an editor that left the file as it was


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
        rule: dict[str, object] = {"path_regex": rf"^{re.escape(folder)}/{re.escape(environment)}/.*"}
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
    write_all(
        {file: _sops([*_config(root), "encrypt", str(_inside(root, file))], cwd=root) for file in files}, mode=0o600
    )


def rotate(files: Sequence[Path], *options: str) -> None:
    """A new data key for each file: every value is encrypted anew, to the same recipients.

    All files, or none where one cannot be opened. ``options``: more of ``sops rotate``.
    """
    write_all({file: _sops(["rotate", *options, str(file)]) for file in files})


def add_recipient(files: Sequence[Path], recipient: str) -> None:
    """Let one more key open the files; the data key is renewed as well. All files, or none.

    A file that is encrypted to it already stays as it is: sops would name it twice, and then could not take it away.
    """
    kind = recipient_kind(recipient)
    rotate([file for file in files if not _times_named(file, recipient)], f"--add-{kind}", recipient)


def remove_recipient(files: Sequence[Path], recipient: str) -> None:
    """Take a key away and renew the data key. What the files held before stays readable to its owner in git's history:
    rotate the values themselves. All files, or none where one is not encrypted to it, or to nobody else."""
    kind = recipient_kind(recipient)
    for file in files:
        times = _times_named(file, recipient)
        if times == 0:
            raise GitOpsError(f"{file}: not encrypted to {recipient}; see the recipients under `sops` in the file")
        if times > 1:
            raise GitOpsError(
                f"{file}: names {recipient} {times} times, of which sops takes none away; take it out of {CONFIG} and run "
                "`python -m gitops sops update-keys`"
            )
    rotate(files, f"--rm-{kind}", recipient)


def _times_named(file: Path, recipient: str) -> int:
    """How often a file names a recipient that it is encrypted to."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return min(text.count(part) for part in _named_by(recipient))


def _named_by(recipient: str) -> Sequence[str]:
    """What a file that is encrypted to this recipient holds: its name, or of a transit key its server, mount and name."""
    if recipient_kind(recipient) != "hc-vault-transit":
        return recipient.split("+")  # a KMS key, and the role with which it is used
    address, _, path = recipient.partition("/v1/")
    return [address, *path.split("/keys/")]


def update_keys(root: Path, files: Sequence[Path]) -> None:
    """Bring files to the recipients that ``.sops.yaml`` names now, one after the other."""
    load(root)
    for file in files:
        _sops([*_config(root), "updatekeys", "--yes", str(_inside(root, file))], cwd=root)


def edit(root: Path, file: Path) -> None:
    """Open the file in ``$SOPS_EDITOR`` or ``$EDITOR``; sops encrypts it again at the end.

    The editor needs a plain file: it lies in a folder that only this user can enter, in memory where there is ``/dev/shm``,
    and is gone at the end, with what the editor left beside it; also where the terminal goes first.
    """
    load(root)
    try:
        command = [find_sops(), *_config(root), "edit", str(_inside(root, file))]
    except SopsError as error:
        raise SopsCommandError(str(error)) from error
    memory = Path("/dev/shm")  # noqa: S108 - memory, and a folder of mode 0700 in it
    with (
        _ends_tidily(signal.SIGTERM, signal.SIGHUP),
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
    ):
        code = subprocess.run(command, check=False, cwd=root, env={**os.environ, "TMPDIR": folder}).returncode
    if code not in (0, NOT_CHANGED):
        raise SopsCommandError(f"{file}: not changed; sops edit or its editor ended with code {code}")


@contextmanager
def _ends_tidily(*signals: signal.Signals) -> Iterator[None]:
    """These signals end the program as an exception does, through every ``finally``."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _config(root: Path) -> Sequence[str]:
    return ["--config", str((root / CONFIG).resolve())]


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
