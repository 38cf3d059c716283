"""Who may take a role: the trust policies of IAM roles, above all those for service accounts of a cluster (IRSA)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from policies.iam_documents import Statement, identifiers, judge
from policies.rule import Options, Props, Rule, Severity

ROLE = "aws:iam/role:Role"
TRUST = "assumeRolePolicy"
_ACCOUNT = re.compile(r"\d{12}|arn:[^:]*:iam::\d{12}:root")
# What narrows a whole account to somebody in it, or to somebody who knows a shared value.
_NARROWING = frozenset({"sts:externalid", "aws:principalarn", "aws:userid", "saml:sub"})


def _web_identity(statement: Statement) -> bool:
    """Whether it lets in by the token of an OIDC provider (and not by SAML, under a wildcard of actions)."""
    federated = statement.principals.get("federated", ())
    saml = all(isinstance(found, str) and ":saml-provider/" in found for found in federated)
    return statement.acts("sts:AssumeRoleWithWebIdentity") and bool(federated) and not saml


def check_audience(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if _web_identity(statement) and not any(
            found.key.endswith(":aud") and found.exact for found in statement.conditions
        ):
            yield "accepts a token for any audience: no condition pins the issuer's :aud"

    return judge(props.get(TRUST), TRUST, find, "action", "principal", "condition")


def check_subject(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if not _web_identity(statement):
            return
        subjects = [found for found in statement.conditions if found.key.endswith(":sub")]
        if not any(found.demands for found in subjects):
            yield "accepts every service account: no condition pins the issuer's :sub"
        elif not any(found.exact for found in subjects):
            yield "accepts more than one service account: its :sub holds a wildcard"

    return judge(props.get(TRUST), TRUST, find, "action", "principal", "condition")


def check_anyone(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        federated = "*" in identifiers(statement, "federated")
        if federated or (statement.anyone and not statement.pins_caller):
            yield "lets everyone take the role: its principal is a wildcard"

    return judge(props.get(TRUST), TRUST, find, "principal", "condition")


def check_whole_account(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        whole = any(_ACCOUNT.fullmatch(found) for found in identifiers(statement, "aws"))
        if whole and not _narrowed(statement):
            yield "trusts a whole account: whoever may assume roles there may take this one"
        if len(statement.principals.get("service", ())) > 1:
            yield "trusts a list of services: each could use what was meant for another"

    return judge(props.get(TRUST), TRUST, find, "principal", "condition")


def _narrowed(statement: Statement) -> bool:
    return any(
        found.narrows and (found.key in _NARROWING or found.key.startswith("aws:principaltag/"))
        for found in statement.conditions
    )


RULES = (
    Rule(
        number=1,
        name="irsa-trust-audience",
        title="A role for web identities pins the token's audience",
        severity=Severity.CRITICAL,
        source=("NEW",),
        tags=("iam", "irsa"),
        types=(ROLE,),
        remediation='Add StringEquals on "ISSUER:aud" with "sts.amazonaws.com" to the statement.',
        link="https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html",
        check=check_audience,
    ),
    Rule(
        number=2,
        name="irsa-trust-subject",
        title="A role for web identities is for one service account",
        severity=Severity.CRITICAL,
        source=("NEW", "CKV_AWS_358 and CKV_AWS_393 (GitHub only)"),
        tags=("iam", "irsa"),
        types=(ROLE,),
        remediation='Pin "ISSUER:sub" with StringEquals to "system:serviceaccount:NAMESPACE:NAME"; one role for each account.',
        link="https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html",
        check=check_subject,
    ),
    Rule(
        number=3,
        name="trust-anyone",
        title="Nobody takes a role by a wildcard principal",
        severity=Severity.CRITICAL,
        source=("CKV_AWS_60",),
        tags=("iam",),
        types=(ROLE,),
        remediation="Name the principals that may take the role.",
        link="https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html",
        check=check_anyone,
    ),
    Rule(
        number=4,
        name="trust-whole-account",
        title="A role trusts named principals, not a whole account or a list of services",
        severity=Severity.MEDIUM,
        source=("CKV_AWS_61",),
        tags=("iam",),
        types=(ROLE,),
        remediation="Name the role or user that may take it, or add sts:ExternalId or aws:PrincipalArn; one service a statement.",
        link="https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html",
        check=check_whole_account,
    ),
)
