"""A workload's secrets as it declares them, and what contradicts itself in that."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

from components.aws.documents import secret_name
from components.durations import format_duration, parse_duration
from components.errors import ArgumentError
from components.lifetimes import check_rotation, check_token
from components.names import dns_name
from components.sealing import SECRET_KEY
from components.vault.agent_injection import inject
from components.vault.database_engine import PostgresRoleArgs
from components.vault.policies import kv_data_path

DEFAULT_ROLLOUT = "10m"
SOURCES = ("database_role", "kv_path", "aws_secret", "sealed_file", "sops_file")


class Delivery(StrEnum):
    """How a secret reaches the workload."""

    EXTERNAL_SECRET = "external-secret"  # noqa: S105
    """External Secrets Operator makes a Kubernetes Secret of it."""
    AGENT = "agent"
    """Vault's agent in the pod renders it as a file below /vault/secrets; no Kubernetes Secret exists."""
    SEALED = "sealed"
    """It is sealed for the cluster, in git or here; the sealed-secrets controller makes a Kubernetes Secret of it."""
    SOPS = "sops"
    """It is in git, encrypted with SOPS; it goes to Vault KV, and the operator makes a Kubernetes Secret of it."""


DELIVERED_FROM: Mapping[Delivery, Sequence[str]] = {
    Delivery.EXTERNAL_SECRET: ("database_role", "kv_path", "aws_secret"),
    Delivery.AGENT: ("database_role", "kv_path"),
    Delivery.SEALED: ("sealed_file", "generate"),
    Delivery.SOPS: ("sops_file",),
}


class WorkloadSecretArgs(TypedDict):
    """One secret of a workload: where it comes from (exactly one source) and how it is delivered."""

    name: str
    """What the workload knows it by: the Kubernetes Secret's name, or the file's with the delivery `agent`."""
    delivery: NotRequired[Delivery]
    """Default `external-secret`."""
    database_role: NotRequired[str]
    """Source: a dynamic role of the platform's database engine."""
    kv_path: NotRequired[str]
    """Source: a secret of the platform's KV engine."""
    aws_secret: NotRequired[str]
    """Source: a secret in Secrets Manager, by name. It is made with a key of its own, unless `existing`."""
    sealed_file: NotRequired[str]
    """Source, with the delivery `sealed`: a committed SealedSecret manifest. Without it the values of `generate` are sealed."""
    sops_file: NotRequired[str]
    """Source, with the delivery `sops`: a file of the repository, encrypted with SOPS. Kept in KV at `kv_path`, by default
    `NAMESPACE/WORKLOAD/NAME`."""
    template: NotRequired[str]
    """With the delivery `agent`: the file's template; default shell exports for a database role, JSON for a KV secret."""
    file_mode: NotRequired[str]
    """With the delivery `agent`: the file's mode, such as `0440`; default the agent's."""
    command: NotRequired[str]
    """With the delivery `agent`: run in the agent's container after each rendering."""
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


def delivery_of(secret: WorkloadSecretArgs) -> Delivery:
    """How it is delivered. Raises ArgumentError for an unknown one."""
    try:
        return Delivery(secret.get("delivery", Delivery.EXTERNAL_SECRET))
    except ValueError:
        raise ArgumentError(
            f"secrets: {secret['name']!r}: delivery: {secret['delivery']!r} is unknown; expected one of {', '.join(Delivery)}"
        ) from None


def source_of(secret: WorkloadSecretArgs) -> str:
    """Which of ``SOURCES`` it comes from, or ``generate`` where values are made here and sealed.

    Raises ArgumentError for none or several, and for one that its delivery cannot take.
    """
    delivery = delivery_of(secret)
    given = [source for source in SOURCES if source in secret]
    if "sops_file" in secret and given == ["kv_path", "sops_file"]:
        given = ["sops_file"]  # where it is kept is no second source
    if delivery is Delivery.SEALED and not given and secret.get("generate"):
        given = ["generate"]
    if len(given) != 1:
        expected = ", ".join(DELIVERED_FROM[delivery])
        raise ArgumentError(
            f"secrets: {secret['name']!r} has {', '.join(given) or 'no source'}; expected exactly one of {expected}"
        )
    if given[0] not in DELIVERED_FROM[delivery]:
        able = [other.value for other, sources in DELIVERED_FROM.items() if given[0] in sources]
        raise ArgumentError(
            f"secrets: {secret['name']!r}: delivery: {delivery.value!r} cannot take {given[0]}; "
            f"expected {' or '.join(able)}, or another source: {', '.join(DELIVERED_FROM[delivery])}"
        )
    return given[0]


def kv_path_of(secret: WorkloadSecretArgs, namespace: str, workload: str) -> str | None:
    """Where it is in the KV engine; None where it is not there."""
    if "sops_file" in secret:
        return secret.get("kv_path") or f"{namespace}/{workload}/{secret['name']}"
    return secret.get("kv_path")


def refresh_interval(secret: WorkloadSecretArgs, lease_ttl: str) -> str:
    """How often a dynamic credential is replaced; half of its lease by default."""
    return secret.get("refresh_interval") or format_duration(max(parse_duration(lease_ttl, "default_ttl") // 2, 1))


def identity(namespace: str, workload: str) -> str:
    """The name of its roles and of its policy, in Vault and in IAM."""
    return f"{namespace}-{workload}"


class Claims:
    """What the workloads of a platform make: two cannot have the same roles, Kubernetes Secret or value."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str], str] = {}

    def take(self, workload: str, namespace: str, secrets: Sequence[WorkloadSecretArgs]) -> None:
        """Raises ArgumentError, and takes nothing, where another secret has made one of them already."""
        owners = dict(self._owners)

        def own(owner: str, what: str, name: str, fix: str) -> None:
            if (other := owners.setdefault((what, name), owner)) != owner:
                raise ArgumentError(f"{owner}: {what}: {name!r} is made by {other}; {fix}")

        own(f"{namespace}/{workload}", "workload_name", identity(namespace, workload), "rename one of them")
        for secret in secrets:
            for what, name, fix in _made(secret, namespace, workload):
                own(f"{namespace}/{workload}: {secret['name']}", what, name, fix)
        self._owners = owners


def _made(secret: WorkloadSecretArgs, namespace: str, workload: str) -> Iterator[tuple[str, str, str]]:
    """Each thing that a secret makes: the argument that names it, the name, and what to do where two make it."""
    if delivery_of(secret) is not Delivery.AGENT:
        yield "name", f"{namespace}/{secret['name']}", "a namespace has one Secret of a name; give it another"
    if "aws_secret" in secret and not secret.get("existing", False):
        yield "aws_secret", secret["aws_secret"], "say `existing` for all but one, or name another secret"
    path = kv_path_of(secret, namespace, workload)
    if path is not None and ("sops_file" in secret or secret.get("generate")):
        yield "kv_path", path, "let one of them make the value and the other only read it, or give another path"


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
        known = ", ".join(sorted(namespaces)) or "it has none"
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
    source, delivery = source_of(secret), delivery_of(secret)
    _check_agent_options(label, secret, source, delivery)
    if "refresh_interval" in secret:
        parse_duration(secret["refresh_interval"], f"{label}: refresh_interval")
    if source == "database_role":
        role = role_of(roles, secret["database_role"])
        if secret.get("generate"):
            raise ArgumentError(f"{label}: generate: Vault makes the values of a database role; leave it out")
        if delivery is not Delivery.AGENT:
            check_rotation(
                refresh_interval=refresh_interval(secret, role["default_ttl"]),
                rollout_time=secret.get("rollout_time", DEFAULT_ROLLOUT),
                lease_ttl=role["default_ttl"],
                of=label,
            )
        check_token(token_ttl=token_ttl, lease_ttl=role["default_ttl"], of=label)
    elif "kv_path" in secret:
        kv_data_path("mount", secret["kv_path"])
    elif source == "aws_secret":
        secret_name(secret["aws_secret"])
    generated = secret.get("generate", ())
    for key in generated:
        if not SECRET_KEY.fullmatch(key):
            raise ArgumentError(
                f"{label}: generate: {key!r} cannot be a key; expected letters, digits, '-', '_' and '.'"
            )
    if len(set(generated)) < len(generated):
        raise ArgumentError(f"{label}: generate: a key is given twice; each key once")
    if secret.get("existing", False) and (source != "aws_secret" or secret.get("generate")):
        raise ArgumentError(
            f"{label}: existing: says that a secret in Secrets Manager has its value already; leave out existing or generate"
        )


def _check_agent_options(label: str, secret: WorkloadSecretArgs, source: str, delivery: Delivery) -> None:
    if delivery is Delivery.AGENT:
        if source == "database_role" and "refresh_interval" in secret:
            raise ArgumentError(
                f"{label}: refresh_interval: the agent renews a lease by itself and replaces it at its end; leave it out"
            )
        try:
            inject("any").kv(
                secret["name"],
                path="any",
                template=secret.get("template"),
                mode=secret.get("file_mode"),
                command=secret.get("command"),
            )
        except ArgumentError as error:
            raise ArgumentError(f"{label}: {error}") from None
        return
    for option in ("template", "file_mode", "command"):
        if option in secret:
            raise ArgumentError(
                f"{label}: {option}: only the delivery 'agent' has files; leave it out, or deliver by agent"
            )
    if delivery is Delivery.SEALED and "refresh_interval" in secret:
        raise ArgumentError(f"{label}: refresh_interval: a sealed secret changes with its file only; leave it out")


def role_of(roles: Mapping[str, PostgresRoleArgs], role: str) -> PostgresRoleArgs:
    """The role's arguments. Raises ArgumentError for one that is not there."""
    if role not in roles:
        known = ", ".join(sorted(roles)) or "none"
        raise ArgumentError(f"database_role: {role!r} is no role of the database engine; there are: {known}")
    return roles[role]


def described(secret: WorkloadSecretArgs, *, database: str, kv: str) -> str:
    """Where it comes from, in a few words; ``database`` and ``kv``: the engines' mounts."""
    if "database_role" in secret:
        return f"vault {database}/creds/{secret['database_role']}"
    if "sops_file" in secret:
        return f"sops {secret['sops_file']}"
    if "sealed_file" in secret:
        return f"sealed {secret['sealed_file']}"
    if "kv_path" in secret:
        return f"vault {kv}/{secret['kv_path']}"
    if "aws_secret" in secret:
        return f"secretsmanager {secret['aws_secret']}"
    return "generated and sealed"
