"""What an identity may do: policies, attached and inline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from policies.data import texts
from policies.iam_actions import MANY_VALUES, TAKE_ARN
from policies.iam_documents import Statement, documents, everything, glob, judge, tail
from policies.rule import Options, Props, Rule, Severity

ROLE = "aws:iam/role:Role"
POLICIES = (
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
    ROLE,
)
ATTACHMENTS = (
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive",
    "aws:iam/userPolicyAttachmentsExclusive:UserPolicyAttachmentsExclusive",
    "aws:iam/groupPolicyAttachmentsExclusive:GroupPolicyAttachmentsExclusive",
)
_GRAMMAR = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_"
_BEST = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege"


def _each(
    props: Props, finder: Callable[[Statement], Iterator[str]], *needs: str, trust: bool = False
) -> Iterator[str]:
    """``judge`` over the policies of an IAM resource, and over the trust policy with ``trust``."""
    for path, document in documents(props, *(("policy", "assumeRolePolicy") if trust else ("policy",))):
        yield from judge(document, path, finder, *needs)


def _administrator(statement: Statement) -> bool:
    """What rule 5 is about; the rules on single actions leave it to that one."""
    return (statement.every_action or bool(statement.not_actions)) and statement.every_resource


def check_administrator(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if not _administrator(statement):
            return
        if statement.every_action:
            yield "allows every action on every resource"
        else:
            yield "allows all but some actions on every resource (NotAction), also those that AWS has yet to add"

    yield from _each(props, find, "action", "resource")
    # AWS's own policy of the kind is known by its ARN; what a stack makes itself, of which the ARN may be unknown, is seen above.
    for name in ("policyArn", "policyArns", "managedPolicyArns"):
        if any(arn.endswith(":aws:policy/AdministratorAccess") for arn in texts(props.get(name))):
            yield f"{name} names AdministratorAccess, which allows every action on every resource"


def check_service_wildcard(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        services = {
            found.partition(":")[0].lower()
            for found in texts(list(statement.actions))
            if re.fullmatch(r"[\w-]+:\*+", found)
        }
        if services:
            yield f"allows every action of a whole service ({len(services)} of them)"

    return _each(props, find, "action")


def check_resource_wildcard(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if not _administrator(statement) and any(
            everything(resource, service) for service in _arn_services(statement) for resource in statement.resources
        ):
            yield "allows actions that take an ARN on every resource"

    return _each(props, find, "action", "resource")


def _arn_services(statement: Statement) -> Iterator[str]:
    """The services of which the statement allows an action that takes an ARN."""
    for found in texts(list(statement.actions)):
        named, _, name = found.lower().partition(":")
        pattern = glob(name)
        if any(pattern.fullmatch(action.lower()) for action in TAKE_ARN.get(named, ())):
            yield named


def check_secret_arn(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        for resource in texts(list(statement.resources)):
            _, found, name = tail(resource, "secretsmanager").partition("secret:")
            prefix = name.removesuffix("-??????")
            if found and prefix.endswith("*") and (not prefix.endswith("/*") or not prefix.strip("*/")):
                yield "names a secret with a trailing `*`, which matches every secret whose name begins alike"
                return

    return _each(props, find, "resource")


def check_inverted(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.not_resource:
            yield "allows everything but what it names (NotResource)"
        if statement.not_principal:
            yield "allows everyone but whom it names (NotPrincipal)"

    return _each(props, find, trust=True)


def check_for_all_values(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        for condition in statement.conditions:
            if condition.quantifier == "forallvalues" and condition.key not in MANY_VALUES:
                yield "uses ForAllValues on a key of one value, and so holds where the key is missing"
                return

    return _each(props, find, "condition", trust=True)


def check_decrypt_all(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if _administrator(statement) or not _every(statement, "kms", "key/"):
            return
        # Re-encrypting under a key of one's own is decryption by a detour; KMS.1 and KMS.2 look at both.
        for action in ("kms:Decrypt", "kms:ReEncryptFrom"):
            if statement.acts(action):
                yield f"allows {action} with every key"
                return

    return _each(props, find, "action", "resource")


def _every(statement: Statement, service: str, kind: str) -> bool:
    """Whether a resource is a wildcard over all of a kind ("key/"), if only those of one region or account."""
    tails = (tail(found, service) for found in texts(list(statement.resources)))
    # A name that nothing has, so that only a wildcard matches it.
    return any("*" in found and glob(found).fullmatch(f"{kind}\0") for found in tails)


def check_via_service(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if _administrator(statement) or not statement.acts("kms:Decrypt"):
            return
        keys = statement.not_resource or any(tail(found, "kms") for found in texts(list(statement.resources)))
        if keys and not any(found.key == "kms:viaservice" and found.narrows for found in statement.conditions):
            yield "allows kms:Decrypt outside of the service that encrypted: no condition on kms:ViaService"

    return _each(props, find, "action", "resource", "condition")


def check_pass_role(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if not _administrator(statement) and statement.acts("iam:PassRole") and _every(statement, "iam", "role/"):
            yield "allows iam:PassRole with every role"

    return _each(props, find, "action", "resource")


def _rule(
    number: int,
    name: str,
    title: str,
    severity: Severity,
    source: tuple[str, ...],
    remediation: str,
    link: str,
    check: Callable[[Props, Options], Iterable[str]],
    types: tuple[str, ...] = POLICIES,
) -> Rule:
    return Rule(
        number=number, name=name, title=title, severity=severity, source=source, tags=("iam",), types=types,
        remediation=remediation, link=link, check=check,
    )  # fmt: skip


RULES = (
    _rule(
        5, "iam-administrator", "No policy allows everything on everything", Severity.HIGH,
        ("Security Hub IAM.1", "CKV_AWS_62"),
        "Name the actions and the ARNs that the workload needs.", _BEST, check_administrator,
        (*POLICIES, *ATTACHMENTS),
    ),
    _rule(
        6, "iam-service-wildcard", "No policy allows a whole service", Severity.HIGH,
        ("Security Hub IAM.21", "AVD-AWS-0057"),
        "Name the actions, such as secretsmanager:GetSecretValue.", _BEST, check_service_wildcard,
    ),
    _rule(
        7, "iam-resource-wildcard", "Actions that take an ARN are granted on ARNs", Severity.HIGH,
        ("CKV_AWS_355", "parliament RESOURCE_STAR"),
        "Name the ARNs. Only actions without one (ListSecrets, GetRandomPassword) need `*`; grant those by themselves.",
        "https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html",
        check_resource_wildcard,
    ),
    _rule(
        8, "iam-secret-arn-suffix", "A secret's ARN ends in six unknown characters, not in any number", Severity.MEDIUM,
        ("NEW", "aws-cdk's Secret.fromSecretNameV2"),
        "End the ARN in `-??????`, or name the full ARN.",
        "https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html", check_secret_arn,
    ),
    _rule(
        9, "iam-inverted-grant", "What is allowed is named, not what is left out", Severity.MEDIUM, ("parliament",),
        "Name the resources (Resource) and the principals (Principal).", _GRAMMAR + "notresource.html", check_inverted,
    ),
    _rule(
        10, "iam-for-all-values", "ForAllValues is for keys of many values", Severity.MEDIUM, ("IAM Access Analyzer",),
        "Use the plain operator (StringEquals); it fails where the key is missing.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html",
        check_for_all_values,
    ),
    _rule(
        11, "iam-decrypt-all-keys", "Decryption is granted key by key", Severity.MEDIUM,
        ("Security Hub KMS.1", "Security Hub KMS.2"),
        "Name the key that encrypts the secret.",
        "https://docs.aws.amazon.com/kms/latest/developerguide/iam-policies-best-practices.html", check_decrypt_all,
    ),
    _rule(
        12, "iam-decrypt-via-service", "Decryption is granted through the service that encrypted", Severity.MEDIUM, ("NEW",),
        'Add StringEquals on "kms:ViaService" with "secretsmanager.REGION.amazonaws.com".',
        "https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service", check_via_service,
    ),
    _rule(
        13, "iam-pass-any-role", "A role that may be passed on is named", Severity.MEDIUM, ("AVD-AWS-0342",),
        "Name the roles, and the services with iam:PassedToService.",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html", check_pass_role,
    ),
)  # fmt: skip
