"""Kubernetes manifests in a repository: which documents are sealed, and which hold secrets in clear."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gitops.errors import GitOpsError, PlaintextFound

SUFFIXES = (".yaml", ".yml", ".json")
_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_SECRET = re.compile(r"""^\s*["']?kind["']?:\s*["']?Secret["']?,?\s*$""", re.MULTILINE)


class ManifestLoader(yaml.SafeLoader):
    """As Kubernetes reads YAML, what looks like a date is a text."""


ManifestLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else an empty one, as a manifest may hold anything."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Document:
    """One Kubernetes object in a file."""

    path: Path
    content: dict[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        return mapping(self.content.get("metadata"))

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.content.get("spec"))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name") or "")

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace") or "")

    @property
    def where(self) -> str:
        """For people: the file, and the object in it."""
        return f"{self.path} ({self.namespace or 'no namespace'}/{self.name})"


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """The manifests among ``paths``, each once; folders are searched, hidden ones passed over.

    A path that is not there is an error.
    """
    seen: set[Path] = set()
    for path in paths:
        for file in _below(path):
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def _below(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
            for name in sorted(names):
                if name.endswith(SUFFIXES) and (Path(folder) / name).is_file():
                    yield Path(folder) / name
    else:
        raise GitOpsError(f"{path}: no such file or folder")


def documents(path: Path) -> Iterator[Document]:
    """The Kubernetes objects of one file; documents that are something else, or templates, are passed over.

    A Secret that is neither a template nor YAML is an error: whatever reads it less strictly might find values in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return
    for part in _SEPARATOR.split(text):
        try:
            content = yaml.load(part, ManifestLoader)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, ValueError) as error:
            if _SECRET.search(part) and "{{" not in part:
                raise GitOpsError(
                    f"{path}: holds a Secret that is not YAML; its text is not shown, as it may hold values"
                ) from error
            continue  # a Helm template or the like: not a manifest that could be applied as it is
        for item in _objects(content):
            yield Document(path, item)


def _objects(content: Any, kind: str = "") -> Iterator[dict[str, Any]]:
    """An object, those of a List of them (of a typed one they need not say their ``kind``), or what kustomize makes of literals."""
    if not isinstance(content, dict):
        return
    if kind:
        content = {"apiVersion": "v1", "kind": kind, **content}
    items = content.get("items")
    if isinstance(items, list) and str(content.get("kind")).endswith("List"):
        for item in items:
            yield from _objects(item, str(content["kind"]).removesuffix("List"))
    elif "kind" in content and "apiVersion" in content:
        yield content
    for generator in content.get("secretGenerator") or []:
        values = dict(str(literal).partition("=")[::2] for literal in mapping(generator).get("literals") or [])
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": mapping(generator), "stringData": values}


def is_sealed(document: Document) -> bool:
    return bool(document.content["kind"] == "SealedSecret")


def is_plaintext_secret(document: Document) -> bool:
    """Whether it is a core Secret with values in clear (Base64 is no encryption). SOPS-encrypted ones are fine."""
    content = document.content
    if content["kind"] != "Secret" or content["apiVersion"] != "v1":
        return False
    values = [*mapping(content.get("data")).values(), *mapping(content.get("stringData")).values()]
    encrypted = isinstance(content.get("sops"), dict)
    return any(value not in (None, "") and not (encrypted and str(value).startswith("ENC[")) for value in values)


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
            + ", ".join(document.where for document in plain)
            + "; seal them with `python -m gitops sealed seal`, delete the plain files and rotate what they held"
        )
    return found
