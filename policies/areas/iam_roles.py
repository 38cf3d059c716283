"""Roles whose policies two resources manage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.data import Undecided, items, opaque, texts
from policies.rule import Options, Resource, Rule, Severity

ROLE = "aws:iam/role:Role"
INLINE = "aws:iam/rolePolicy:RolePolicy"
ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ATTACHMENT = "aws:iam/policyAttachment:PolicyAttachment"
INLINE_ONLY = "aws:iam/rolePoliciesExclusive:RolePoliciesExclusive"
ATTACHED_ONLY = "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"


def conflict(resources: Sequence[Resource], _: Options) -> Iterator[tuple[str, str]]:
    by_type: dict[str, list[Resource]] = {}
    for resource in resources:
        by_type.setdefault(resource.type, []).append(resource)
    for prop, kinds in (("inlinePolicies", (INLINE, INLINE_ONLY)), ("managedPolicyArns", (ATTACHED, ATTACHED_ONLY))):
        others = [other for kind in kinds for other in by_type.get(kind, ())]
        for role in by_type.get(ROLE, ()):
            yield from _beside(role, prop, others)
    for role in by_type.get(ROLE, ()):
        added = any(_attaches(other, role) for other in by_type.get(ATTACHMENT, ()))
        yield from _conflicts(role, "managedPolicyArns", added)
    for other in by_type.get(ATTACHED, ()):
        for attachment in by_type.get(ATTACHMENT, ()):
            if _same(attachment, "policyArn", other, "policyArn"):
                yield attachment.urn, "PolicyAttachment detaches the policy from every role that it does not list"
    for kind, listed, managed, own in (
        (INLINE_ONLY, "policyNames", INLINE, "name"),
        (ATTACHED_ONLY, "policyArns", ATTACHED, "policyArn"),
    ):
        for exclusive in by_type.get(kind, ()):
            for other in by_type.get(managed, ()):
                yield from _left_out(exclusive, listed, other, own)


def _beside(role: Resource, prop: str, others: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    added = any(other.refers(name, role, "name", "id", "arn") for other in others for name in ("role", "roleName"))
    yield from _conflicts(role, prop, added)


def _attaches(attachment: Resource, role: Resource) -> bool:
    """Whether the role is in the list of a PolicyAttachment."""
    names = [role.asked.get("name"), role.props.get("name"), role.props.get("id")]
    return role.urn in attachment.depends.get("roles", ()) or any(
        name in names for name in texts(attachment.asked.get("roles"))
    )


def _conflicts(role: Resource, prop: str, added: bool) -> Iterator[tuple[str, str]]:
    # The provider reads inline and attached policies back into these two, so only what was asked for counts.
    given = role.asked.get(prop) if role.inputs else None
    if items(given) and added:
        message = f"{prop} is exclusive, and another resource adds to it: each update undoes the other's"
        yield role.urn, Undecided(prop) if opaque(given) else message


def _left_out(exclusive: Resource, listed: str, other: Resource, own: str) -> Iterator[tuple[str, str]]:
    """Whether a policy of the role is missing from the list of those that the role may have."""
    names, name = exclusive.asked.get(listed), other.asked.get(own)
    made_of = set(exclusive.depends.get(listed, ()))
    if not _same(exclusive, "roleName", other, "role") or name in items(names):
        return
    if other.urn in made_of or made_of & set(other.depends.get(own, ())):
        return
    if opaque(name) or any(opaque(found) for found in items(names)):
        yield exclusive.urn, Undecided(listed)
    else:
        yield exclusive.urn, f"{listed} leaves out a policy that another resource gives the role, and so removes it"


def _same(one: Resource, prop: str, other: Resource, key: str) -> bool:
    """Whether two properties lead to one thing: made of one resource, or equal."""
    if set(one.depends.get(prop, ())) & set(other.depends.get(key, ())):
        return True
    value = one.asked.get(prop)
    return isinstance(value, str) and value == other.asked.get(key)


RULES = (
    Rule(
        number=14, name="role-policies-conflict", title="A role's policies have one manager", severity=Severity.HIGH,
        source=("AwsGuard",), tags=("aws", "iam"), types=(ROLE, INLINE, ATTACHED, ATTACHMENT, INLINE_ONLY, ATTACHED_ONLY),
        remediation="Leave inlinePolicies, managedPolicyArns and PolicyAttachment out; use RolePolicy and RolePolicyAttachment, "
        "each in the list of the role's ...Exclusive resource where there is one.",
        link="https://www.pulumi.com/registry/packages/aws/api-docs/iam/role/", check_stack=conflict,
    ),
)  # fmt: skip
