"""Who may take a role: the trust policies of IAM roles, above all those for service accounts of a cluster (IRSA)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from policies.data import text, texts
from policies.iam_documents import Condition, Statement, identifiers, judge
from policies.rule import Options, Props, Rule, Severity

ROLE = "aws:iam/role:Role"
TRUST = "assumeRolePolicy"
_ACCOUNT = re.compile(r"\d{12}|arn:[^:]*:iam::\d{12}:root")
# What narrows a whole account to somebody in it, or to somebody who knows a shared value.
_NARROWING = frozenset({"sts:externalid", "aws:principalarn", "aws:userid", "saml:sub"})
# Issuers of build systems, whose subjects are branches and runs and not service accounts of a cluster.
_OTHERS = re.compile(
    r"token\.actions\.githubusercontent\.com|gitlab\.com|app\.terraform\.io|api\.bitbucket\.org|oidc\.circleci\.com"
    r"|agent\.buildkite\.com|oidc\.vercel\.com|api\.pulumi\.com|accounts\.google\.com"
)
_ORGANISATION = re.compile(r"[^*?:/]+[:/][^*?:/]+(?:[:/]|$)")


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
        issuers = _issuers(statement)
        if not _web_identity(statement) or not issuers:
            return
        subjects = [found for found in statement.conditions if found.key.endswith(":sub")]
        whole = all(_OTHERS.match(issuer) for issuer in issuers)
        who = "subject of the issuer" if whole else "service account"
        if not any(found.demands for found in subjects):
            yield f"accepts every {who}: no condition pins the issuer's :sub"
        elif not any(found.exact or (whole and _scoped(found)) for found in subjects):
            yield f"accepts more than one {who}: its :sub holds a wildcard"
        elif not whole and not any(found.exact and not _starred(found) for found in subjects):
            yield f"names no {who}: its :sub holds a wildcard, which this operator takes for a mere character"

    return judge(props.get(TRUST), TRUST, find, "action", "principal", "condition")


def _issuers(statement: Statement) -> list[str]:
    """The OIDC providers of the account that it trusts, ``?`` where one cannot be read; Cognito and its like are none."""
    federated = statement.principals.get("federated", ())
    return [
        text(found).partition(":oidc-provider/")[2] if isinstance(found, str) else "?"
        for found in federated
        if not isinstance(found, str) or ":oidc-provider/" in found
    ]


def _scoped(condition: Condition) -> bool:
    """Whether each subject names an organisation before its wildcard: ``repo:ORG/REPO:*``."""
    return all(isinstance(value, str) and _ORGANISATION.match(value) for value in condition.values)


def _starred(condition: Condition) -> bool:
    return any("*" in value or "?" in value for value in texts(list(condition.values)))


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
