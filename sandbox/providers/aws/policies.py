"""Policy documents: whether two mean the same, so that layout and order are no difference."""

from __future__ import annotations

import json
from typing import Any

_LISTS = ("Action", "NotAction", "Resource", "NotResource")


def same_policy(one: Any, other: Any) -> bool:
    """Whether two documents (JSON text or data) say the same. What is no JSON is compared as text."""
    try:
        return bool(_normal(one) == _normal(other))
    except (ValueError, TypeError, AttributeError):
        return bool(one == other)


def _normal(document: Any) -> Any:
    data = json.loads(document) if isinstance(document, str) else dict(document)
    statements = data.get("Statement") or []
    data["Statement"] = [_statement(one) for one in (statements if isinstance(statements, list) else [statements])]
    return data


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in statement.items() if value not in (None, "") or key != "Sid"}
    for key in _LISTS:
        if key in result:
            result[key] = _sorted(result[key])
    for key in ("Principal", "NotPrincipal"):
        if isinstance(result.get(key), dict):
            result[key] = {kind: _sorted(names) for kind, names in result[key].items()}
    if result.get("Condition"):
        result["Condition"] = {
            operator: {name: _sorted(values) for name, values in keys.items()}
            for operator, keys in result["Condition"].items()
        }
    return result


def _sorted(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return sorted(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def as_text(document: Any) -> str:
    """Data as JSON text, as the real provider sends it; text as it is."""
    return document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))


def kept(live: Any, known: Any) -> str:
    """The live document; in the words of the known one where they mean the same, so that a refresh shows no change."""
    return str(known) if known is not None and same_policy(live, known) else as_text(live)
