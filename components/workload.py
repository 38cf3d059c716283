"""What an application team declares: a workload's identity, what it may read, and how each secret reaches it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.aws.irsa_role import IrsaRole
from components.aws.secret_reader import grant_read
from components.errors import ArgumentError
from components.kubernetes.external_secrets import (
    STATIC_REFRESH,
    DatabaseExternalSecret,
    KvExternalSecret,
    SecretsManagerExternalSecret,
    database_url,
)
from components.kubernetes.external_secrets_operator import ServiceAccountTokenGrant
from components.kubernetes.sealed_secret import SealedSecret, SealedSecretArgs
from components.kubernetes.secret_stores import AwsSecretStore, VaultLoginArgs, VaultSecretStore
from components.names import dns_label, dns_name
from components.platform import SecretPlatform
from components.vault.agent_injection import Injection
from components.vault.kubernetes_role import VaultKubernetesRole
from components.vault.policies import PolicyRuleArgs, VaultPolicy
from components.workload_pod import check_platform, deployment, injection_of, target_of
from components.workload_secrets import (
    DEFAULT_ROLLOUT,
    Delivery,
    WorkloadSecretArgs,
    check_secrets,
    delivery_of,
    described,
    identity,
    kv_path_of,
    refresh_interval,
    source_of,
)
from components.workload_values import WorkloadValues


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
    image: NotRequired[str]
    """Run it: a Deployment of this image, with its secrets as files. Default none; see `injection` for a pod of the team's own."""
    token_ttl: NotRequired[str]
    """TTL of its tokens for Vault, at least the TTL of its leases; default `1h`."""


class WorkloadDelivery(TypedDict):
    """What was delivered where: names only, never a value."""

    workload: str
    namespace: str
    secret: NotRequired[pulumi.Output[str]]
    """The Kubernetes Secret."""
    target: NotRequired[str]
    """The file in the pod, where there is no Kubernetes Secret."""
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
        self._by_agent = [secret for secret in self._secrets if secret.get("delivery") == Delivery.AGENT]
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
        if self._by_agent:
            check_platform(self._workload, self._platform)
        self._platform.claims.take(self._workload, namespace, self._secrets)
        self._child = pulumi.ResourceOptions(parent=self)
        self._identity = identity(namespace, self._workload)
        self._namespace_name = namespace
        self._namespace = self._platform.namespaces[namespace]

        role = self._aws_role()
        self._service_account = self._make_service_account(role)
        self._delivered_by = self._operator_ready()
        values = WorkloadValues(self._name, self._platform, self._child)
        stored, self._granted = values.stored(self._secrets, self._kv_path)
        self._values = values
        self._login_role: VaultKubernetesRole | None = None
        login = self._vault_login()
        vault_store = self._vault_store(login)
        aws_store = self._aws_store(role)
        builders: Mapping[str, Callable[[WorkloadSecretArgs], pulumi.Output[str]]] = {
            "database_role": lambda secret: self._database(secret, login),
            "kv_path": lambda secret: self._kv(secret, vault_store, stored),
            "sops_file": lambda secret: self._kv(secret, vault_store, stored),
            "aws_secret": lambda secret: self._aws(secret, aws_store, stored),
            "sealed_file": self._sealed,
            "generate": self._sealed,
        }
        self.deliveries = [self._delivered(secret, builders[source_of(secret)]) for secret in self._secrets]
        if "image" in args:
            deployment(
                f"{name}-deployment",
                workload=self._workload,
                namespace=self._namespace,
                service_account=self._service_account,
                image=args["image"],
                injection=self.injection(),
                secret_names=[found["secret"] for found in self.deliveries if "secret" in found],
                opts=self._after(*self._before_the_agent(stored)),
            )
        self.register_outputs({})

    def injection(self) -> Injection | None:
        """What the agent does for the secrets of the delivery `agent`; None without such.

        For a pod of the team's own: `inject_transform(workload.injection())`.
        """
        return injection_of(self._platform, self._identity, self._by_agent) if self._by_agent else None

    def _before_the_agent(self, stored: Mapping[str, pulumi.Resource]) -> Sequence[pulumi.Resource | None]:
        """What must be there before the pod: the webhook, or it would start without its agent; and what the agent reads."""
        if not self._by_agent:
            return []
        platform = self._platform
        values = [stored.get(secret["name"]) for secret in self._by_agent]
        return [platform.injector, platform.database, platform.kv, self._login_role, *values]

    def _delivered(
        self, secret: WorkloadSecretArgs, build: Callable[[WorkloadSecretArgs], pulumi.Output[str]]
    ) -> WorkloadDelivery:
        delivery = delivery_of(secret)
        found: WorkloadDelivery = {
            "workload": self._workload,
            "namespace": self._namespace_name,
            "source": described(secret, database=self._platform.database.mount, kv=self._platform.kv.mount),
            "delivery": delivery.value,
        }
        if delivery is Delivery.AGENT:
            found["target"] = target_of(secret)
        else:
            found["secret"] = build(secret)
        return found

    # -- identities and grants ---------------------------------------------------------------------------------------

    def _kv_path(self, secret: WorkloadSecretArgs) -> str | None:
        return kv_path_of(secret, self._namespace_name, self._workload)

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
        self._account = k8s.core.v1.ServiceAccount(
            f"{self._name}-service-account",
            metadata={"name": self._workload, "namespace": self._namespace, "annotations": annotations},
            automount_service_account_token=False,
            opts=self._child,
        )
        name: pulumi.Output[str] = self._account.metadata["name"]
        return name

    def _operator_ready(self) -> pulumi.ResourceOptions:
        """For what the operator delivers: after the operator, and after it may log in for this workload."""
        operator = self._platform.operator
        if all(delivery_of(secret) in (Delivery.AGENT, Delivery.SEALED) for secret in self._secrets):
            return self._child
        grant = ServiceAccountTokenGrant(
            f"{self._name}-token",
            {
                "namespace": self._namespace,
                "service_account": self._workload,
                "operator_namespace": operator.namespace,
                "operator_service_account": operator.service_account,
            },
            self._child,
        )
        return pulumi.ResourceOptions(parent=self, depends_on=[operator.release, grant.binding])

    def _vault_login(self) -> VaultLoginArgs | None:
        platform = self._platform
        rules: list[PolicyRuleArgs] = []
        rules += [platform.database.reader(secret["database_role"]) for secret in self._from("database_role")]
        rules += [platform.kv.reader(path) for secret in self._secrets if (path := self._kv_path(secret))]
        if not rules:
            return None
        policy = VaultPolicy(f"{self._name}-policy", {"policy_name": self._identity, "rules": rules}, self._child)
        role = self._login_role = VaultKubernetesRole(
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

    def _vault_store(self, login: VaultLoginArgs | None) -> VaultSecretStore | None:
        by_operator = [secret for secret in self._secrets if secret not in self._by_agent and self._kv_path(secret)]
        if login is None or not by_operator:
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
                "key": str(self._kv_path(secret)),
                "refresh_interval": secret.get("refresh_interval", STATIC_REFRESH),
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
                "refresh_interval": secret.get("refresh_interval", STATIC_REFRESH),
                "wait": bool(secret.get("generate")),
            },
            self._after(stored.get(secret["name"])),
        ).secret_name

    def _sealed(self, secret: WorkloadSecretArgs) -> pulumi.Output[str]:
        platform = self._platform
        if platform.sealed_secrets is None:
            raise ArgumentError(
                f"{self._workload}: {secret['name']}: delivery: 'sealed' needs the controller; give the platform `sealed_secrets`"
            )
        arguments: SealedSecretArgs = {"namespace": self._namespace_name, "secret_name": secret["name"]}
        if "sealed_file" in secret:
            arguments["file"] = str(Path(platform.repository) / secret["sealed_file"])
        else:
            arguments["data"] = self._values.generated(secret)
            if platform.sealing_certificate:
                arguments["certificate"] = platform.sealing_certificate
        ready = pulumi.ResourceOptions(parent=self, depends_on=[platform.sealed_secrets, self._account])
        return SealedSecret(f"{self._name}-{secret['name']}", arguments, ready).secret_name

    def _after(self, *values: pulumi.Resource | None) -> pulumi.ResourceOptions:
        there = [value for value in values if value is not None]
        return pulumi.ResourceOptions.merge(self._delivered_by, pulumi.ResourceOptions(depends_on=there))
