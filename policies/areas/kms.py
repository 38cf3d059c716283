"""Keys of AWS KMS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from policies.data import Undecided, flag, number, opaque, text, violations
from policies.iam_documents import Statement, judge
from policies.rule import Options, Props, Rule, Severity, amount

LONGEST_WINDOW = 30  # days, KMS's own default
KEY = "aws:kms/key:Key"
KEYS = (
    KEY,
    "aws:kms/externalKey:ExternalKey",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:kms/replicaExternalKey:ReplicaExternalKey",
)
KEY_POLICY = "aws:kms/keyPolicy:KeyPolicy"
_GUIDE = "https://docs.aws.amazon.com/kms/latest/developerguide/"

_KIND = ("customerMasterKeySpec", "keyUsage", "customKeyStoreId")  # what tells whether KMS can rotate a key


def _rotates(props: Props) -> bool:
    """Whether KMS can rotate such a key by itself: symmetric, for encryption, with KMS's own material."""
    spec = text(props.get("customerMasterKeySpec")) or "SYMMETRIC_DEFAULT"
    usage = text(props.get("keyUsage")) or "ENCRYPT_DECRYPT"
    return spec == "SYMMETRIC_DEFAULT" and usage == "ENCRYPT_DECRYPT" and not props.get("customKeyStoreId")


def check_rotation(props: Props, options: Options) -> Iterable[str]:
    del options
    if flag(props.get("enableKeyRotation")) is True:
        return
    unread = [name for name in ("enableKeyRotation", *_KIND) if opaque(props.get(name))]
    if unread:
        yield Undecided(unread[0])
    elif _rotates(props):
        yield "enableKeyRotation: the key's material stays the same for good"


def remedy_rotation(props: Props, options: Options) -> Mapping[str, Any]:
    return {"enableKeyRotation": True} if any(violations(check_rotation(props, options))) else {}


def check_public(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.anyone and not statement.pins_caller:
            yield "gives the key to everyone: its principal is a wildcard"

    return judge(props.get("policy"), "policy", find, "principal", "condition")


def check_deletion_window(props: Props, options: Options) -> Iterable[str]:
    value = props.get("deletionWindowInDays")
    if opaque(value):
        yield Undecided("deletionWindowInDays")
        return
    days, least = number(value), options.number("minDays")
    if days is not None and days < least:
        yield f"deletionWindowInDays: fewer than {least:g} days to notice that a key in use is being deleted"


def remedy_deletion_window(props: Props, options: Options) -> Mapping[str, Any]:
    days = number(props.get("deletionWindowInDays"))
    return {"deletionWindowInDays": LONGEST_WINDOW} if days is not None and days < options.number("minDays") else {}


def check_lockout(props: Props, options: Options) -> Iterable[str]:
    del options
    value = props.get("bypassPolicyLockoutSafetyCheck")
    if opaque(value):
        yield Undecided("bypassPolicyLockoutSafetyCheck")
    elif flag(value) is True:
        yield "bypassPolicyLockoutSafetyCheck: a policy that nobody could change again would be accepted"


def remedy_lockout(props: Props, options: Options) -> Mapping[str, Any]:
    del options
    return (
        {"bypassPolicyLockoutSafetyCheck": False} if flag(props.get("bypassPolicyLockoutSafetyCheck")) is True else {}
    )


RULES = (
    Rule(
        number=23,
        name="kms-key-rotation",
        title="A key is rotated every year",
        severity=Severity.MEDIUM,
        source=("CKV_AWS_7", "Security Hub KMS.4"),
        tags=("kms",),
        types=(KEY,),
        remediation="Set enableKeyRotation to true.",
        link=_GUIDE + "rotate-keys.html",
        check=check_rotation,
        remedy=remedy_rotation,
    ),
    Rule(
        number=24,
        name="kms-public-key-policy",
        title="A key's policy names who may use it",
        severity=Severity.CRITICAL,
        source=("CKV_AWS_33", "Security Hub KMS.5"),
        tags=("kms",),
        types=(*KEYS, KEY_POLICY),
        remediation="Name the principals, or pin kms:CallerAccount.",
        link=_GUIDE + "key-policies.html",
        check=check_public,
    ),
    Rule(
        number=25,
        name="kms-deletion-window",
        title="A key's deletion leaves time to notice",
        severity=Severity.MEDIUM,
        source=("compliance-policies",),
        tags=("kms",),
        types=KEYS,
        remediation="Leave deletionWindowInDays out (30 days), or set at least the limit.",
        link=_GUIDE + "deleting-keys.html",
        check=check_deletion_window,
        remedy=remedy_deletion_window,
        options={"minDays": amount(14, "days between the request and the deletion at least; KMS takes 7 to 30")},
    ),
    Rule(
        number=26,
        name="kms-lockout-check",
        title="A key policy cannot lock its owner out",
        severity=Severity.HIGH,
        source=("compliance-policies",),
        tags=("kms",),
        types=(*KEYS, KEY_POLICY),
        remediation="Leave bypassPolicyLockoutSafetyCheck out.",
        link=_GUIDE + "key-policy-overview.html",
        check=check_lockout,
        remedy=remedy_lockout,
    ),
)
