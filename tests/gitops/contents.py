"""Random content of secret files: unicode, control characters, many lines, empty, nested and large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from gitops.sops import files

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=60)
LINES = st.lists(TEXT, min_size=2, max_size=6).map("\n".join)
LARGE = st.text(CHARACTERS, min_size=1, max_size=4).map(lambda piece: piece * (40_000 // len(piece)))
NUMBER = st.integers(-(2**53), 2**53)
LEAF = st.one_of(TEXT, LINES, st.just(""), NUMBER, st.booleans(), st.none())
KEY = st.text(CHARACTERS, min_size=1, max_size=20).filter(lambda key: key != "sops")
NESTED = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4), max_leaves=8
)
CONTENT = st.dictionaries(KEY, st.one_of(NESTED, NESTED, NESTED, LARGE), min_size=1, max_size=5)
FORMATS = st.sampled_from(["yaml", "json"])


class _Quoted(yaml.SafeDumper):
    """Every text in quotes: sops reads YAML 1.2, for which `0E0`, say, is a number, where PyYAML's YAML 1.1 sees a text."""


_Quoted.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def written(content: dict[str, Any], kind: str) -> str:
    """The plain text of a file of this kind."""
    if kind == "json":
        return json.dumps(content, ensure_ascii=False)
    text = yaml.dump(content, Dumper=_Quoted, allow_unicode=True)
    try:  # PyYAML does not always read again what it writes, where it does not escape line breaks of Unicode
        same = yaml.safe_load(text) == content
    except yaml.YAMLError:
        same = False
    return text if same else yaml.dump(content, Dumper=_Quoted)


def write_encrypted(root: Path, content: Mapping[str, object], name: str = "app.yaml") -> Path:
    """A file of production, encrypted by the repository's rules."""
    path = root / "secrets" / "production" / name
    path.write_text(yaml.safe_dump(dict(content)))
    files.encrypt(root, [path])
    return path
