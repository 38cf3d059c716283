"""IAM documents as plain data: pure functions, so that what they say is known at preview and can be tested to the letter."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.aws.account import AwsAccountArgs, arn, checked, dns_suffix
from components.errors import ArgumentError, UnsafeError

STS_AUDIENCE = "sts.amazonaws.com"
# Secrets Manager appends a hyphen and six random characters to a secret's name to form its ARN; ``name-*`` would match
# longer names too: https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples.html
ARN_SUFFIX = "-??????"
READ_ACTIONS = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
WRITE_ACTIONS = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
READ_KEY_ACTIONS = ("kms:Decrypt",)
WRITE_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")

Statement = Mapping[str, Any]
_SECRET_NAME = re.compile(r"^[A-Za-z0-9/_+=.@-]{1,512}$")
_ARN_END = re.compile(r"-[A-Za-z0-9]{6}$")


def document(statements: Sequence[Statement]) -> str:
    """A policy document as JSON text."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def issuer_host(issuer: str) -> str:
    """An issuer as IAM writes it: without ``https://``. Raises ArgumentError."""
    if not issuer.startswith("https://") or len(issuer) <= len("https://"):
        raise ArgumentError(f"issuer: {issuer!r} is not an OIDC issuer; expected the cluster's https:// issuer URL")
    return issuer.removeprefix("https://").rstrip("/")


def oidc_provider_arn(account: AwsAccountArgs, issuer: str) -> str:
    """The ARN of the account's OIDC provider for an issuer."""
    return arn(account, "iam", f"oidc-provider/{issuer_host(issuer)}", regional=False)


def subject(namespace: str, service_account: str) -> str:
    """The ``sub`` of a service account's token."""
    return f"system:serviceaccount:{namespace}:{service_account}"


def trust_policy(
    account: AwsAccountArgs,
    *,
    issuer: str,
    namespace: str,
    service_account: str,
    audience: str = STS_AUDIENCE,
    allow_wildcard_subject: bool = False,
) -> str:
    """Who may assume an IRSA role: one service account, with a token made for STS.

    ``sub`` and ``aud`` are both pinned with StringEquals. A wildcard in either part of the subject is refused unless
    ``allow_wildcard_subject``, which then uses StringLike for it. Raises UnsafeError, ArgumentError.
    """
    if not namespace or not service_account:
        raise ArgumentError("namespace, service_account: both are needed to pin the token's subject")
    host = issuer_host(issuer)
    wildcard = any(character in namespace + service_account for character in "*?")
    if wildcard and not allow_wildcard_subject:
        raise UnsafeError(
            f"namespace, service_account: {namespace!r}, {service_account!r} hold a wildcard, so other workloads could assume "
            "the role; name one service account, or say allow_wildcard_subject=True"
        )
    pinned = {f"{host}:aud": audience}
    who = {f"{host}:sub": subject(namespace, service_account)}
    condition = {"StringEquals": pinned, "StringLike": who} if wildcard else {"StringEquals": {**pinned, **who}}
    return document(
        [
            {
                "Effect": "Allow",
                "Principal": {"Federated": oidc_provider_arn(account, issuer)},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": condition,
            }
        ]
    )


def secret_arn_pattern(account: AwsAccountArgs, name: str) -> str:
    """The ARN of the secret with exactly this name, its random end as ``-??????``. Raises UnsafeError, ArgumentError."""
    return arn(account, "secretsmanager", f"secret:{secret_name(name)}{ARN_SUFFIX}")


def secret_name(name: str) -> str:
    """The name, where it is one of a single secret. Raises UnsafeError, ArgumentError."""
    if any(character in name for character in "*?"):
        raise UnsafeError(
            f"name: {name!r} holds a wildcard; name each secret, or grant a path with allow_prefix=True and a prefix"
        )
    if not _SECRET_NAME.fullmatch(name):
        raise ArgumentError(f"name: {name!r} is not a name in Secrets Manager; expected letters, digits and /_+=.@-")
    return name


def secret_prefix_pattern(account: AwsAccountArgs, prefix: str, *, allow_prefix: bool = False) -> str:
    """Every secret below a path such as ``production/``, which must be asked for. Raises UnsafeError, ArgumentError."""
    if not allow_prefix:
        raise UnsafeError(
            f"prefix: {prefix!r} grants secrets that do not exist yet; name them, or say allow_prefix=True"
        )
    if not prefix.endswith("/") or not _SECRET_NAME.fullmatch(prefix):
        raise ArgumentError(f"prefix: {prefix!r} must be a path that ends with '/', such as 'production/'")
    return arn(account, "secretsmanager", f"secret:{prefix}*")


def secret_statement(
    resources: Sequence[str], *, actions: Sequence[str] = READ_ACTIONS, version_stages: Sequence[str] = ()
) -> Statement:
    """Use of exactly these secrets, ARNs or patterns of the functions above.

    ``version_stages``: only these staging labels may be asked for, and then each request must name one.
    """
    for resource in resources:
        if resource in ("*", "") or resource.endswith(":secret:*"):
            raise UnsafeError(f"secrets: {resource!r} grants every secret; name them")
    statement: dict[str, Any] = {"Effect": "Allow", "Action": sorted(actions), "Resource": sorted(resources)}
    if version_stages:
        statement["Condition"] = {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": sorted(version_stages)}}
    return statement


def key_statement(
    account: AwsAccountArgs, key_arn: str, secrets: Sequence[str], *, actions: Sequence[str] = READ_KEY_ACTIONS
) -> Statement:
    """Use of one key, through Secrets Manager only, and only for these secrets.

    Secrets Manager's encryption context is the secret's ARN:
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    if "*" in key_arn or "?" in key_arn:
        raise UnsafeError(f"kms_key_arn: {key_arn!r} holds a wildcard; name the key that encrypts the secret")
    patterns = [secret for secret in secrets if "?" in secret or "*" in secret]
    via = f"secretsmanager.{checked(account)['region']}.{dns_suffix(account)}"
    condition: dict[str, Any] = {"StringEquals": {"kms:ViaService": via}}
    context = {"kms:EncryptionContext:SecretARN": sorted(secrets)}
    if patterns:
        condition["StringLike"] = context
    else:
        condition["StringEquals"].update(context)
    return {"Effect": "Allow", "Action": sorted(actions), "Resource": key_arn, "Condition": condition}


def exact_secret_arn(value: str) -> str:
    """A whole secret ARN, with its six random characters. Raises ArgumentError."""
    if not value.startswith("arn:") or ":secretsmanager:" not in value or not _ARN_END.search(value):
        raise ArgumentError(
            f"arn: {value!r} is not a whole secret ARN, which ends in a hyphen and six characters; give the name instead"
        )
    return value
