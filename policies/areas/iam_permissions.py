"""What an identity may do: policies, attached and inline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from policies.data import texts
from policies.iam_documents import Statement, allowing, documents, glob, undecided
from policies.rule import Options, Props, Rule, Severity

ROLE = "aws:iam/role:Role"
POLICIES = (
    "aws:iam/policy:Policy",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/userPolicy:UserPolicy",
    "aws:iam/groupPolicy:GroupPolicy",
    ROLE,
)
_GRAMMAR = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_"
_BEST = "https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege"

# Actions that take an ARN, of the services that hold or lead to secrets: the Service Authorization Reference
# (https://docs.aws.amazon.com/service-authorization/latest/reference/). kms:Decrypt and iam:PassRole have rules of their own.
_TAKES_ARN: Mapping[str, tuple[str, ...]] = {
    "secretsmanager": (
        "GetSecretValue", "DescribeSecret", "PutSecretValue", "CreateSecret", "UpdateSecret", "DeleteSecret", "RestoreSecret",
        "RotateSecret", "UpdateSecretVersionStage", "ListSecretVersionIds", "GetResourcePolicy", "PutResourcePolicy",
        "DeleteResourcePolicy", "TagResource", "UntagResource", "ReplicateSecretToRegions",
    ),
    "kms": (
        "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "Sign", "Verify",
        "DescribeKey", "CreateGrant", "RevokeGrant", "PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey", "EnableKey",
    ),
    "iam": (
        "CreateRole", "DeleteRole", "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy",
        "UpdateAssumeRolePolicy", "CreatePolicyVersion", "CreateAccessKey", "PutUserPolicy", "AttachUserPolicy",
    ),
    "sts": ("AssumeRole", "AssumeRoleWithWebIdentity", "TagSession"),
    "ssm": ("GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory", "PutParameter", "DeleteParameter"),
    "s3": ("GetObject", "PutObject", "DeleteObject", "ListBucket", "PutBucketPolicy", "DeleteBucket"),
    "dynamodb": ("GetItem", "PutItem", "Query", "Scan", "UpdateItem", "DeleteItem", "BatchGetItem", "BatchWriteItem"),
    "sqs": ("SendMessage", "ReceiveMessage", "DeleteMessage"),
    "sns": ("Publish", "Subscribe"),
    "lambda": ("InvokeFunction", "UpdateFunctionCode", "AddPermission"),
    "rds-db": ("connect",),
}  # fmt: skip
# Keys of many values, on which ForAllValues is meant:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
_MULTIVALUED = frozenset(
    {
        "aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:resourceorgpaths", "aws:principalservicenameslist",
        "aws:sourceorgpaths", "aws:vpceorgpaths", "kms:encryptioncontextkeys", "kms:grantoperations", "kms:resourcealiases",
        "sts:transitivetagkeys", "dynamodb:attributes", "dynamodb:leadingkeys", "s3:requestobjecttagkeys", "ses:recipients",
        "iam:resourcetag", "secretsmanager:addreplicaregions", "sns:protocol", "elasticloadbalancing:subnet",
    }
)  # fmt: skip


Finder = Callable[[Statement], Iterator[str]]


def _each(props: Props, finder: Finder, *, documents_of: tuple[str, ...] = ("policy",)) -> Iterator[str]:
    for path, document in documents(props, *documents_of):
        yield from undecided(document, path)
        for statement in allowing(document):
            if not statement.opaque:
                for message in finder(statement):
                    yield f"{path}.{statement.place} {message}"


def check_administrator(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.every_action and statement.every_resource:
            yield "allows every action on every resource"
        elif statement.not_action and statement.every_resource:
            yield "allows all but some actions on every resource (NotAction), also those that AWS has yet to add"

    return _each(props, find)


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

    return _each(props, find)


def check_resource_wildcard(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.every_resource and not statement.every_action and any(_arn_actions(statement)):
            yield "allows actions that take an ARN on every resource"

    return _each(props, find)


def _arn_actions(statement: Statement) -> Iterator[str]:
    for found in texts(list(statement.actions)):
        service, _, name = found.lower().partition(":")
        pattern = glob(name)
        for action in _TAKES_ARN.get(service, ()):
            if pattern.fullmatch(action.lower()):
                yield action


def check_secret_arn(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        for resource in texts(list(statement.resources)):
            _, found, name = resource.partition(":secret:")
            if found and ":secretsmanager:" in resource and name.endswith("*") and not name.endswith("/*"):
                yield "names a secret with a trailing `*`, which matches every secret whose name begins alike"
                return

    return _each(props, find)


def check_inverted(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.not_resource:
            yield "allows everything but what it names (NotResource)"
        if statement.not_principal:
            yield "allows everyone but whom it names (NotPrincipal)"

    return _each(props, find, documents_of=("policy", "assumeRolePolicy"))


def check_for_all_values(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        for condition in statement.conditions:
            if condition.quantifier == "forallvalues" and condition.key not in _MULTIVALUED:
                yield "uses ForAllValues on a key of one value, and so holds where the key is missing"
                return

    return _each(props, find, documents_of=("policy", "assumeRolePolicy"))


def check_decrypt_all(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if not statement.every_action and statement.acts("kms:Decrypt") and any(map(_every_key, statement.resources)):
            yield "allows kms:Decrypt with every key"

    return _each(props, find)


def _every_key(resource: object) -> bool:
    return isinstance(resource, str) and (
        resource == "*" or bool(re.fullmatch(r"arn:[^:]*:kms:.*:(key|alias)/\*+|arn:[^:]*:kms:.*:\*+", resource))
    )


def check_via_service(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.every_action or not statement.acts("kms:Decrypt"):
            return
        if not any(found.key == "kms:viaservice" and found.demands for found in statement.conditions):
            yield "allows kms:Decrypt outside of the service that encrypted: no condition on kms:ViaService"

    return _each(props, find)


def check_pass_role(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.every_action or not statement.acts("iam:PassRole"):
            return
        if any(
            isinstance(found, str) and (found == "*" or re.fullmatch(r"arn:[^:]*:iam::[^:]*:(role/)?\*+", found))
            for found in statement.resources
        ):
            yield "allows iam:PassRole with every role"

    return _each(props, find)


def _rule(
    number: int,
    name: str,
    title: str,
    severity: Severity,
    source: tuple[str, ...],
    remediation: str,
    link: str,
    check: Callable[[Props, Options], Iterable[str]],
) -> Rule:
    return Rule(
        number=number, name=name, title=title, severity=severity, source=source, tags=("iam",), types=POLICIES,
        remediation=remediation, link=link, check=check,
    )  # fmt: skip


RULES = (
    _rule(
        5, "iam-administrator", "No policy allows everything on everything", Severity.HIGH,
        ("Security Hub IAM.1", "CKV_AWS_62"),
        "Name the actions and the ARNs that the workload needs.", _BEST, check_administrator,
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
