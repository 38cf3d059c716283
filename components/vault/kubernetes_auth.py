"""Vault's Kubernetes auth method: how Vault finds out whose token it is shown."""

import base64
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_vault as vault

from components.errors import ArgumentError
from components.names import https_url, vault_path

DEFAULT_HOST = "https://kubernetes.default.svc"


class ReviewerMode(StrEnum):
    """With which identity Vault asks the API server whether a token is good (TokenReview).

    https://developer.hashicorp.com/vault/docs/auth/kubernetes#how-to-work-with-short-lived-kubernetes-tokens
    """

    LOCAL = "local"
    """Vault runs in this cluster and uses its own pod's token and CA, which it reads anew: nothing to store or rotate."""
    SERVICE_ACCOUNT = "service-account"
    """Vault runs elsewhere: a service account that may do nothing else, with a long-lived token kept in Vault."""
    TOKEN = "token"  # noqa: S105
    """Vault runs elsewhere and is given a reviewer token made by other means."""
    CLIENT = "client"
    """Vault runs elsewhere and reviews each token with the token itself: every client needs `system:auth-delegator`,
    and a token that the API server accepts too."""


class VaultKubernetesAuthArgs(TypedDict):
    """Arguments of VaultKubernetesAuth."""

    mount: NotRequired[str]
    """Where it is mounted, below `auth/`; default `kubernetes`."""
    kubernetes_host: NotRequired[str]
    """The API server as Vault reaches it; default `https://kubernetes.default.svc`."""
    ca_certificate: NotRequired[str]
    """The API server's CA, PEM; needed unless the reviewer is `local`."""
    reviewer: NotRequired[ReviewerMode]
    """Default `local`."""
    reviewer_token: NotRequired[pulumi.Input[str]]
    """The token of the reviewer `token`."""
    reviewer_token_version: NotRequired[int]
    """Raise it to write a changed `reviewer_token`; default 1."""
    reviewer_namespace: NotRequired[str]
    """Where the reviewer `service-account` lives; default `kube-system`."""


class VaultKubernetesAuth(pulumi.ComponentResource):
    """Login to Vault with a service account's token. Raises ArgumentError.

    Source: https://developer.hashicorp.com/vault/api-docs/auth/kubernetes
    """

    mount: str
    """Where it is mounted, below `auth/`."""
    ready: pulumi.Output[str]
    """The mount, once it is configured."""
    reviewer: ReviewerMode

    def __init__(self, name: str, args: VaultKubernetesAuthArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:KubernetesAuth", name, {}, opts)
        self.reviewer = check(args)
        self.mount = args.get("mount", "kubernetes")
        local = self.reviewer is ReviewerMode.LOCAL
        host = args.get("kubernetes_host", DEFAULT_HOST).rstrip("/")
        child = pulumi.ResourceOptions(parent=self)
        backend = vault.AuthBackend(f"{name}-backend", type="kubernetes", path=self.mount, opts=child)
        token: pulumi.Input[str] | None = None
        version: pulumi.Input[int] | None = None
        may_review: list[pulumi.Resource] = []
        if self.reviewer is ReviewerMode.TOKEN:
            token = pulumi.Output.secret(args["reviewer_token"])
            version = args.get("reviewer_token_version", 1)
        elif self.reviewer is ReviewerMode.SERVICE_ACCOUNT:
            token, version, binding = _reviewer_service_account(
                name, args.get("reviewer_namespace", "kube-system"), child
            )
            may_review = [binding]
        config = vault.kubernetes.AuthBackendConfig(
            f"{name}-config",
            backend=backend.path,
            kubernetes_host=host,
            kubernetes_ca_cert=None if local else args["ca_certificate"],
            token_reviewer_jwt_wo=token,
            token_reviewer_jwt_wo_version=version,
            disable_local_ca_jwt=not local,
            opts=pulumi.ResourceOptions(parent=self, depends_on=may_review),
        )
        self.ready = config.backend
        self.register_outputs({"mount": self.ready})


def _reviewer_service_account(
    name: str, namespace: str, child: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[int], pulumi.Resource]:
    """A service account that may review tokens and nothing else: its token, a number that changes with it, its right."""
    account_name = f"{name}-reviewer"
    account = k8s.core.v1.ServiceAccount(
        f"{name}-reviewer",
        metadata={"name": account_name, "namespace": namespace},
        automount_service_account_token=False,
        opts=child,
    )
    binding = k8s.rbac.v1.ClusterRoleBinding(
        f"{name}-reviewer-binding",
        metadata={"name": account_name},
        role_ref={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        subjects=[{"kind": "ServiceAccount", "name": account_name, "namespace": namespace}],
        opts=child,
    )
    # The one kind of token that does not end, which a Vault outside of the cluster needs: it cannot read a new one.
    token = k8s.core.v1.Secret(
        f"{name}-reviewer-token",
        metadata={
            "name": f"{account_name}-token",
            "namespace": namespace,
            "annotations": {
                "kubernetes.io/service-account.name": account_name,
                "pulumi.com/waitFor": "jsonpath={.data.token}",
            },
        },
        type="kubernetes.io/service-account-token",
        opts=pulumi.ResourceOptions(parent=child.parent, depends_on=[account], additional_secret_outputs=["data"]),
    )
    # With the id, which is unknown until the Secret is there: a preview knows the rest of the object, without what the
    # cluster adds.
    secret_data: pulumi.Output[Any] = pulumi.Output.secret(token.data)
    value = pulumi.Output.all(token.id, secret_data).apply(lambda found: _decoded(found[1]))
    version = pulumi.Output.all(token.id, token.metadata).apply(lambda found: int(found[1]["uid"][:8], 16) >> 1)
    return value, version, binding


def _decoded(data: Mapping[str, str]) -> str:
    return base64.b64decode(data["token"]).decode()


def check(args: VaultKubernetesAuthArgs) -> ReviewerMode:
    """The reviewer, where the arguments fit together. Raises ArgumentError."""
    vault_path(args.get("mount", "kubernetes"), "mount")
    https_url(args.get("kubernetes_host", DEFAULT_HOST), "kubernetes_host")
    try:
        mode = ReviewerMode(args.get("reviewer", ReviewerMode.LOCAL))
    except ValueError:
        known = ", ".join(ReviewerMode)
        raise ArgumentError(f"reviewer: {args['reviewer']!r} is unknown; expected one of {known}") from None
    if mode is ReviewerMode.LOCAL and args.get("ca_certificate"):
        raise ArgumentError(
            "ca_certificate, reviewer: a `local` reviewer reads CA and token from its own pod; leave ca_certificate out, "
            "or name the reviewer of a Vault outside of the cluster"
        )
    if mode is not ReviewerMode.LOCAL and not args.get("ca_certificate"):
        raise ArgumentError(f"ca_certificate: the reviewer {mode.value!r} needs the API server's CA as PEM; give it")
    if (mode is ReviewerMode.TOKEN) != ("reviewer_token" in args):
        raise ArgumentError("reviewer_token: it goes together with reviewer 'token'; give both or neither")
    return mode
