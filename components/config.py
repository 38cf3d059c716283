"""A stack's configuration, read and checked as a whole before anything is created.

`Pulumi.yaml` types every key and has the defaults. Here the structured ones (`databaseRoles`, `workloads`) are checked field by
field, unknown keys are refused, and what must fit together is checked by the very functions that the components use.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import config as runtime_config
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from components.aws.account import AwsAccountArgs
from components.aws.account import checked as checked_account
from components.aws.documents import issuer_host
from components.aws.irsa_role import check as check_iam_role
from components.aws.oidc_provider import OidcProviderMode
from components.durations import parse_duration
from components.errors import ArgumentError, ComponentError, ConfigError
from components.kubernetes.external_secrets_operator import chart_values
from components.kubernetes.sealed_secrets_controller import SealedSecretsControllerArgs, controller_values
from components.names import dns_label, dns_name, https_url, vault_path
from components.platform import SecretPlatformArgs, check_audit_file, check_namespaces
from components.vault.agent_injector import VaultAgentInjectorArgs, injector_values
from components.vault.database_engine import PostgresRoleArgs, VaultDatabaseEngineArgs, check_connection, check_roles
from components.vault.kubernetes_auth import ReviewerMode, VaultKubernetesAuthArgs
from components.vault.kubernetes_auth import check as check_auth
from components.vault.kubernetes_role import check as check_vault_role
from components.vault.postgres import SslMode, TablePrivilege
from components.workload_secrets import Claims, Delivery, WorkloadSecretArgs, check_secrets, identity


def _structured(value: Any) -> Any:
    """Pulumi hands structured values on as JSON text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    def given(self) -> dict[str, Any]:
        """What was given, under the names of the components' arguments."""
        return self.model_dump(exclude_unset=True)


class DatabaseRole(_Model):
    """An entry of `databaseRoles`."""

    name: str
    default_ttl: str
    max_ttl: str
    privileges: list[TablePrivilege] = []
    db_schema: str = Field("public", alias="schema")
    creation_statements: list[str] = []

    def given(self) -> dict[str, Any]:
        found = super().given()
        if "db_schema" in found:
            found["schema"] = found.pop("db_schema")
        return found


class WorkloadSecret(_Model):
    """An entry of a workload's `secrets`."""

    name: str
    delivery: Delivery = Delivery.EXTERNAL_SECRET
    database_role: str = ""
    kv_path: str = ""
    aws_secret: str = ""
    sealed_file: str = ""
    sops_file: str = ""
    template: str = ""
    file_mode: str = ""
    command: str = ""
    existing: bool = False
    kms_key_arn: str = ""
    generate: list[str] = []
    refresh_interval: str = ""
    rollout_time: str = ""


class WorkloadEntry(_Model):
    """An entry of `workloads`."""

    name: str
    namespace: str
    former_name: str = ""
    image: str = ""
    secrets: list[WorkloadSecret]

    @property
    def component_name(self) -> str:
        return f"{self.namespace}-{self.name}"

    def options(self) -> pulumi.ResourceOptions:
        """Renamed, it takes over what it had under its former name: its values stay, what is named after it is replaced."""
        former = [pulumi.Alias(name=f"{self.namespace}-{self.former_name}")] if self.former_name else []
        return pulumi.ResourceOptions(aliases=former)

    def secret_args(self) -> list[WorkloadSecretArgs]:
        """The secrets as a Workload takes them."""
        return [WorkloadSecretArgs(**secret.given()) for secret in self.secrets]  # type: ignore[typeddict-item]


class StackConfig(_Model):
    """Every key of a stack; `Pulumi.yaml` says what each means. An empty text means that an optional one is not given."""

    aws_account_id: str
    aws_region: str
    permissions_boundary: str
    role_path: str
    role_prefix: str
    immediate_secret_deletion: bool
    cluster_issuer: str
    oidc_provider: OidcProviderMode
    namespaces: list[str]
    operator_replicas: int
    injector_replicas: int
    sealing_certificate: str
    sealing_key_period: str
    repository: str
    vault_address: str
    vault_ca_certificate: str
    vault_audience: str
    vault_audit_file: str
    vault_token_ttl: str
    vault_reviewer: ReviewerMode
    kubernetes_host: str
    kubernetes_ca_certificate: str
    kv_mount: str
    auth_mount: str
    database_mount: str
    database_host: str
    database_port: int
    database_name: str
    database_user: str
    database_ssl_mode: SslMode
    allow_unencrypted_database: bool
    database_roles: list[DatabaseRole]
    workloads: list[WorkloadEntry]

    def account(self) -> AwsAccountArgs:
        return {"account_id": self.aws_account_id, "region": self.aws_region}

    def roles(self) -> list[PostgresRoleArgs]:
        return [PostgresRoleArgs(**role.given()) for role in self.database_roles]  # type: ignore[typeddict-item]

    def database(self, password: pulumi.Input[str]) -> VaultDatabaseEngineArgs:
        return {
            "connection_name": self.database_name,
            "host": self.database_host,
            "port": self.database_port,
            "database": self.database_name,
            "username": self.database_user,
            "password": password,
            "mount": self.database_mount,
            "ssl_mode": self.database_ssl_mode,
            "allow_unencrypted": self.allow_unencrypted_database,
            "roles": self.roles(),
        }

    def kubernetes_auth(self) -> VaultKubernetesAuthArgs:
        return {
            "mount": self.auth_mount,
            "kubernetes_host": self.kubernetes_host,
            "ca_certificate": self.kubernetes_ca_certificate,
            "reviewer": self.vault_reviewer,
        }

    def uses(self, delivery: Delivery) -> bool:
        """Whether any workload's secret is delivered so."""
        return any(secret.delivery is delivery for workload in self.workloads for secret in workload.secrets)

    def platform(self, database_password: pulumi.Input[str]) -> SecretPlatformArgs:
        """The arguments of the SecretPlatform."""
        arguments: SecretPlatformArgs = {
            "account": self.account(),
            "cluster": {"issuer": self.cluster_issuer, "oidc_provider": self.oidc_provider},
            "vault": {
                "address": self.vault_address,
                "ca_certificate": self.vault_ca_certificate,
                "audience": self.vault_audience,
            },
            "namespaces": self.namespaces,
            "database": self.database(database_password),
            "kubernetes_auth": self.kubernetes_auth(),
            "kv": {"mount": self.kv_mount},
            "audit_file": self.vault_audit_file,
            "operator": {"replicas": self.operator_replicas},
            "role_path": self.role_path,
            "role_prefix": self.role_prefix,
            "permissions_boundary": self.permissions_boundary,
            "allow_immediate_deletion": self.immediate_secret_deletion,
            "repository": self.repository,
        }
        if self.uses(Delivery.AGENT):
            arguments["injector"] = {"replicas": self.injector_replicas, "namespaces": self.namespaces}
        if self.uses(Delivery.SEALED):
            arguments["sealed_secrets"] = {"key_period": self.sealing_key_period}
            arguments["sealing_certificate"] = self.sealing_certificate
        return arguments


StackConfig.model_rebuild()
SECRET_KEYS = ("databasePassword",)


def load() -> StackConfig:
    """The configuration of the stack that runs. Raises RunError that lists every problem, which Pulumi shows as it is."""
    prefix = f"{pulumi.get_project()}:"
    everything = {**runtime_config.get_config_env(), **runtime_config.CONFIG.get()}
    try:
        return parse({key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)})
    except ConfigError as error:
        raise pulumi.RunError(str(error)) from None


def parse(values: Mapping[str, Any]) -> StackConfig:
    """The configuration from its keys without the project's name. Raises ConfigError that lists every problem."""
    problems = [
        f"{key}: missing; set it with `pulumi config set --secret {key}`" for key in SECRET_KEYS if not values.get(key)
    ]
    plain = {key: _structured(value) if key in STRUCTURED else value for key, value in values.items()}
    try:
        config = StackConfig.model_validate({key: value for key, value in plain.items() if key not in SECRET_KEYS})
    except ValidationError as error:
        raise ConfigError(_listed([*problems, *(_explained(item) for item in error.errors())])) from None
    problems += _contradictions(config)
    if problems:
        raise ConfigError(_listed(problems))
    return config


# The components' arguments as the keys that they come from: their errors are shown to whoever writes the configuration.
_KEYS = {
    name: str(field.alias)
    for model in (StackConfig, DatabaseRole, WorkloadEntry, WorkloadSecret)
    for name, field in model.model_fields.items()
    if "_" in name
} | {
    "allow_unencrypted": "allowUnencryptedDatabase",
    "key_period": "sealingKeyPeriod",
    "ssl_mode": "databaseSslMode",
    "token_max_ttl": "vaultTokenTtl",
    "token_ttl": "vaultTokenTtl",
}
_KEY = re.compile(rf"\b({'|'.join(_KEYS)})\b")
STRUCTURED = ("namespaces", "databaseRoles", "workloads")


def _listed(problems: list[str]) -> str:
    return (
        "configuration: " + "; ".join(problems) if len(problems) == 1 else "configuration:\n  " + "\n  ".join(problems)
    )


def _explained(error: Any) -> str:
    """One line for one of pydantic's errors: the key, what was expected, the fix. It never shows a secret's value."""
    where = ""
    for part in error["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    found = error.get("input")
    shown = f", got {found!r}" if isinstance(found, str | int | float | bool) else f", got a {type(found).__name__}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _contradictions(config: StackConfig) -> list[str]:
    """What each key's form and all of them together must fulfil, by the components' own checks."""
    problems: list[str] = []

    def check(key: str, function: Callable[[], object]) -> bool:
        try:
            function()
        except ComponentError as error:
            told = _KEY.sub(lambda found: _KEYS[found[0]], str(error))
            problems.append(told if told.startswith(f"{key}: ") else f"{key}: {told}")
            return False
        return True

    check("awsAccountId, awsRegion", lambda: checked_account(config.account()))
    check("clusterIssuer", lambda: issuer_host(config.cluster_issuer))
    check("kvMount", lambda: vault_path(config.kv_mount, "kvMount"))
    check("kvMount, databaseMount", lambda: _check_mounts(config.kv_mount, config.database_mount))
    check("vaultTokenTtl", lambda: parse_duration(config.vault_token_ttl, "vaultTokenTtl"))
    check("operatorReplicas", lambda: chart_values({"replicas": config.operator_replicas}))
    if config.uses(Delivery.AGENT):
        injector: VaultAgentInjectorArgs = {"vault_address": config.vault_address, "replicas": config.injector_replicas}
        check("injectorReplicas", lambda: injector_values("injector", injector))
        if config.namespaces:
            check(
                "namespaces",
                lambda: injector_values("injector", {**injector, "replicas": 2, "namespaces": config.namespaces}),
            )
    if config.uses(Delivery.SEALED):
        controller: SealedSecretsControllerArgs = {"key_period": config.sealing_key_period}
        check("sealingKeyPeriod", lambda: controller_values("controller", controller))
    check("vaultAddress", lambda: https_url(config.vault_address, "vaultAddress"))
    check("vaultAuditFile", lambda: check_audit_file(config.vault_audit_file))
    check("kubernetesHost, vaultReviewer", lambda: check_auth(config.kubernetes_auth()))
    check("database", lambda: check_connection(config.database("")))
    check("databaseRoles", lambda: check_roles(config.database("")))
    check("namespaces", lambda: check_namespaces(config.namespaces))
    roles = {role["name"]: role for role in config.roles()}
    seen: set[tuple[str, str]] = set()
    claims = Claims()
    names = {workload.component_name for workload in config.workloads}
    for at, workload in enumerate(config.workloads):
        key = f"workloads[{at}]"
        if not check(key, lambda workload=workload: dns_name(workload.name, "name")):  # type: ignore[misc]
            continue  # all that is named after it would fail the same way
        if (workload.namespace, workload.name) in seen:
            problems.append(f"{key}: {workload.namespace}/{workload.name} is given twice; a workload is declared once")
            continue
        seen.add((workload.namespace, workload.name))
        if f"{workload.namespace}-{workload.former_name}" in names:
            problems.append(
                f"{key}.formerName: {workload.former_name!r} is still a workload; a renamed one takes its place"
            )
        check(key, lambda workload=workload: _check_workload(config, workload, roles, claims))  # type: ignore[misc]
    return problems


# Vault's own, https://developer.hashicorp.com/vault/docs/secrets: nothing can be mounted there or below.
_RESERVED_MOUNTS = ("auth", "cubbyhole", "identity", "sys")


def _check_mounts(kv: str, database: str) -> None:
    """Whether both engines can be mounted in one Vault. Raises ArgumentError."""
    for key, mount in (("kvMount", kv), ("databaseMount", database)):
        if mount.split("/")[0] in _RESERVED_MOUNTS:
            raise ArgumentError(f"{key}: {mount!r} is Vault's own; mount the engine at another path")
    if f"{kv}/".startswith(f"{database}/") or f"{database}/".startswith(f"{kv}/"):
        raise ArgumentError(f"kvMount: {kv!r} and databaseMount {database!r} overlap; give each a path of its own")


def _check_workload(
    config: StackConfig, workload: WorkloadEntry, roles: Mapping[str, PostgresRoleArgs], claims: Claims
) -> None:
    secrets = workload.secret_args()
    check_secrets(
        workload.name,
        workload.namespace,
        secrets,
        namespaces=config.namespaces,
        roles=roles,
        token_ttl=config.vault_token_ttl,
    )
    claims.take(workload.name, workload.namespace, secrets)
    name = identity(workload.namespace, workload.name)
    check_vault_role(
        {
            "auth_mount": config.auth_mount,
            "role_name": name,
            "namespace": workload.namespace,
            "service_account": workload.name,
            "policies": [name],
            "audience": config.vault_audience,
            "token_ttl": config.vault_token_ttl,
        }
    )
    if any("aws_secret" in secret for secret in secrets):
        check_iam_role(
            {
                "account": config.account(),
                "issuer": config.cluster_issuer,
                "role_name": config.role_prefix + name,
                "namespace": workload.namespace,
                "service_account": workload.name,
                "path": config.role_path,
                "permissions_boundary": config.permissions_boundary,
            }
        )
    if workload.image:
        dns_label(workload.name, "name")  # the value of a label, too
        if any(character.isspace() for character in workload.image):
            raise ArgumentError(f"image: {workload.image!r} is no image's name; expected REGISTRY/NAME:TAG")
    for secret in secrets:
        for key in ("sops_file", "sealed_file"):
            if key in secret and not (file := Path(config.repository) / secret[key]).is_file():
                raise ArgumentError(f"{workload.name}: {secret['name']}: {key}: {str(file)!r} is not there")
