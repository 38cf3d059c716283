"""Where External Secrets reads: a namespace's own stores, each with one workload's identity."""

import base64
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.errors import ArgumentError
from components.names import dns_name, https_url

API_VERSION = "external-secrets.io/v1"
WAIT_SECONDS = 180


class VaultLoginArgs(TypedDict):
    """How the operator logs in to Vault for a workload: with a token of the workload's own service account."""

    address: str
    """Vault's https address as the operator reaches it."""
    ca_certificate: NotRequired[str]
    """PEM of the CA that signed Vault's certificate; default the system's CAs."""
    auth_mount: pulumi.Input[str]
    """The Kubernetes auth method's mount, without `auth/`."""
    role_name: pulumi.Input[str]
    """The role to log in to."""
    service_account: pulumi.Input[str]
    """The service account whose token is made for it."""
    audiences: Sequence[str]
    """The token's audiences, at least one; the role's must be among them."""


def vault_provider(login: VaultLoginArgs) -> dict[str, Any]:
    """The `provider.vault` of a store, or the `provider` of a VaultDynamicSecret, without a path. Raises ArgumentError."""
    if not login["audiences"]:
        raise ArgumentError("audiences: empty, so the token would be good for the API server; name Vault's audience")
    provider: dict[str, Any] = {
        "server": https_url(login["address"], "address"),
        "auth": {
            "kubernetes": {
                "mountPath": login["auth_mount"],
                "role": login["role_name"],
                "serviceAccountRef": {"name": login["service_account"], "audiences": list(login["audiences"])},
            }
        },
    }
    if login.get("ca_certificate"):
        provider["caBundle"] = base64.b64encode(login["ca_certificate"].encode()).decode()
    return provider


class VaultSecretStoreArgs(TypedDict):
    """Arguments of VaultSecretStore."""

    namespace: pulumi.Input[str]
    """The namespace that it serves."""
    login: VaultLoginArgs
    """How it logs in."""
    kv_mount: pulumi.Input[str]
    """The KV version 2 engine that it reads."""
    store_name: NotRequired[str]
    """Default `vault`."""


class VaultSecretStore(pulumi.ComponentResource):
    """A SecretStore of one namespace on Vault's KV, with one workload's role. Raises ArgumentError."""

    store_name: pulumi.Output[str]
    """The store's name, once it is ready."""

    def __init__(self, name: str, args: VaultSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:VaultSecretStore", name, {}, opts)
        provider = {**vault_provider(args["login"]), "path": args["kv_mount"], "version": "v2"}
        self.store_name = _store(self, name, args["namespace"], args.get("store_name", "vault"), {"vault": provider})
        self.register_outputs({"storeName": self.store_name})


class AwsSecretStoreArgs(TypedDict):
    """Arguments of AwsSecretStore."""

    namespace: pulumi.Input[str]
    """The namespace that it serves."""
    region: str
    """The region of the secrets."""
    service_account: pulumi.Input[str]
    """The service account with the annotation `eks.amazonaws.com/role-arn`; its token is exchanged at STS."""
    store_name: NotRequired[str]
    """Default `aws`."""


class AwsSecretStore(pulumi.ComponentResource):
    """A SecretStore of one namespace on Secrets Manager, with one workload's role (IRSA). Raises ArgumentError."""

    store_name: pulumi.Output[str]
    """The store's name, once it is ready."""

    def __init__(self, name: str, args: AwsSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:AwsSecretStore", name, {}, opts)
        # No audiences: the operator asks for sts.amazonaws.com by itself, and one more would widen the token.
        provider = {
            "service": "SecretsManager",
            "region": args["region"],
            "auth": {"jwt": {"serviceAccountRef": {"name": args["service_account"]}}},
        }
        self.store_name = _store(self, name, args["namespace"], args.get("store_name", "aws"), {"aws": provider})
        self.register_outputs({"storeName": self.store_name})


def waiting() -> dict[str, str]:
    """Annotations with which `up` waits until the object is ready, and fails with its own message if it is not."""
    return {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": str(WAIT_SECONDS)}


def _store(
    parent: pulumi.Resource, name: str, namespace: pulumi.Input[str], store_name: str, provider: dict[str, Any]
) -> pulumi.Output[str]:
    store = k8s.apiextensions.CustomResource(
        f"{name}-store",
        api_version=API_VERSION,
        kind="SecretStore",
        metadata={
            "name": dns_name(store_name, "store_name"),
            "namespace": namespace,
            "annotations": waiting(),
        },
        spec={"provider": provider},
        opts=pulumi.ResourceOptions(parent=parent),
    )
    ready: pulumi.Output[str] = store.metadata["name"]
    return ready
