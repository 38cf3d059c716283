"""The shared part of a stack: engines, login, operator, namespaces. Workloads are built on it."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_vault as vault

from components.aws.account import AwsAccountArgs, checked
from components.aws.oidc_provider import OidcProvider, OidcProviderMode
from components.errors import ArgumentError
from components.kubernetes.external_secrets_operator import ExternalSecretsOperator, ExternalSecretsOperatorArgs
from components.kubernetes.sealed_secrets_controller import SealedSecretsController, SealedSecretsControllerArgs
from components.names import dns_label, https_url
from components.vault.agent_injector import VaultAgentInjector
from components.vault.database_engine import VaultDatabaseEngine, VaultDatabaseEngineArgs
from components.vault.kubernetes_auth import ReviewerMode, VaultKubernetesAuth, VaultKubernetesAuthArgs
from components.vault.kubernetes_role import DEFAULT_AUDIENCE
from components.vault.kv import VaultKv, VaultKvArgs
from components.workload_secrets import Claims

# Every cluster has these from its start: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
CLUSTERS_OWN = ("default", "kube-node-lease", "kube-public", "kube-system")


class ClusterArgs(TypedDict):
    """The cluster that the workloads run in."""

    issuer: str
    """Its OIDC issuer, https."""
    oidc_provider: NotRequired[OidcProviderMode]
    """`create` (default) the account's OIDC provider for it, or `adopt` one that exists."""


class VaultAddressArgs(TypedDict):
    """Vault, as the cluster reaches it."""

    address: str
    """Its https address."""
    ca_certificate: NotRequired[str]
    """PEM of the CA that signed its certificate; default the system's CAs."""
    audience: NotRequired[str]
    """The audience of the tokens that workloads log in with; default `vault`."""


class InjectorArgs(TypedDict):
    """The Vault Agent Injector, for the delivery `agent`."""

    replicas: NotRequired[int]
    """Webhook replicas; default 2."""
    namespaces: NotRequired[Sequence[str]]
    """Only pods in these namespaces are looked at; default the platform's."""
    alert: NotRequired[bool]
    """A PrometheusRule for pods that were passed over; needs the Prometheus Operator's CRDs. Default false."""


class SecretPlatformArgs(TypedDict):
    """Arguments of SecretPlatform."""

    account: AwsAccountArgs
    """The AWS account."""
    cluster: ClusterArgs
    """The cluster."""
    vault: VaultAddressArgs
    """Where Vault is."""
    namespaces: Sequence[str]
    """The namespaces that workloads may use; created."""
    database: VaultDatabaseEngineArgs
    """The database engine with its dynamic roles."""
    kubernetes_auth: NotRequired[VaultKubernetesAuthArgs]
    """How Vault checks service accounts; default a Vault inside of the cluster."""
    kv: NotRequired[VaultKvArgs]
    """The KV engine; default at `secret`."""
    audit_file: NotRequired[str]
    """Where Vault's audit device writes, a file of Vault's host or `stdout` (default); secrets in it are hashed. Empty: Vault's
    own configuration declares one, as OpenBao demands it."""
    operator: NotRequired[ExternalSecretsOperatorArgs]
    """External Secrets Operator."""
    injector: NotRequired[InjectorArgs]
    """Install the Vault Agent Injector, which the delivery `agent` needs; default none."""
    sealed_secrets: NotRequired[SealedSecretsControllerArgs]
    """Install the sealed-secrets controller, which the delivery `sealed` needs; default none."""
    sealing_certificate: NotRequired[str]
    """PEM of the controller's certificate, from `gitops sealed fetch-cert`; needed where values are sealed here."""
    repository: NotRequired[str]
    """The folder from which paths of sealed and SOPS files start; default the program's."""
    role_path: NotRequired[str]
    """The path of the workloads' IAM roles, such as `/workloads/`; default `/`."""
    role_prefix: NotRequired[str]
    """Put before the name of each IAM role, since an account may hold several stacks; default none."""
    permissions_boundary: NotRequired[str]
    """ARN of a policy that bounds every workload's IAM role; default none."""
    allow_immediate_deletion: NotRequired[bool]
    """Delete secrets in Secrets Manager without a recovery window; for throwaway environments only; default false."""
    tags: NotRequired[dict[str, str]]
    """Tags of everything in AWS."""


class SecretPlatform(pulumi.ComponentResource):
    """What all workloads share. It grants nothing: a grant comes with the Workload that declares it.

    Raises ComponentError before anything is created.
    """

    account: AwsAccountArgs
    vault: VaultAddressArgs
    issuer: str
    audiences: Sequence[str]
    """Of a workload's token for Vault; the first is the one that the role demands."""
    database: VaultDatabaseEngine
    kv: VaultKv
    auth: VaultKubernetesAuth
    operator: ExternalSecretsOperator
    oidc_provider: OidcProvider
    namespaces: Mapping[str, pulumi.Output[str]]
    """Each namespace's name, once it exists."""
    role_path: str
    role_prefix: str
    permissions_boundary: str
    allow_immediate_deletion: bool
    tags: dict[str, str]
    claims: Claims
    """What its workloads make."""

    def __init__(self, name: str, args: SecretPlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:index:SecretPlatform", name, {}, opts)
        self.account = checked(args["account"])
        self.vault = args["vault"]
        https_url(self.vault["address"], "vault: address")
        self.issuer = args["cluster"]["issuer"]
        self.role_path = args.get("role_path") or "/"
        self.role_prefix = args.get("role_prefix", "")
        self.permissions_boundary = args.get("permissions_boundary", "")
        self.allow_immediate_deletion = args.get("allow_immediate_deletion", False)
        self.tags = args.get("tags", {})
        self.claims = Claims()
        child = pulumi.ResourceOptions(parent=self)

        check_namespaces(args["namespaces"])
        self.namespaces = self._make_namespaces(name, args["namespaces"])
        self.oidc_provider = OidcProvider(
            f"{name}-oidc",
            {
                "account": self.account,
                "issuer": self.issuer,
                "mode": args["cluster"].get("oidc_provider", OidcProviderMode.CREATE),
                "tags": self.tags,
            },
            child,
        )
        audited = self._make_audit(name, args.get("audit_file", "stdout"))
        engines = pulumi.ResourceOptions(parent=self, depends_on=audited)
        self.database = VaultDatabaseEngine(f"{name}-database", args["database"], engines)
        self.kv = VaultKv(f"{name}-kv", args.get("kv", {}), engines)
        self.auth = VaultKubernetesAuth(f"{name}-auth", args.get("kubernetes_auth", {}), engines)
        self.operator = ExternalSecretsOperator(f"{name}-operator", args.get("operator", {}), child)
        self.injector = self._make_injector(name, args)
        self.sealing_certificate = args.get("sealing_certificate", "")
        self.repository = args.get("repository") or "."
        self.sealed_secrets: SealedSecretsController | None = None
        if "sealed_secrets" in args:
            self.sealed_secrets = SealedSecretsController(f"{name}-sealed-secrets", args["sealed_secrets"], child)
        audience = self.vault.get("audience", DEFAULT_AUDIENCE)
        # A Vault that reviews a token with the token itself needs one that the API server accepts as well.
        reviewing = [self.issuer] if self.auth.reviewer is ReviewerMode.CLIENT else []
        self.audiences = [audience, *reviewing]
        self.register_outputs({})

    def _make_audit(self, name: str, file: str) -> list[pulumi.Resource]:
        """The audit device: first, so that it has seen all that the stack does in Vault."""
        if not file:
            return []
        check_audit_file(file)
        return [
            vault.Audit(
                f"{name}-audit",
                type="file",
                path=f"{name}-{pulumi.get_stack()}",
                description="Who asked for what; values are hashed",
                options={"file_path": file, "log_raw": "false"},
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]

    def _make_injector(self, name: str, args: SecretPlatformArgs) -> VaultAgentInjector | None:
        if "injector" not in args:
            return None
        settings = args["injector"]
        return VaultAgentInjector(
            f"{name}-injector",
            {
                "vault_address": self.vault["address"],
                "vault_ca": self.vault.get("ca_certificate", ""),
                "replicas": settings.get("replicas", 2),
                "namespaces": settings.get("namespaces", args["namespaces"]),
                "alert": settings.get("alert", False),
            },
            pulumi.ResourceOptions(parent=self),
        )

    def _make_namespaces(self, name: str, namespaces: Sequence[str]) -> Mapping[str, pulumi.Output[str]]:
        made: dict[str, pulumi.Output[str]] = {}
        for namespace in namespaces:
            resource = k8s.core.v1.Namespace(
                f"{name}-{namespace}",
                metadata={"name": namespace, "labels": {"app.kubernetes.io/managed-by": "pulumi"}},
                opts=pulumi.ResourceOptions(parent=self),
            )
            made[namespace] = resource.metadata["name"]
        return made


def check_namespaces(namespaces: Sequence[str]) -> None:
    """Whether the platform can make, and later remove, these namespaces. Raises ArgumentError."""
    if not namespaces:
        raise ArgumentError("namespaces: none, so no workload has a place; give at least one")
    seen: set[str] = set()
    for namespace in namespaces:
        if dns_label(namespace, "namespaces") in seen:
            raise ArgumentError(f"namespaces: {namespace!r} is given twice")
        if namespace in CLUSTERS_OWN:
            raise ArgumentError(
                f"namespaces: {namespace!r} is the cluster's own, which the stack can neither make nor remove; "
                "give its workloads a namespace of theirs"
            )
        seen.add(namespace)


def check_audit_file(file: str) -> None:
    """Whether an audit device can write there. Raises ArgumentError."""
    if file not in ("", "stdout") and not file.startswith("/"):
        raise ArgumentError(f"audit_file: {file!r} is neither `stdout` nor an absolute path on Vault's host")
