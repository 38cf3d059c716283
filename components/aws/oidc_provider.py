"""The account's OIDC provider for a cluster: created, or adopted where it exists."""

from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.account import AwsAccountArgs
from components.aws.documents import STS_AUDIENCE, issuer_host, oidc_provider_arn
from components.errors import ArgumentError


class OidcProviderMode(StrEnum):
    """Whether the provider is this stack's or was there before (EKS modules often create it with the cluster)."""

    CREATE = "create"
    ADOPT = "adopt"


class OidcProviderArgs(TypedDict):
    """Arguments of OidcProvider."""

    account: AwsAccountArgs
    """The account that trusts the cluster."""
    issuer: str
    """The cluster's issuer URL, https."""
    mode: NotRequired[OidcProviderMode]
    """`create` (default), or `adopt` one that exists: it is looked up, never changed and never deleted."""
    tags: NotRequired[dict[str, str]]
    """Tags of a created one."""


class OidcProvider(pulumi.ComponentResource):
    """What lets IAM verify tokens that the cluster signed. There is one for each issuer in an account.

    Raises ArgumentError. Source: https://docs.aws.amazon.com/eks/latest/userguide/enable-iam-roles-for-service-accounts.html
    """

    arn: str
    """The provider's ARN, which follows from account and issuer."""

    def __init__(self, name: str, args: OidcProviderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:aws:OidcProvider", name, {}, opts)
        issuer_host(args["issuer"])
        self.arn = oidc_provider_arn(args["account"], args["issuer"])
        child = pulumi.ResourceOptions(parent=self)
        try:
            mode = OidcProviderMode(args.get("mode", OidcProviderMode.CREATE))
        except ValueError:
            raise ArgumentError(f"mode: {args['mode']!r} is unknown; expected 'create' or 'adopt'") from None
        if mode is OidcProviderMode.CREATE:
            aws.iam.OpenIdConnectProvider(
                f"{name}-provider",
                url=args["issuer"],
                client_id_lists=[STS_AUDIENCE],
                tags=args.get("tags", {}),
                opts=child,
            )
        else:
            aws.iam.OpenIdConnectProvider.get(f"{name}-provider", self.arn, opts=child)
        self.register_outputs({"arn": self.arn})
