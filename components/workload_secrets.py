"""A workload's secrets as it declares them, and what contradicts itself in that."""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

from components.durations import format_duration, parse_duration
from components.errors import ArgumentError
from components.lifetimes import check_rotation, check_token
from components.names import dns_name
from components.vault.database_engine import PostgresRoleArgs
from components.vault.policies import kv_data_path

DEFAULT_ROLLOUT = "10m"
SOURCES = ("database_role", "kv_path", "aws_secret")


class Delivery(StrEnum):
    """How a secret reaches the workload."""

    EXTERNAL_SECRET = "external-secret"  # noqa: S105
    """External Secrets Operator makes a Kubernetes Secret of it."""


class WorkloadSecretArgs(TypedDict):
    """One secret of a workload: where it comes from (exactly one source) and how it is delivered."""

    name: str
    """What the workload knows it by: the Kubernetes Secret's name."""
    delivery: NotRequired[Delivery]
    """Default `external-secret`."""
    database_role: NotRequired[str]
    """Source: a dynamic role of the platform's database engine."""
    kv_path: NotRequired[str]
    """Source: a secret of the platform's KV engine."""
    aws_secret: NotRequired[str]
    """Source: a secret in Secrets Manager, by name. It is made with a key of its own, unless `existing`."""
    existing: NotRequired[bool]
    """The secret in Secrets Manager exists and is not this stack's; default false."""
    kms_key_arn: NotRequired[str]
    """The key of an existing secret; leave out for the account's own `aws/secretsmanager` key."""
    generate: NotRequired[Sequence[str]]
    """Keys that get random values at the first `up`; without it the value is written by something else."""
    refresh_interval: NotRequired[str]
    """How often it is read again; default half of the lease for a database role, `15m` for the rest."""
    rollout_time: NotRequired[str]
    """How long pods may take to use a new database credential; default `10m`."""


def source_of(secret: WorkloadSecretArgs) -> str:
    """Which of ``SOURCES`` it comes from. Raises ArgumentError for none or several."""
    given = [source for source in SOURCES if source in secret]
    if len(given) != 1:
        raise ArgumentError(
            f"secrets: {secret['name']!r} has {', '.join(given) or 'no source'}; expected exactly one of {', '.join(SOURCES)}"
        )
    return given[0]


def refresh_interval(secret: WorkloadSecretArgs, lease_ttl: str) -> str:
    """How often a dynamic credential is replaced; half of its lease by default."""
    return secret.get("refresh_interval") or format_duration(max(parse_duration(lease_ttl, "default_ttl") // 2, 1))


def check_secrets(
    workload: str,
    namespace: str,
    secrets: Sequence[WorkloadSecretArgs],
    *,
    namespaces: Collection[str],
    roles: Mapping[str, PostgresRoleArgs],
    token_ttl: str,
) -> None:
    """Everything that contradicts itself, before the first resource.

    ``namespaces`` and ``roles``: what the platform has. Raises ComponentError.
    """
    if namespace not in namespaces:
        known = ", ".join(sorted(namespaces))
        raise ArgumentError(
            f"namespace: {namespace!r} of {workload!r} is not one of the platform's: {known}; add it there"
        )
    if not secrets:
        raise ArgumentError(f"secrets: {workload!r} has none; declare what it may read")
    seen: set[str] = set()
    for secret in secrets:
        if dns_name(secret["name"], f"{workload}: secrets: name") in seen:
            raise ArgumentError(
                f"{workload}: secrets: {secret['name']!r} is given twice; each Secret needs a name of its own"
            )
        seen.add(secret["name"])
        _check_secret(f"{workload}: {secret['name']}", secret, roles, token_ttl)


def _check_secret(
    label: str, secret: WorkloadSecretArgs, roles: Mapping[str, PostgresRoleArgs], token_ttl: str
) -> None:
    source = source_of(secret)
    try:
        Delivery(secret.get("delivery", Delivery.EXTERNAL_SECRET))
    except ValueError:
        expected = ", ".join(Delivery)
        raise ArgumentError(
            f"{label}: delivery: {secret['delivery']!r} is unknown; expected one of {expected}"
        ) from None
    if "refresh_interval" in secret:
        parse_duration(secret["refresh_interval"], f"{label}: refresh_interval")
    if source == "database_role":
        role = role_of(roles, secret["database_role"])
        if secret.get("generate"):
            raise ArgumentError(f"{label}: generate: Vault makes the values of a database role; leave it out")
        check_rotation(
            refresh_interval=refresh_interval(secret, role["default_ttl"]),
            rollout_time=secret.get("rollout_time", DEFAULT_ROLLOUT),
            lease_ttl=role["default_ttl"],
            of=label,
        )
        check_token(token_ttl=token_ttl, lease_ttl=role["default_ttl"], of=label)
    elif source == "kv_path":
        kv_data_path("mount", secret["kv_path"])
    if secret.get("existing", False) and (source != "aws_secret" or secret.get("generate")):
        raise ArgumentError(
            f"{label}: existing: says that a secret in Secrets Manager has its value already; leave out existing or generate"
        )


def role_of(roles: Mapping[str, PostgresRoleArgs], role: str) -> PostgresRoleArgs:
    """The role's arguments. Raises ArgumentError for one that is not there."""
    if role not in roles:
        known = ", ".join(sorted(roles))
        raise ArgumentError(f"database_role: {role!r} is no role of the database engine; there are: {known}")
    return roles[role]
