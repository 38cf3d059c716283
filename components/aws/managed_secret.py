"""A secret in Secrets Manager with a key of its own and the protections that are easily forgotten."""

import re
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.account import AwsAccountArgs
from components.aws.documents import document, secret_arn_pattern
from components.errors import ArgumentError, UnsafeError

_NOT_IN_AN_ALIAS = re.compile(r"[^A-Za-z0-9/_-]")  # a secret's name may hold more: +=.@
RECOVERY_DAYS = (7, 30)
KEY_DELETION_DAYS = 30


class ManagedSecretArgs(TypedDict):
    """Arguments of ManagedSecret."""

    account: AwsAccountArgs
    """The account that the secret is in."""
    secret_name: str
    """The secret's name, such as `production/payment-api`."""
    value: NotRequired[Mapping[str, pulumi.Input[str]]]
    """Keys and values, stored as one JSON object by write-only input. Leave out where something else writes the value."""
    value_version: NotRequired[int]
    """Raise it to write a changed `value`, which a write-only input cannot notice by itself; default 1."""
    description: NotRequired[str]
    """What it is for; default names the stack."""
    recovery_window_days: NotRequired[int]
    """7 to 30 (default): how long a deleted secret can be restored."""
    allow_immediate_deletion: NotRequired[bool]
    """Delete without a recovery window; for throwaway environments only; default false."""
    replica_regions: NotRequired[Sequence[str]]
    """Further regions that hold a replica, encrypted with their own default key; default none."""
    tags: NotRequired[dict[str, str]]
    """Tags of the secret and its key."""


class ManagedSecret(pulumi.ComponentResource):
    """A secret under a customer managed key that rotates yearly, closed to the public and to other accounts.

    Raises ArgumentError, UnsafeError. Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/best-practices.html
    """

    arn_pattern: str
    """The ARN with its random end as `-??????`, known at preview: what a grant needs."""
    arn: pulumi.Output[str]
    """The whole ARN, once it exists."""
    secret_name: str
    """The secret's name."""
    kms_key_arn: pulumi.Output[str]
    """The key that encrypts it."""

    def __init__(self, name: str, args: ManagedSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:aws:ManagedSecret", name, {}, opts)
        account = args["account"]
        self.secret_name = args["secret_name"]
        self.arn_pattern = secret_arn_pattern(account, self.secret_name)
        tags = {"strongroom:stack": pulumi.get_stack(), **args.get("tags", {})}
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Encrypts the secret {self.secret_name}",
            enable_key_rotation=True,
            deletion_window_in_days=KEY_DELETION_DAYS,
            tags=tags,
            opts=child,
        )
        alias = f"alias/{_NOT_IN_AN_ALIAS.sub('-', self.secret_name)}"
        aws.kms.Alias(f"{name}-alias", name=alias, target_key_id=key.key_id, opts=child)
        secret = aws.secretsmanager.Secret(
            f"{name}-secret",
            name=self.secret_name,
            description=args.get("description", f"Managed by {pulumi.get_project()}/{pulumi.get_stack()}"),
            kms_key_id=key.arn,
            recovery_window_in_days=_recovery_days(args),
            replicas=[{"region": region} for region in args.get("replica_regions", ())] or None,
            tags=tags,
            opts=child,
        )
        self.arn, self.kms_key_arn = secret.arn, key.arn
        aws.secretsmanager.SecretPolicy(
            f"{name}-policy",
            secret_arn=secret.arn,
            policy=resource_policy(account),
            block_public_policy=True,
            opts=child,
        )
        if "value" in args:
            if not args["value"]:
                raise ArgumentError("value: it is empty; give keys and values, or leave it out for an external writer")
            aws.secretsmanager.SecretVersion(
                f"{name}-version",
                secret_id=secret.arn,
                secret_string_wo=pulumi.Output.json_dumps(pulumi.Output.secret(dict(args["value"])), sort_keys=True),
                secret_string_wo_version=args.get("value_version", 1),
                opts=child,
            )
        self.register_outputs({"arn": self.arn, "secretName": self.secret_name, "kmsKeyArn": self.kms_key_arn})


def resource_policy(account: AwsAccountArgs) -> str:
    """Nobody outside the account, whatever another policy says."""
    return document(
        [
            {
                "Sid": "DenyOtherAccounts",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "secretsmanager:*",
                "Resource": "*",
                "Condition": {
                    "StringNotEquals": {"aws:PrincipalAccount": account["account_id"]},
                    "Bool": {"aws:PrincipalIsAWSService": "false"},
                },
            }
        ]
    )


def _recovery_days(args: ManagedSecretArgs) -> int:
    if args.get("allow_immediate_deletion", False):
        if "recovery_window_days" in args:
            raise ArgumentError("recovery_window_days, allow_immediate_deletion: give one, they contradict each other")
        return 0
    days = args.get("recovery_window_days", RECOVERY_DAYS[1])
    if days == 0:
        raise UnsafeError(
            "recovery_window_days: 0 deletes at once; if that is meant, say allow_immediate_deletion=True"
        )
    if not RECOVERY_DAYS[0] <= days <= RECOVERY_DAYS[1]:
        raise ArgumentError(f"recovery_window_days: {days} is not between {RECOVERY_DAYS[0]} and {RECOVERY_DAYS[1]}")
    return days
