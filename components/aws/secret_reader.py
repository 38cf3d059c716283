"""Grants on secrets: Secrets Manager's actions and the key's in one word, as a role's inline policies."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.account import AwsAccountArgs
from components.aws.documents import (
    READ_ACTIONS,
    READ_KEY_ACTIONS,
    WRITE_ACTIONS,
    WRITE_KEY_ACTIONS,
    document,
    exact_secret_arn,
    key_statement,
    secret_arn_pattern,
    secret_prefix_pattern,
    secret_statement,
)
from components.errors import ArgumentError


class GrantedSecretArgs(TypedDict):
    """One secret: by `name`, by `arn`, or, where that is asked for, every one below a `prefix`."""

    name: NotRequired[str]
    """The secret's name; grants the ARN with its random end as `-??????`, so it is known at preview."""
    arn: NotRequired[str]
    """The secret's whole ARN."""
    prefix: NotRequired[str]
    """A path such as `production/`; needs `allow_prefix`."""
    allow_prefix: NotRequired[bool]
    """Accept `prefix`, which grants secrets that do not exist yet; default false."""
    kms_key_arn: NotRequired[pulumi.Input[str]]
    """The customer managed key that encrypts it; leave out for the account's own `aws/secretsmanager` key."""


class SecretReaderArgs(TypedDict):
    """Arguments of SecretReader."""

    account: AwsAccountArgs
    """The account that the secrets are in."""
    role_name: pulumi.Input[str]
    """The role that is granted."""
    secrets: Sequence[GrantedSecretArgs]
    """What it may read, at least one."""
    write: NotRequired[bool]
    """Grant writing of new versions instead of reading; default false."""
    version_stages: NotRequired[Sequence[str]]
    """Only these staging labels may be asked for, such as `AWSCURRENT`, and each request must name one; default any."""


class SecretReader(pulumi.ComponentResource):
    """Exactly the named secrets: no List, no Batch, no wildcard that was not asked for.

    The key may be used through Secrets Manager only, and only with the secrets' own encryption context. It has a policy of
    its own, because a new key's ARN is unknown until it exists, and the rest should be readable at preview.
    Raises UnsafeError, ArgumentError.
    """

    def __init__(self, name: str, args: SecretReaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:aws:SecretReader", name, {}, opts)
        if not args["secrets"]:
            raise ArgumentError("secrets: nothing to grant; name at least one secret")
        write = args.get("write", False)
        account = args["account"]
        patterns = [_pattern(account, secret) for secret in args["secrets"]]
        child = pulumi.ResourceOptions(parent=self)
        statement = secret_statement(
            patterns,
            actions=WRITE_ACTIONS if write else READ_ACTIONS,
            version_stages=args.get("version_stages", ()),
        )
        aws.iam.RolePolicy(
            f"{name}-secrets",
            name="write-secrets" if write else "read-secrets",
            role=args["role_name"],
            policy=document([statement]),
            opts=child,
        )
        keyed = [
            (pulumi.Output.from_input(secret["kms_key_arn"]), pattern)
            for secret, pattern in zip(args["secrets"], patterns, strict=True)
            if "kms_key_arn" in secret
        ]
        if keyed:
            keys = pulumi.Output.all(*(key for key, _ in keyed))
            actions = WRITE_KEY_ACTIONS if write else READ_KEY_ACTIONS
            aws.iam.RolePolicy(
                f"{name}-keys",
                name="write-secrets-keys" if write else "read-secrets-keys",
                role=args["role_name"],
                policy=keys.apply(
                    lambda found: _key_document(account, found, [pattern for _, pattern in keyed], actions)
                ),
                opts=child,
            )
        self.register_outputs({"secrets": patterns})


def _pattern(account: AwsAccountArgs, secret: GrantedSecretArgs) -> str:
    given = [key for key in ("name", "arn", "prefix") if key in secret]
    if len(given) != 1:
        raise ArgumentError(f"secrets: expected one of name, arn and prefix for each, got {', '.join(given) or 'none'}")
    if "name" in secret:
        return secret_arn_pattern(account, secret["name"])
    if "arn" in secret:
        return exact_secret_arn(secret["arn"])
    return secret_prefix_pattern(account, secret["prefix"], allow_prefix=secret.get("allow_prefix", False))


def _key_document(account: AwsAccountArgs, keys: Sequence[str], patterns: Sequence[str], actions: Sequence[str]) -> str:
    by_key: Mapping[str, list[str]] = {key: [] for key in keys}
    for key, pattern in zip(keys, patterns, strict=True):
        by_key[key].append(pattern)
    return document([key_statement(account, key, found, actions=actions) for key, found in sorted(by_key.items())])


def grant_read(
    name: str,
    *,
    account: AwsAccountArgs,
    role_name: pulumi.Input[str],
    secrets: Sequence[GrantedSecretArgs],
    opts: pulumi.ResourceOptions | None = None,
) -> SecretReader:
    """Let a role read exactly these secrets. Raises UnsafeError, ArgumentError."""
    return SecretReader(name, {"account": account, "role_name": role_name, "secrets": secrets}, opts)


def grant_write(
    name: str,
    *,
    account: AwsAccountArgs,
    role_name: pulumi.Input[str],
    secrets: Sequence[GrantedSecretArgs],
    opts: pulumi.ResourceOptions | None = None,
) -> SecretReader:
    """Let a role write new versions of exactly these secrets; it cannot read them. Raises UnsafeError, ArgumentError."""
    return SecretReader(name, {"account": account, "role_name": role_name, "secrets": secrets, "write": True}, opts)
