"""Read a SOPS-encrypted file with the real ``sops``, without a plaintext file, argument or log line.

``sops`` finds its keys as always: ``SOPS_AGE_KEY_FILE`` or ``SOPS_AGE_KEY`` for age, the AWS credential chain for KMS,
``VAULT_ADDR`` and ``VAULT_TOKEN`` for Vault's transit engine. See https://getsops.io/docs/.

    SopsError
    ├── SopsBinaryMissing   no ``sops`` on the PATH
    ├── SopsNotEncrypted    the file holds no SOPS metadata: it is plain text
    ├── SopsKeyMissing      no key opens it: not given, not there, or another recipient's
    ├── SopsTampered        the message authentication code does not fit: it was changed outside of sops
    └── SopsFileError       the file is not there or is not of its format
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 60.0
COMMANDS = ("encrypt", "decrypt", "rotate", "updatekeys")
FORMATS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".env": "dotenv", ".ini": "ini"}
_TAMPERED = ("message authentication failed", "MAC mismatch", "Cannot decrypt MAC", "does not match sops' data format")
_NEXT_DOCUMENT = re.compile(rb"(?<=\n)---\s")


class SopsError(Exception):
    """A SOPS file cannot be read; the message names the file and the fix, never a value."""


class SopsBinaryMissing(SopsError):
    """No ``sops`` on the PATH."""


class SopsNotEncrypted(SopsError):
    """The file is plain text."""


class SopsKeyMissing(SopsError):
    """No key opens the file."""


class SopsTampered(SopsError):
    """The file was changed outside of sops."""


class SopsFileError(SopsError):
    """The file is not there or not of its format."""


def find_sops(environment: Mapping[str, str] | None = None) -> str:
    """The ``sops`` of the PATH, else the one beside the running Python. Raises SopsBinaryMissing."""
    path = os.environ.get("PATH") if environment is None else environment.get("PATH", "")
    binary = shutil.which("sops", path=os.pathsep.join([path or "", str(Path(sys.prefix) / "bin")]))
    if binary is None:
        raise SopsBinaryMissing("sops is not on the PATH: install it (https://getsops.io), or run `make setup`")
    return binary


def run_sops(
    arguments: Sequence[str],
    *,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> bytes:
    """Run ``sops`` and give its output. ``arguments`` hold no value: values travel on ``stdin`` and the output only.

    Raises SopsError or the kind of it that sops's exit code and words tell.
    """
    binary = find_sops(environment)
    try:
        done = subprocess.run(
            [binary, *arguments],
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env=environment,
            cwd=cwd,
        )
    except subprocess.TimeoutExpired as error:
        raise SopsError(
            f"sops {arguments[0]} gave no answer in {TIMEOUT:.0f} s: is its key service reachable?"
        ) from error
    if done.returncode != 0:
        raise _error(arguments, done.stderr.decode(errors="replace"))
    return done.stdout


def _error(arguments: Sequence[str], stderr: str) -> SopsError:
    """What sops's words mean. Its parsers quote what they read, so of their words only the line's number is told."""
    target = arguments[-1]
    command = next((argument for argument in arguments if argument in COMMANDS), arguments[0])
    words = " ".join(stderr.replace("|", " ").split())
    binary = command == "decrypt" and file_format(Path(target)) == "binary"  # sops wraps such a file in JSON
    if "metadata not found" in words or (binary and "unmarshal" in words):
        return SopsNotEncrypted(
            f"{target}: not encrypted; encrypt it with `python -m gitops sops encrypt`, and rotate what it held"
        )
    if "top-level entry called 'sops'" in words:
        return SopsError(f"{target}: encrypted already; change it with `python -m gitops sops edit`")
    if "empty key group" in words:
        return SopsError(
            f"{target}: that is its last recipient, without whom nobody could open it; add another one first"
        )
    if "generate data key" in words:
        return SopsError(
            f"{target}: it cannot be encrypted to every recipient; log in to AWS or Vault, with the right to encrypt with "
            f"their keys. sops says: {words[:600]}"
        )
    if "data key" in words:
        return SopsKeyMissing(
            f"{target}: no key at hand opens it; set SOPS_AGE_KEY_FILE, log in to AWS or Vault, or be added as a recipient. "
            f"sops says: {_reasons(words)}"
        )
    if any(sign in words for sign in _TAMPERED):
        return SopsTampered(
            f"{target}: it was changed outside of sops (its authentication code does not fit, or a value is in clear); "
            "take the last good version from git"
        )
    if "no such file" in words:
        return SopsFileError(f"{target}: no such file")
    if "unmarshal" in words:
        line = re.search(r"line \d+", words)
        return SopsFileError(
            f"{target}: not a mapping in valid {file_format(Path(target))}{f', see {line[0]}' if line else ''}; "
            "its text is not shown, as it may hold values"
        )
    return SopsError(f"{target}: sops {command} failed: {words[:400]}")


def _reasons(words: str) -> str:
    start = words.find("Group 0")
    end = words.find("Recovery failed")
    return words[start if start >= 0 else 0 : end if end > 0 else None].strip()[:600]


def file_format(path: Path) -> str:
    """yaml, json, dotenv, ini or binary, from the file's name, as sops does."""
    return next((kind for suffix, kind in FORMATS.items() if path.name.endswith(suffix)), "binary")


def decrypt(path: str | Path, *, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The content of an encrypted file: a mapping (yaml, json, dotenv, ini), or ``{"data": text}`` for other formats.

    Raises SopsError.
    """
    file = Path(path)
    if not file.is_file():
        raise SopsFileError(f"{file}: no such file; give the path of a SOPS-encrypted file, relative to the project")
    if file_format(file) == "binary":
        raw = run_sops(["decrypt", str(file)], environment=environment)
        try:
            return {"data": raw.decode()}
        except UnicodeDecodeError:  # it quotes the bytes
            raise SopsFileError(
                f"{file}: holds bytes that are no UTF-8 text; keep it as Base64 under a key of a yaml file instead"
            ) from None
    output = run_sops(["decrypt", "--output-type", "json", str(file)], environment=environment)
    if file_format(file) == "yaml" and _NEXT_DOCUMENT.search(file.read_bytes()):
        raise SopsFileError(
            f"{file}: holds several YAML documents, of which sops gives the first alone; make files of them"
        )
    content: dict[str, Any] = json.loads(output)  # sops encrypts nothing but mappings in these formats
    return content
