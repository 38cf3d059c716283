"""What an application team declares: a workload's identity, what it may read, and how each secret reaches it."""

from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.aws.irsa_role import IrsaRole
from components.aws.managed_secret import ManagedSecret, ManagedSecretArgs
from components.aws.secret_reader import GrantedSecretArgs, grant_read
from components.kubernetes.external_secrets import (
    DatabaseExternalSecret,
    KvExternalSecret,
    SecretsManagerExternalSecret,
    database_url,
)
from components.kubernetes.external_secrets_operator import ServiceAccountTokenGrant
from components.kubernetes.secret_stores import AwsSecretStore, VaultLoginArgs, VaultSecretStore
from components.names import dns_label, dns_name
from components.platform import SecretPlatform
from components.vault.kubernetes_role import VaultKubernetesRole
from components.vault.kv import VaultKvSecret
from components.vault.policies import PolicyRuleArgs, VaultPolicy
from components.workload_secrets import (
    DEFAULT_ROLLOUT,
    Delivery,
    WorkloadSecretArgs,
    check_secrets,
    refresh_interval,
    source_of,
)

GENERATED_LENGTH = 32


class WorkloadArgs(TypedDict):
    """Arguments of Workload."""

    platform: SecretPlatform
    """The shared part."""
    workload_name: str
    """The workload's name, such as `payment-api`; its service account has it too."""
    namespace: str
    """One of the platform's namespaces."""
    secrets: Sequence[WorkloadSecretArgs]
    """What it may read, at least one; nothing else is granted."""
    token_ttl: NotRequired[str]
    """TTL of its tokens for Vault, at least the TTL of its leases; default `1h`."""


class WorkloadDelivery(TypedDict):
    """What was delivered where: names only, never a value."""

    workload: str
    namespace: str
    secret: pulumi.Output[str]
    source: str
    delivery: str


class Workload(pulumi.ComponentResource):
    """One identity per system and exactly the declared grants: a service account, a Vault role, an IAM role.

    A system from which nothing is read gets no role. Raises ComponentError before anything is created.
    """

    deliveries: Sequence[WorkloadDelivery]
    """What is delivered, in the order of `secrets`."""

    def __init__(self, name: str, args: WorkloadArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:index:Workload", name, {}, opts)
        self._name = name
        self._platform = args["platform"]
        self._workload = dns_name(args["workload_name"], "workload_name")
        self._secrets = args["secrets"]
        self._token_ttl = args.get("token_ttl", "1h")
        namespace = dns_label(args["namespace"], "namespace")
        check_secrets(
            self._workload,
            namespace,
            self._secrets,
            namespaces=self._platform.namespaces,
            roles=self._platform.database.roles,
            token_ttl=self._token_ttl,
        )
        self._child = pulumi.ResourceOptions(parent=self)
        self._identity = f"{namespace}-{self._workload}"
        self._namespace_name = namespace
        self._namespace = self._platform.namespaces[namespace]

        role = self._aws_role()
        self._service_account = self._make_service_account(role)
        token_grant = self._token_grant()
        stored = self._stored_values()
        self._delivered_by = pulumi.ResourceOptions(
            parent=self, depends_on=[self._platform.operator.release, token_grant.binding]
        )
        login = self._vault_login()
        vault_store = self._vault_store(login)
        aws_store = self._aws_store(role)
        builders: Mapping[str, Callable[[WorkloadSecretArgs], pulumi.Output[str]]] = {
            "database_role": lambda secret: self._database(secret, login),
            "kv_path": lambda secret: self._kv(secret, vault_store, stored),
            "aws_secret": lambda secret: self._aws(secret, aws_store, stored),
        }
        self.deliveries = [
            {
                "workload": self._workload,
                "namespace": namespace,
                "secret": builders[source_of(secret)](secret),
                "source": _described(self._platform, secret),
                "delivery": Delivery.EXTERNAL_SECRET.value,
            }
            for secret in self._secrets
        ]
        self.register_outputs({})

    # -- identities and grants ---------------------------------------------------------------------------------------

    def _from(self, source: str) -> list[WorkloadSecretArgs]:
        return [secret for secret in self._secrets if source in secret]

    def _aws_role(self) -> IrsaRole | None:
        if not self._from("aws_secret"):
            return None
        platform = self._platform
        return IrsaRole(
            f"{self._name}-aws",
            {
                "account": platform.account,
                "issuer": platform.issuer,
                "role_name": f"{platform.role_prefix}{self._identity}",
                "namespace": self._namespace_name,
                "service_account": self._workload,
                "path": platform.role_path,
                "permissions_boundary": platform.permissions_boundary,
                "tags": platform.tags,
            },
            pulumi.ResourceOptions(parent=self, depends_on=[platform.oidc_provider]),
        )

    def _make_service_account(self, role: IrsaRole | None) -> pulumi.Output[str]:
        annotations = {"eks.amazonaws.com/role-arn": role.arn} if role else {}
        account = k8s.core.v1.ServiceAccount(
            f"{self._name}-service-account",
            metadata={"name": self._workload, "namespace": self._namespace, "annotations": annotations},
            automount_service_account_token=False,
            opts=self._child,
        )
        name: pulumi.Output[str] = account.metadata["name"]
        return name

    def _token_grant(self) -> ServiceAccountTokenGrant:
        operator = self._platform.operator
        return ServiceAccountTokenGrant(
            f"{self._name}-token",
            {
                "namespace": self._namespace,
                "service_account": self._workload,
                "operator_namespace": operator.namespace,
                "operator_service_account": operator.service_account,
            },
            self._child,
        )

    def _vault_login(self) -> VaultLoginArgs | None:
        platform = self._platform
        rules: list[PolicyRuleArgs] = []
        rules += [platform.database.reader(secret["database_role"]) for secret in self._from("database_role")]
        rules += [platform.kv.reader(secret["kv_path"]) for secret in self._from("kv_path")]
        if not rules:
            return None
        policy = VaultPolicy(f"{self._name}-policy", {"policy_name": self._identity, "rules": rules}, self._child)
        role = VaultKubernetesRole(
            f"{self._name}-vault",
            {
                "auth_mount": platform.auth.ready,
                "role_name": self._identity,
                "namespace": self._namespace_name,
                "service_account": self._workload,
                "policies": [policy.policy_name],
                "audience": platform.audiences[0],
                "token_ttl": self._token_ttl,
            },
            self._child,
        )
        return {
            "address": platform.vault["address"],
            "ca_certificate": platform.vault.get("ca_certificate", ""),
            "auth_mount": platform.auth.ready,
            "role_name": role.role_name,
            "service_account": self._service_account,
            "audiences": platform.audiences,
        }

    # -- values, stores, deliveries ----------------------------------------------------------------------------------

    def _stored_values(self) -> Mapping[str, pulumi.Resource]:
        """What is kept for this workload in KV and Secrets Manager, by the name of the secret."""
        stored: dict[str, pulumi.Resource] = {}
        for secret in self._from("kv_path"):
            if secret.get("generate"):
                stored[secret["name"]] = VaultKvSecret(
                    f"{self._name}-{secret['name']}-value",
                    {
                        "mount": self._platform.kv.mount_path,
                        "path": secret["kv_path"],
                        "value": self._generated(secret),
                    },
                    self._child,
                )
        granted: list[GrantedSecretArgs] = []
        for secret in self._from("aws_secret"):
            grant: GrantedSecretArgs = {"name": secret["aws_secret"]}
            if not secret.get("existing", False):
                managed = self._managed(secret)
                stored[secret["name"]] = managed
                grant["kms_key_arn"] = managed.kms_key_arn
            elif "kms_key_arn" in secret:
                grant["kms_key_arn"] = secret["kms_key_arn"]
            granted.append(grant)
        self._granted = granted
        return stored

    def _managed(self, secret: WorkloadSecretArgs) -> ManagedSecret:
        platform = self._platform
        arguments: ManagedSecretArgs = {
            "account": platform.account,
            "secret_name": secret["aws_secret"],
            "allow_immediate_deletion": platform.allow_immediate_deletion,
            "tags": platform.tags,
        }
        if secret.get("generate"):
            arguments["value"] = self._generated(secret)
        return ManagedSecret(f"{self._name}-{secret['name']}-value", arguments, self._child)

    def _generated(self, secret: WorkloadSecretArgs) -> Mapping[str, pulumi.Output[str]]:
        return {
            key: random.RandomPassword(
                f"{self._name}-{secret['name']}-{key}", length=GENERATED_LENGTH, special=False, opts=self._child
            ).result
            for key in secret["generate"]
        }

    def _vault_store(self, login: VaultLoginArgs | None) -> VaultSecretStore | None:
        if login is None or not self._from("kv_path"):
            return None
        return VaultSecretStore(
            f"{self._name}-vault-store",
            {
                "namespace": self._namespace,
                "login": login,
                "kv_mount": self._platform.kv.mount_path,
                "store_name": f"{self._workload}-vault",
            },
            self._delivered_by,
        )

    def _aws_store(self, role: IrsaRole | None) -> AwsSecretStore | None:
        if role is None:
            return None
        reader = grant_read(
            f"{self._name}-aws-reader",
            account=self._platform.account,
            role_name=role.role_name,
            secrets=self._granted,
            opts=self._child,
        )
        return AwsSecretStore(
            f"{self._name}-aws-store",
            {
                "namespace": self._namespace,
                "region": self._platform.account["region"],
                "service_account": self._service_account,
                "store_name": f"{self._workload}-aws",
            },
            pulumi.ResourceOptions.merge(self._delivered_by, pulumi.ResourceOptions(depends_on=[reader])),
        )

    def _database(self, secret: WorkloadSecretArgs, login: VaultLoginArgs | None) -> pulumi.Output[str]:
        assert login is not None  # a database role is a grant in Vault
        engine = self._platform.database
        role = engine.role(secret["database_role"])
        return DatabaseExternalSecret(
            f"{self._name}-{secret['name']}",
            {
                "namespace": self._namespace,
                "secret_name": secret["name"],
                "login": login,
                "mount": engine.ready,
                "role": role["name"],
                "url": database_url(engine.host, engine.port, engine.database, engine.ssl_mode),
                "lease_ttl": role["default_ttl"],
                "token_ttl": self._token_ttl,
                "refresh_interval": refresh_interval(secret, role["default_ttl"]),
                "rollout_time": secret.get("rollout_time", DEFAULT_ROLLOUT),
            },
            self._delivered_by,
        ).secret_name

    def _kv(
        self, secret: WorkloadSecretArgs, store: VaultSecretStore | None, stored: Mapping[str, pulumi.Resource]
    ) -> pulumi.Output[str]:
        assert store is not None
        value = stored.get(secret["name"])
        return KvExternalSecret(
            f"{self._name}-{secret['name']}",
            {
                "namespace": self._namespace,
                "secret_name": secret["name"],
                "store_name": store.store_name,
                "key": secret["kv_path"],
                "refresh_interval": secret.get("refresh_interval", "15m"),
                "wait": value is not None,
            },
            self._after(value),
        ).secret_name

    def _aws(
        self, secret: WorkloadSecretArgs, store: AwsSecretStore | None, stored: Mapping[str, pulumi.Resource]
    ) -> pulumi.Output[str]:
        assert store is not None
        return SecretsManagerExternalSecret(
            f"{self._name}-{secret['name']}",
            {
                "namespace": self._namespace,
                "secret_name": secret["name"],
                "store_name": store.store_name,
                "key": secret["aws_secret"],
                "refresh_interval": secret.get("refresh_interval", "15m"),
                "wait": bool(secret.get("generate")),
            },
            self._after(stored.get(secret["name"])),
        ).secret_name

    def _after(self, value: pulumi.Resource | None) -> pulumi.ResourceOptions:
        if value is None:
            return self._delivered_by
        return pulumi.ResourceOptions.merge(self._delivered_by, pulumi.ResourceOptions(depends_on=[value]))


def _described(platform: SecretPlatform, secret: WorkloadSecretArgs) -> str:
    if "database_role" in secret:
        return f"vault {platform.database.mount}/creds/{secret['database_role']}"
    if "kv_path" in secret:
        return f"vault {platform.kv.mount}/{secret['kv_path']}"
    return f"secretsmanager {secret['aws_secret']}"
