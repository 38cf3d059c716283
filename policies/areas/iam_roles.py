"""Roles whose policies two resources manage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.data import items
from policies.rule import Options, Resource, Rule, Severity

ROLE = "aws:iam/role:Role"
INLINE = "aws:iam/rolePolicy:RolePolicy"
ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
EXCLUSIVE = "aws:iam/policyAttachment:PolicyAttachment"


def conflict(resources: Sequence[Resource], _: Options) -> Iterator[tuple[str, str]]:
    by_type: dict[str, list[Resource]] = {}
    for resource in resources:
        by_type.setdefault(resource.type, []).append(resource)
    for role in by_type.get(ROLE, ()):
        # The provider reads inline and attached policies back into these two, so only what was asked for counts.
        for prop, kind in (("inlinePolicies", INLINE), ("managedPolicyArns", ATTACHED)):
            given = items(role.asked.get(prop)) if role.inputs else []
            if given and any(other.refers("role", role, "name", "id", "arn") for other in by_type.get(kind, ())):
                yield role.urn, f"{prop} is exclusive, and another resource adds to it: each update undoes the other's"
    attached = by_type.get(ATTACHED, ())
    for exclusive in by_type.get(EXCLUSIVE, ()):
        same = set(exclusive.depends.get("policyArn", ()))
        arn = exclusive.asked.get("policyArn")
        for other in attached:
            if same & set(other.depends.get("policyArn", ())) or (
                isinstance(arn, str) and arn == other.asked.get("policyArn")
            ):
                yield exclusive.urn, "PolicyAttachment detaches the policy from every role that it does not list"
                break


RULES = (
    Rule(
        number=14, name="role-policies-conflict", title="A role's policies have one manager", severity=Severity.HIGH,
        source=("AwsGuard",), tags=("aws", "iam"), types=(ROLE, INLINE, ATTACHED, EXCLUSIVE),
        remediation="Leave inlinePolicies, managedPolicyArns and PolicyAttachment out; use RolePolicy and RolePolicyAttachment.",
        link="https://www.pulumi.com/registry/packages/aws/api-docs/iam/role/", check_stack=conflict,
    ),
)  # fmt: skip
