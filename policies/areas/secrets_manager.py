"""Secrets of AWS Secrets Manager: encryption, rotation, who reads them, how they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from policies.data import Undecided, dig, flag, mapping, number, opaque, text, violations
from policies.iam_documents import Statement, judge
from policies.rule import Options, Props, Resource, Rule, Severity, amount, names
from policies.schedule import longest_gap

SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
RECOVERY_DAYS = 30  # the service's own default
_GUIDE = "https://docs.aws.amazon.com/secretsmanager/latest/userguide/"


_TAGS = ("tagsAll", "tags")  # the provider puts its defaultTags into the first


def _tags(props: Props) -> dict[str, Any]:
    return {**mapping(props.get("tagsAll")), **mapping(props.get("tags"))}


def check_customer_key(props: Props, options: Options) -> Iterable[str]:
    del options
    key = props.get("kmsKeyId")
    if not opaque(key) and (not text(key) or text(key).rpartition(":")[2].startswith("alias/aws/")):
        yield "kmsKeyId: the secret is encrypted with the account's own key, which every identity of the account may use"


def check_rotation(resources: Sequence[Resource], options: Options) -> Iterable[tuple[str, str]]:
    tags = options.names("exemptTags")
    rotated: set[Any] = set()  # URNs, ARNs and names of what the stack's rotations are about
    unread = False
    for rotation in (found for found in resources if found.type == ROTATION):
        made_of, given = rotation.depends.get("secretId", ()), rotation.asked.get("secretId")
        rotated.update(made_of, *([text(props.get("secretId"))] for props in (rotation.props, rotation.inputs)))
        unread = unread or (opaque(given) and not made_of)
    for secret in resources:
        given = secret.asked.get("tags")
        every = _tags(secret.asked)
        if secret.type != SECRET or any(tag in every for tag in tags):
            continue
        own = {text(props.get(key)) for props in (secret.props, secret.inputs) for key in ("arn", "id", "name")}
        if ({secret.urn, *own} - {""}) & rotated:
            continue
        if opaque(given) or unread:
            yield secret.urn, Undecided("tags" if opaque(given) else "secretId")
        else:
            yield secret.urn, "no SecretRotation belongs to this secret: its value stays the same for good"


def check_rotation_period(props: Props, options: Options) -> Iterable[str]:
    rules = props.get("rotationRules")
    if opaque(rules):
        yield Undecided("rotationRules")
        return
    limit = options.number("maxDays")
    if isinstance(rules, list) and len(rules) == 1:  # as Terraform has a block
        rules = rules[0]
    days, schedule = dig(rules, "automaticallyAfterDays"), dig(rules, "scheduleExpression")
    if opaque(days) or opaque(schedule):
        yield Undecided("rotationRules")
        return
    found = longest_gap(text(schedule)) if text(schedule) else number(days)
    if found is None and not text(schedule):
        yield "rotationRules: neither automaticallyAfterDays nor scheduleExpression says when"
    elif found is not None and found > limit:
        yield f"rotationRules: more than {limit:g} days pass between rotations"


def check_policy_principal(props: Props, options: Options) -> Iterable[str]:
    del options

    def find(statement: Statement) -> Iterator[str]:
        if statement.anyone and not statement.pins_caller:
            yield "gives the secret to everyone: its principal is a wildcard"

    return judge(props.get("policy"), "policy", find, "principal", "condition")


def check_block_public(props: Props, options: Options) -> Iterable[str]:
    del options
    value = props.get("blockPublicPolicy")
    if opaque(value):
        yield Undecided("blockPublicPolicy")
    elif flag(value) is not True:
        yield "blockPublicPolicy: a policy that opens the secret to the public would be accepted"


def remedy_block_public(props: Props, options: Options) -> Mapping[str, Any]:
    return {"blockPublicPolicy": True} if any(violations(check_block_public(props, options))) else {}


def check_recovery(props: Props, options: Options) -> Iterable[str]:
    value = props.get("recoveryWindowInDays")
    days = number(value)
    if opaque(value):
        yield Undecided("recoveryWindowInDays")
    elif days is not None and days < options.number("minDays"):
        yield "recoveryWindowInDays: a deleted secret is gone before anybody may miss it"


def remedy_recovery(props: Props, options: Options) -> Mapping[str, Any]:
    return {"recoveryWindowInDays": RECOVERY_DAYS} if any(violations(check_recovery(props, options))) else {}


def check_tags(props: Props, options: Options) -> Iterable[str]:
    own = {name for name, value in _tags(props).items() if value is not None and not name.startswith("aws:")}
    missing = [name for name in options.names("required") if name not in own]
    if own and not missing:
        return
    if unread := [name for name in _TAGS if opaque(props.get(name))]:
        yield Undecided(unread[0])
    elif not own:
        yield "tags: none; nobody can tell whose secret this is"
    else:
        yield f"tags: {len(missing)} of the required ones are missing: {', '.join(sorted(missing))}"


def check_write_only(props: Props, options: Options) -> Iterable[str]:
    del options
    for name in ("secretString", "secretBinary"):
        value = props.get(name)
        if opaque(value) or value not in (None, ""):
            yield f"{name}: the value is kept in the stack's state"


RULES = (
    Rule(
        number=15,
        name="secret-customer-key",
        title="A secret is encrypted with a key of its owner's",
        severity=Severity.MEDIUM,
        source=("CKV_AWS_149", "AVD-AWS-0098"),
        tags=("secrets-manager", "kms"),
        types=(SECRET,),
        remediation="Set kmsKeyId to a customer managed key (ManagedSecret makes one).",
        link=_GUIDE + "security-encryption.html",
        check=check_customer_key,
    ),
    Rule(
        number=16,
        name="secret-rotation",
        title="A secret is rotated",
        severity=Severity.MEDIUM,
        source=("CKV2_AWS_57", "Security Hub SecretsManager.1"),
        tags=("secrets-manager", "rotation"),
        types=(SECRET, ROTATION),
        remediation="Add a SecretRotation, or tag the secret as one that is rotated elsewhere.",
        link=_GUIDE + "rotating-secrets.html",
        check_stack=check_rotation,
        options={
            "exemptTags": names(("strongroom:rotated-by",), "a secret with one of these tags is rotated elsewhere")
        },
    ),
    Rule(
        number=17,
        name="secret-rotation-period",
        title="A secret is rotated often enough",
        severity=Severity.MEDIUM,
        source=("CKV_AWS_304", "Security Hub SecretsManager.4"),
        tags=("secrets-manager", "rotation"),
        types=(ROTATION,),
        remediation="Set rotationRules.automaticallyAfterDays to 90 or less.",
        link=_GUIDE + "rotate-secrets_schedule.html",
        check=check_rotation_period,
        options={"maxDays": amount(90, "days between rotations at most")},
    ),
    Rule(
        number=18,
        name="secret-policy-anyone",
        title="A secret's own policy names its readers",
        severity=Severity.HIGH,
        source=("KICS fa00ce45",),
        tags=("secrets-manager",),
        types=(POLICY, SECRET),
        remediation="Name the principals, or pin aws:PrincipalAccount or aws:PrincipalOrgID.",
        link=_GUIDE + "auth-and-access_resource-policies.html",
        check=check_policy_principal,
    ),
    Rule(
        number=19,
        name="secret-policy-block-public",
        title="A public secret policy is refused by the service",
        severity=Severity.MEDIUM,
        source=("NEW",),
        tags=("secrets-manager",),
        types=(POLICY,),
        remediation="Set blockPublicPolicy to true.",
        link="https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html",
        check=check_block_public,
        remedy=remedy_block_public,
    ),
    Rule(
        number=20,
        name="secret-recovery-window",
        title="A deleted secret can be brought back",
        severity=Severity.MEDIUM,
        source=("NEW",),
        tags=("secrets-manager",),
        types=(SECRET,),
        remediation="Leave recoveryWindowInDays out (30 days), or set it to 7 or more.",
        link=_GUIDE + "manage_delete-secret.html",
        check=check_recovery,
        remedy=remedy_recovery,
        options={"minDays": amount(7, "the shortest window; 0 for a throwaway stack")},
    ),
    Rule(
        number=21,
        name="secret-tags",
        title="A secret is tagged",
        severity=Severity.LOW,
        source=("Security Hub SecretsManager.5",),
        tags=("secrets-manager",),
        types=(SECRET,),
        remediation="Tag the secret with its owner.",
        link=_GUIDE + "managing-secrets_tagging.html",
        check=check_tags,
        options={"required": names((), "tags that each secret must have")},
    ),
    Rule(
        number=22,
        name="secret-value-in-state",
        title="A secret's value is not kept in the state",
        severity=Severity.HIGH,
        source=("NEW",),
        tags=("secrets-manager", "state"),
        types=(VERSION,),
        remediation="Use secretStringWo with secretStringWoVersion, or an external writer.",
        link="https://www.pulumi.com/registry/packages/aws/api-docs/secretsmanager/secretversion/",
        check=check_write_only,
    ),
)
