"""Policy documents: statements, who and what they are about, and the decision over several of them.

Source: the "Policy evaluation logic" chapter of the IAM user guide. Within one account: an explicit deny in any policy
wins; else a resource policy that names the principal allows, or an identity policy does; a permissions boundary
and a session policy limit what identity policies allow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sandbox.servers.aws.conditions import Context, UnknownOperator, like, met, substituted


class Effect(Enum):
    NONE = "none"
    ALLOW = "allow"
    DENY = "deny"


class Match(Enum):
    """How a statement's Principal names the caller."""

    NO = 0
    ACCOUNT = 1  # the account: it leaves the decision to the caller's own policies
    ROLE = 2  # the role, or everyone
    SESSION = 3  # this very session or user


@dataclass(frozen=True)
class Caller:
    """Who a policy's Principal is compared with."""

    arn: str  # of the session or user
    role_arn: str = ""  # of the role that the session is of
    account: str = ""
    federated: str = ""  # ARN of the OIDC provider that vouches for the caller
    service: str = ""  # pods.eks.amazonaws.com

    def matched(self, principal: Any) -> Match:
        if principal is None:
            return Match.SESSION  # an identity policy: it is the caller's own
        if principal == "*":
            return Match.ROLE
        found = Match.NO
        for kind, names in principal.items() if isinstance(principal, Mapping) else ():
            for name in _list(names):
                one = self._one(kind, name)
                found = one if one.value > found.value else found
        return found

    def _one(self, kind: str, name: str) -> Match:
        if kind == "AWS" and (self.arn or self.role_arn):
            if name == "*":
                return Match.ROLE
            if name == self.arn:
                return Match.SESSION
            if name == self.role_arn:
                return Match.ROLE
            if name in (self.account, f"arn:aws:iam::{self.account}:root"):
                return Match.ACCOUNT
        if kind == "Federated" and self.federated and name == self.federated:
            return Match.SESSION
        if kind == "Service" and self.service and name == self.service:
            return Match.SESSION
        return Match.NO


@dataclass(frozen=True)
class Asked:
    """What the caller wants: one action on one resource, in a context."""

    action: str  # "secretsmanager:GetSecretValue"
    resource: str  # an ARN, or "*" for an action that has no resource
    context: Context


@dataclass(frozen=True)
class Verdict:
    effect: Effect
    match: Match = Match.NO


def evaluate(documents: Iterable[str], caller: Caller, asked: Asked, *, resource_policy: bool = False) -> Verdict:
    """What the documents say together. An Allow with an unknown operator does not count, a Deny with one does."""
    allowed = Match.NO
    for document in documents:
        for statement in _statements(document):
            deny = statement.get("Effect") == "Deny"
            match = _principal(statement, caller) if resource_policy else Match.SESSION
            if match is Match.NO or not _about(statement, asked, resource_policy):
                continue
            try:
                if not met(statement.get("Condition") or {}, asked.context):
                    continue
            except UnknownOperator:
                if not deny:
                    continue
            if deny:
                return Verdict(Effect.DENY)
            allowed = match if match.value > allowed.value else allowed
    return Verdict(Effect.ALLOW, allowed) if allowed is not Match.NO else Verdict(Effect.NONE)


def _principal(statement: Mapping[str, Any], caller: Caller) -> Match:
    if "NotPrincipal" in statement:
        return Match.NO if caller.matched(statement["NotPrincipal"]) is not Match.NO else Match.ROLE
    return caller.matched(statement.get("Principal") or {})


def _about(statement: Mapping[str, Any], asked: Asked, resource_policy: bool) -> bool:
    if "NotAction" in statement:
        if _action(statement["NotAction"], asked.action):
            return False
    elif not _action(statement.get("Action"), asked.action):
        return False
    if "NotResource" in statement:
        return not _resource(statement["NotResource"], asked)
    if "Resource" not in statement:
        return resource_policy  # a trust policy has none
    return _resource(statement["Resource"], asked)


def _action(patterns: Any, action: str) -> bool:
    return any(like(pattern, action, ignore_case=True) for pattern in _list(patterns))


def _resource(patterns: Any, asked: Asked) -> bool:
    for item in _list(patterns):
        pattern = substituted(item, asked.context)
        if pattern is not None and like(pattern, asked.resource):
            return True
    return False


def _statements(document: str) -> list[dict[str, Any]]:
    statements = json.loads(document).get("Statement") or []
    return statements if isinstance(statements, list) else [statements]


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)] if value is not None else []


@dataclass(frozen=True)
class Decision:
    """Whether the caller may, and AWS's words for why not."""

    allowed: bool
    reason: str = ""


@dataclass(frozen=True)
class Policies:
    """All policies that bear on one request. ``boundary`` and ``session``: None where there is none."""

    identity: tuple[str, ...]
    boundary: str | None = None
    session: str | None = None
    resource: str | None = None
    resource_decides: bool = (
        False  # KMS keys, trust policies: an identity policy counts only where the resource's says so
    )


def decide(policies: Policies, caller: Caller, asked: Asked) -> Decision:
    """The decision, in the order of the evaluation logic."""
    limits = {"permissions boundary": policies.boundary, "session policy": policies.session}
    verdicts = {
        name: evaluate([document], caller, asked) if document is not None else None for name, document in limits.items()
    }
    identity = evaluate(policies.identity, caller, asked)
    resource = Verdict(Effect.NONE)
    if policies.resource is not None:
        resource = evaluate([policies.resource], caller, asked, resource_policy=True)
    for name, verdict in (("identity-based policy", identity), ("resource-based policy", resource), *verdicts.items()):
        if verdict is not None and verdict.effect is Effect.DENY:
            return Decision(False, f"with an explicit deny in a{'n' if name[0] == 'i' else ''} {name}")
    if resource.match is Match.SESSION and resource.effect is Effect.ALLOW:
        return Decision(True)
    if resource.match is not Match.ROLE:
        if policies.resource_decides and resource.effect is not Effect.ALLOW:
            return Decision(False, f"because no resource-based policy allows the {asked.action} action")
        if identity.effect is not Effect.ALLOW:
            return Decision(False, f"because no identity-based policy allows the {asked.action} action")
    for name, verdict in verdicts.items():
        if verdict is not None and verdict.effect is not Effect.ALLOW:
            return Decision(False, f"because no {name} allows the {asked.action} action")
    return Decision(True)
