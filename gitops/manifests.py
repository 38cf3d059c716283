"""Kubernetes manifests in a repository: which documents are sealed, and which are plaintext Secrets."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gitops.errors import GitOpsError, PlaintextFound

SUFFIXES = (".yaml", ".yml", ".json")
_SEPARATOR = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Document:
    """One YAML document of a file; ``text`` is its own part of the file's text."""

    path: Path
    text: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        return str((self.content.get("metadata") or {}).get("name", ""))

    @property
    def namespace(self) -> str:
        return str((self.content.get("metadata") or {}).get("namespace", ""))


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """The manifests among ``paths``; folders are searched, hidden ones passed over. A path that is not there is an error."""
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
                for name in sorted(names):
                    if name.endswith(SUFFIXES):
                        yield Path(folder) / name
        else:
            raise GitOpsError(f"{path}: no such file or folder")


def documents(path: Path) -> Iterator[Document]:
    """The Kubernetes objects of one file; documents that are something else, or templates, are passed over."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for part in _SEPARATOR.split(text):
        try:
            content = yaml.safe_load(part)
        except yaml.YAMLError:
            continue  # a Helm template or the like: not a manifest that could be applied as it is
        if isinstance(content, dict) and "kind" in content and "apiVersion" in content:
            items = content.get("items")
            if isinstance(items, list) and str(content["kind"]).endswith("List"):
                for item in items:
                    if isinstance(item, dict):
                        yield Document(path, part, item)
            else:
                yield Document(path, part, content)


def is_sealed(document: Document) -> bool:
    return document.content["kind"] == "SealedSecret" if "kind" in document.content else False


def is_plaintext_secret(document: Document) -> bool:
    """Whether it is a core Secret with values in clear (Base64 is no encryption). SOPS-encrypted ones are fine."""
    content = document.content
    if content.get("kind") != "Secret" or content.get("apiVersion") != "v1" or "sops" in content:
        return False
    return bool(content.get("data") or content.get("stringData"))


def sealed_documents(paths: Sequence[Path]) -> list[Document]:
    """Every SealedSecret below ``paths``. A plaintext Secret among them is refused by PlaintextFound."""
    found, plain = [], []
    for path in files(paths):
        for document in documents(path):
            if is_sealed(document):
                found.append(document)
            elif is_plaintext_secret(document):
                plain.append(document)
    if plain:
        raise PlaintextFound(
            "plaintext Secret manifests found: "
            + ", ".join(
                f"{document.path} ({document.namespace or 'no namespace'}/{document.name})" for document in plain
            )
            + "; seal them with `python -m gitops sealed seal`, delete the plain files and rotate what they held"
        )
    return found


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
