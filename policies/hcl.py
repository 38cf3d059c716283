"""Vault's policy language, as far as rules need it: paths and their capabilities, in HCL or JSON.

The language: https://developer.hashicorp.com/vault/docs/concepts/policies
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from policies.data import items, mapping, parsed, plain, text, texts

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|#[^\n]*|//[^\n]*|/\*.*?\*/|([{}\[\]=,])|([A-Za-z_]+)', re.DOTALL)
_LEGACY = {"write": ("create", "read", "update", "delete", "list")}  # `policy = "write"`, of Vault's first versions


@lru_cache(maxsize=1024)
def paths(policy: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(path, capabilities) of each block; nothing of what is no policy."""
    body = plain(parsed(policy))
    return tuple(_of_json(body) if isinstance(body, dict) else _of_hcl(policy))


def _of_json(body: dict[str, object]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for blocks in items(body.get("path")):
        for path, block in mapping(blocks).items():
            for part in items(block):
                yield path, (*texts(mapping(part).get("capabilities")), *_legacy(text(mapping(part).get("policy"))))


def _legacy(word: str) -> tuple[str, ...]:
    return _LEGACY.get(word, (word,) if word else ())


def _of_hcl(policy: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    depth, path, key = 0, "", ""
    last, listed = "", False  # the last word or quoted text, which a `{` or `=` makes a path or a key
    found: list[str] = []
    for match in _TOKEN.finditer(policy):
        quoted, mark, word = match.group(1), match.group(2), match.group(3)
        if mark == "{":
            depth += 1
            if depth == 1:
                path, found, key = last, [], ""
        elif mark == "}":
            if depth == 1 and path:
                yield path, tuple(found)
                path = ""
            depth = max(0, depth - 1)
        elif mark in ("[", "]"):
            listed = mark == "["
            key = key if listed else ""
        elif mark == "=" and depth == 1 and not listed:
            key = last
        elif quoted is not None and depth == 1 and key == "capabilities" and listed:
            found.append(quoted)
        elif quoted is not None and depth == 1 and key == "policy":
            found.extend(_legacy(quoted))
            key = ""
        if (quoted if quoted is not None else word) is not None:
            last = quoted if quoted is not None else word
