"""Random content of secret files: unicode, control characters, many lines, empty, nested and large."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import strategies as st

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


def written(content: dict[str, Any], kind: str) -> str:
    """The plain text of a file of this kind."""
    if kind == "json":
        return json.dumps(content, ensure_ascii=False)
    text = yaml.safe_dump(content, allow_unicode=True)
    try:  # PyYAML does not always read again what it writes, where it does not escape line breaks of Unicode
        same = yaml.safe_load(text) == content
    except yaml.YAMLError:
        same = False
    return text if same else yaml.safe_dump(content)
