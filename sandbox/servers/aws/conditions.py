"""The Condition block of a policy statement.

Source: the "IAM JSON policy elements: Condition operators" and "multivalued context keys" pages of the IAM user guide.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, "str | list[str]"]  # lower-case keys; a list is a multivalued key
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class UnknownOperator(Exception):
    """A condition operator that the evaluator does not know."""


@functools.lru_cache(maxsize=4096)
def _pattern(text: str, ignore_case: bool = False) -> re.Pattern[str]:
    escaped = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in text)
    return re.compile(escaped, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def like(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Whether ``value`` matches a pattern with ``*`` and ``?``."""
    return _pattern(pattern, ignore_case).fullmatch(value) is not None


def arn_like(pattern: str, value: str) -> bool:
    """Like ``like``, each of an ARN's six parts by itself."""
    wanted, parts = pattern.split(":", 5), value.split(":", 5)
    if len(wanted) != 6 or len(parts) != 6:
        return pattern == "*"
    return all(like(one, part) for one, part in zip(wanted, parts, strict=True))


def substituted(text: str, context: Context) -> str | None:
    """``text`` with its policy variables filled in; None where one has no value."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        name, _, default = match.group(1).partition(",")
        if name in ("*", "?", "$"):
            return name  # a literal in a pattern; close enough, as no name here holds one
        found = context.get(name.strip().lower())
        if isinstance(found, str):
            return found
        if default:
            return default.strip().strip("'\"")
        missing = True
        return ""

    result = _VARIABLE.sub(value, text)
    return None if missing else result


def _number(wanted: str, value: str, compare: Callable[[float, float], bool]) -> bool:
    try:
        return compare(float(value), float(wanted))
    except ValueError:
        return False


def _moment(text: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _date(wanted: str, value: str, compare: Callable[[float, float], bool]) -> bool:
    try:
        return compare(_moment(value), _moment(wanted))
    except ValueError:
        return False


def _address(wanted: str, value: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "Equals": lambda value, wanted: value == wanted,
    "LessThan": lambda value, wanted: value < wanted,
    "LessThanEquals": lambda value, wanted: value <= wanted,
    "GreaterThan": lambda value, wanted: value > wanted,
    "GreaterThanEquals": lambda value, wanted: value >= wanted,
}
# operator -> whether a value matches what the policy has
OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": like,
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
    "BinaryEquals": lambda wanted, value: wanted == value,
    "IpAddress": _address,
    **{f"Numeric{name}": functools.partial(_number, compare=compare) for name, compare in _COMPARISONS.items()},
    **{f"Date{name}": functools.partial(_date, compare=compare) for name, compare in _COMPARISONS.items()},
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}


def met(block: Mapping[str, Any], context: Context) -> bool:
    """Whether all conditions hold. Raises UnknownOperator."""
    return all(
        _one(operator, key, [str(item) for item in (wanted if isinstance(wanted, list) else [wanted])], context)
        for operator, keys in block.items()
        for key, wanted in keys.items()
    )


def _one(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    quantifier, _, rest = operator.rpartition(":")
    name = rest.removesuffix("IfExists")
    found = context.get(key.lower())
    wanted = [item.lower() if item in ("True", "False") else item for item in wanted]
    if name == "Null":
        return any((found is None) == (item == "true") for item in wanted)
    negated = name in NEGATED
    matches = OPERATORS.get(NEGATED.get(name, name))
    if matches is None or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise UnknownOperator(operator)
    if found is None or found == []:
        if quantifier == "ForAnyValue":
            return False
        return quantifier == "ForAllValues" or rest.endswith("IfExists") or negated
    values = found if isinstance(found, list) else [found]
    patterns = [text for item in wanted if (text := substituted(item, context)) is not None]

    def holds(value: str) -> bool:
        return any(matches(pattern, value) for pattern in patterns) != negated

    if quantifier == "ForAllValues":
        return all(holds(value) for value in values)
    if negated and not quantifier:
        return all(holds(value) for value in values)
    return any(holds(value) for value in values)
