"""IAM policy documents: a string or an object, one statement or many, any case, any operator form.

The grammar: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from policies.data import Undecided, items, mapping, opaque, parsed, plain, texts

_POSITIVE = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike"})
_LITERAL = frozenset({"stringequals", "stringequalsignorecase"})  # a `*` in their values is only a star
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html: who calls, in one key
_CALLER_KEYS = frozenset(
    {
        "aws:principalarn", "aws:principalaccount", "aws:principalorgid", "aws:principalorgpaths", "aws:sourceaccount",
        "aws:sourcearn", "aws:sourceorgid", "kms:calleraccount", "aws:userid", "aws:sourceowner",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """One key of a condition block."""

    operator: str  # lower case, without quantifier and IfExists
    quantifier: str  # "", "forallvalues", "foranyvalue"
    if_exists: bool
    key: str  # lower case
    values: tuple[Any, ...]

    @property
    def exact(self) -> bool:
        """Whether it holds only for the values it names: present, equal, and no wildcard among them."""
        return self.demands and not any(self._wild(value) for value in self.values)

    @property
    def demands(self) -> bool:
        """Whether it holds only where the key is present and like one of the values."""
        return (
            self.operator in _POSITIVE
            and not self.if_exists
            and self.quantifier != "forallvalues"
            and bool(self.values)
        )

    @property
    def narrows(self) -> bool:
        """Whether it demands a value, and not just any."""
        return self.demands and not any(isinstance(value, str) and not value.strip("*?:") for value in self.values)

    def _wild(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        return not value or (self.operator not in _LITERAL and ("*" in value or "?" in value))


@dataclass(frozen=True)
class Statement:
    """One statement. ``unread`` names its parts of which something cannot be read; what can be is in the others."""

    index: int
    allows: bool
    actions: tuple[Any, ...]
    not_actions: tuple[Any, ...]
    resources: tuple[Any, ...]
    not_resource: bool
    principals: Mapping[str, tuple[Any, ...]]  # lower-case kind -> identifiers; empty under NotPrincipal
    not_principal: bool
    conditions: tuple[Condition, ...]
    unread: frozenset[str]  # of "statement", "effect", "action", "resource", "principal", "condition"

    @property
    def place(self) -> str:
        return f"Statement[{self.index}]"

    def acts(self, action: str) -> bool:
        """Whether its actions match ``action`` ("kms:Decrypt"): by name, by wildcard, or as NotAction leaves it in."""
        if self.not_actions:
            return not any(opaque(found) for found in self.not_actions) and not _matches(self.not_actions, action)
        return _matches(self.actions, action)

    @property
    def every_action(self) -> bool:
        return any(isinstance(found, str) and found and not found.strip("*:") for found in self.actions)

    @property
    def every_resource(self) -> bool:
        return any(everything(found) for found in self.resources)

    @property
    def anyone(self) -> bool:
        """Whether its principal is everyone, or everyone but whom NotPrincipal names."""
        named = (found for kind in ("aws", "service", "*") for found in self.principals.get(kind, ()))
        return self.not_principal or any(
            isinstance(found, str) and (found == "*" or re.fullmatch(r"arn:[^:]*:iam::\*:.*", found)) for found in named
        )

    @property
    def pins_caller(self) -> bool:
        """Whether a condition says which account, organisation or principal may call."""
        return any(found.narrows and found.key in _CALLER_KEYS for found in self.conditions)


def _matches(patterns: tuple[Any, ...], action: str) -> bool:
    return any(isinstance(found, str) and glob(found.lower()).fullmatch(action.lower()) for found in patterns)


def everything(pattern: object, service: str = "\0") -> bool:
    """Whether a resource is ``*``, in any spelling (``arn:aws:*``); with ``service``, also where it is all of that service."""
    if not isinstance(pattern, str) or tail(pattern, service).strip("*") or not tail(pattern, service):
        return False
    return not any(part.strip("*") for part in pattern.split(":", 5)[3:5])


def tail(pattern: str, service: str) -> str:
    """The part of an ARN behind region and account, where it can be one of ``service``: "*" where it is cut short by a
    wildcard (``arn:aws:kms:*``), empty where it names another service."""
    parts = pattern.split(":", 5)
    if parts[0].strip("*") and not glob(parts[0]).fullmatch("arn"):
        return ""
    if len(parts) > 2 and not glob(parts[2]).fullmatch(service):
        return ""
    if len(parts) == 6:
        return parts[5]
    return "*" if parts[-1].endswith("*") else ""


@lru_cache(maxsize=4096)
def glob(pattern: str) -> re.Pattern[str]:
    """IAM's wildcards: ``*`` any characters, ``?`` one."""
    collapsed = re.sub(r"\*+", "*", pattern[:2048])
    return re.compile("".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in collapsed), re.DOTALL)


def statements(document: Any) -> tuple[Statement, ...]:
    """The statements of ``document``; none where it is no policy."""
    if isinstance(document, str):
        return _of_text(document)
    return tuple(_statements(document))


def allowing(document: Any) -> Iterator[Statement]:
    """The statements that grant."""
    return (statement for statement in statements(document) if statement.allows)


def judge(document: Any, path: str, find: Callable[[Statement], Iterator[str]], *needs: str) -> Iterator[str]:
    """What ``find`` says of each statement that grants, with its place.

    ``find`` goes by what can be read. Where it then says nothing, and something of the parts that it ``needs`` cannot be
    read, the statement is Undecided. Conditions take away from a grant, so one that cannot be read leaves the statement
    undecided wherever they are needed at all.
    """
    if opaque(document):
        yield Undecided(path)
        return
    for statement in allowing(document):
        blocked = statement.unread & {"statement", "effect", *({"condition"} & set(needs))}
        found = [] if blocked else list(find(statement))
        yield from (f"{path}.{statement.place} {message}" for message in found)
        if blocked or (not found and statement.unread & set(needs)):
            yield Undecided(f"{path}.{statement.place}")


@lru_cache(maxsize=2048)
def _of_text(document: str) -> tuple[Statement, ...]:
    return tuple(_statements(plain(parsed(document))))


def _statements(document: Any) -> Iterator[Statement]:
    body = _lower(document)
    for index, raw in enumerate(items(body.get("statement"))):
        part = _lower(raw)
        effect = part.get("effect")
        principal = part.get("principal", part.get("notprincipal"))
        principals = _principals(principal)
        conditions = tuple(_conditions(part.get("condition")))
        actions = tuple(items(part.get("action", part.get("notaction"))))
        resources = tuple(items(part.get("resource", part.get("notresource"))))
        parts = {
            "statement": (raw,),
            "effect": (effect,),
            "action": actions,
            "resource": resources,
            "principal": (principal, *(value for values in principals.values() for value in values)),
            "condition": (part.get("condition"), *(value for found in conditions for value in found.values)),
        }
        yield Statement(
            index=index,
            allows=opaque(raw) or opaque(effect) or (isinstance(effect, str) and effect.lower() == "allow"),
            actions=() if "notaction" in part else actions,
            not_actions=actions if "notaction" in part else (),
            resources=() if "notresource" in part else resources,
            not_resource="notresource" in part,
            principals={} if "notprincipal" in part else principals,
            not_principal="notprincipal" in part,
            conditions=conditions,
            unread=frozenset(name for name, values in parts.items() if any(opaque(value) for value in values)),
        )


def _principals(principal: Any) -> dict[str, tuple[Any, ...]]:
    if isinstance(principal, str):
        return {"*": (principal,)}
    return {kind: tuple(items(value)) for kind, value in _lower(principal).items()}


def _conditions(block: Any) -> Iterator[Condition]:
    for name, keys in mapping(block).items():
        quantifier, _, operator = name.lower().rpartition(":")
        if_exists = operator.endswith("ifexists")
        for key, value in mapping(keys).items():
            yield Condition(operator.removesuffix("ifexists"), quantifier, if_exists, key.lower(), tuple(items(value)))
        if opaque(keys):
            yield Condition(operator, quantifier, if_exists, "", (keys,))


def _lower(value: Any) -> dict[str, Any]:
    return {key.lower(): member for key, member in mapping(value).items()}


def documents(props: Mapping[str, Any], *names: str) -> Iterator[tuple[str, Any]]:
    """The identity policies of an IAM resource: its ``policy``, and a role's inline ones: (path, document)."""
    for name in names or ("policy",):
        if props.get(name) is not None:
            yield name, props[name]
    inline = props.get("inlinePolicies")
    if opaque(inline):
        yield "inlinePolicies", inline
    for index, entry in enumerate(items(inline)):
        document = entry if opaque(entry) else mapping(entry).get("policy")
        if document is not None:
            yield f"inlinePolicies[{index}].policy", document


def identifiers(statement: Statement, kind: str) -> list[str]:
    """The readable principals of one kind ("aws", "federated", "service")."""
    return texts(list(statement.principals.get(kind, ())))
