"""``.sops.yaml``: which files must be encrypted, and what of them; and whether they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.sops.decrypt import file_format
from gitops.errors import GitOpsError

CONFIG = ".sops.yaml"
_IN_CLEAR = "_unencrypted"
_CIPHERTEXT = re.compile(r"ENC\[AES256_GCM,data:[^,]*,iv:[^,]+,tag:[^,]+,type:\w+\]")
_MAC_LINE = re.compile(r"^\s*(sops_)?mac\s*=", re.MULTILINE)
_SECTION = re.compile(r"\s*\[(.+)\]\s*$")
_EDIT = "in clear in an encrypted file; edit it with `python -m gitops sops edit`"


@dataclass(frozen=True)
class Rule:
    """One creation rule: the files that it covers and which of their keys are encrypted (all, where nothing is said).

    ``by_comment``: comments in the file choose them, so which ones they are cannot be told from the keys.
    """

    path_regex: re.Pattern[str]
    encrypted_regex: re.Pattern[str] | None
    unencrypted_regex: re.Pattern[str] | None
    unencrypted_suffix: str
    encrypted_suffix: str
    by_comment: bool

    def covers(self, key_path: Sequence[str]) -> bool:
        """Whether a value under these keys must be encrypted, as sops decides it."""
        if self.by_comment:
            return False
        if self.encrypted_regex is not None:
            return any(self.encrypted_regex.search(key) for key in key_path)
        if self.unencrypted_regex is not None:
            return not any(self.unencrypted_regex.search(key) for key in key_path)
        if self.encrypted_suffix:
            return any(key.endswith(self.encrypted_suffix) for key in key_path)
        return not any(key.endswith(self.unencrypted_suffix) for key in key_path)


@dataclass(frozen=True)
class Finding:
    """A file, or a key of it, that is in clear where a rule wants it encrypted. Never holds the value."""

    path: Path
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}{f' at {self.where}' if self.where else ''}: {self.what}"


def load(root: Path) -> list[Rule]:
    """The creation rules of the repository at ``root``. Raises GitOpsError where there are none."""
    config = root / CONFIG
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise GitOpsError(f"{config}: no creation rules there; write them with `python -m gitops sops init`") from error
    except yaml.YAMLError as error:
        raise GitOpsError(f"{config}: not YAML: {error}") from error
    entries = content.get("creation_rules") if isinstance(content, dict) else None
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise GitOpsError(f"{config}: creation_rules: expected a list of rules with path_regex")

    def pattern(entry: dict[str, Any], key: str) -> re.Pattern[str] | None:
        try:
            return re.compile(entry[key]) if key in entry else None
        except (re.error, TypeError) as error:
            raise GitOpsError(f"{config}: {key}: {entry[key]!r} is not a regular expression: {error}") from error

    return [
        Rule(
            path_regex=pattern(entry, "path_regex") or re.compile(""),
            encrypted_regex=pattern(entry, "encrypted_regex"),
            unencrypted_regex=pattern(entry, "unencrypted_regex"),
            unencrypted_suffix=entry.get("unencrypted_suffix") or _IN_CLEAR,
            encrypted_suffix=entry.get("encrypted_suffix", ""),
            by_comment="encrypted_comment_regex" in entry or "unencrypted_comment_regex" in entry,
        )
        for entry in entries
    ]


def check(root: Path, files: Sequence[Path]) -> list[Finding]:
    """What is in clear among ``files`` (absolute, or relative to ``root``) although a rule wants it encrypted."""
    rules = load(root)
    found: list[Finding] = []
    for file in files:
        path = file if file.is_absolute() else root / file
        if not path.is_relative_to(root):
            raise GitOpsError(f"{path}: outside of the repository {root}; give --root, or files of this one")
        relative = path.relative_to(root)
        if not path.is_file() or relative.name == CONFIG:
            continue
        rule = next((rule for rule in rules if rule.path_regex.search(relative.as_posix())), None)
        if rule is not None:
            found += [Finding(relative, where, what) for where, what in _in_clear(path, rule)]
    return found


def _in_clear(path: Path, rule: Rule) -> Iterator[tuple[str, str]]:
    whole = ("", "not encrypted; run `python -m gitops sops encrypt` on it, and rotate what it held")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield whole
        return
    kind = file_format(path)
    if kind in ("dotenv", "ini"):
        yield from _clear_lines(text, rule) if _MAC_LINE.search(text) else [whole]
        return
    try:
        documents = [json.loads(text)] if kind in ("json", "binary") else list(yaml.safe_load_all(text))
    except (ValueError, yaml.YAMLError):
        documents = []
    if not documents:
        yield whole
    for content in documents:
        if not isinstance(content, dict) or not isinstance(content.get("sops"), dict) or not content["sops"].get("mac"):
            yield whole
            return
        for key, value in content.items():
            if key != "sops":
                yield from _clear_values(value, [str(key)], rule)


def _clear_lines(text: str, rule: Rule) -> Iterator[tuple[str, str]]:
    """Of an encrypted dotenv or ini file: what is in clear, and the ini section it is in."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        key, separator, value = (part.strip() for part in line.partition("="))
        if found := _SECTION.match(line):
            section = [found[1]]
        elif key.startswith(("#", ";", "sops_")) or section == ["sops"]:
            continue
        elif separator:
            yield from _clear_values(value, [*section, key], rule)
        elif key:
            yield f"line {number}", _EDIT


def _clear_values(value: Any, keys: list[str], rule: Rule, where: str = "") -> Iterator[tuple[str, str]]:
    """Where below ``keys`` a value is in clear; ``where``: the place in a list, which sops's rules do not look at."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _clear_values(inner, [*keys, str(key)], rule)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _clear_values(inner, keys, rule, f"{where}.[{index}]")
    elif value not in (None, "") and rule.covers(keys) and not _CIPHERTEXT.fullmatch(str(value)):
        # sops leaves empty values as they are
        yield ".".join(keys) + where, _EDIT
