"""A role of the Kubernetes auth method: one service account, one audience, short tokens."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_vault as vault

from components.durations import parse_duration
from components.errors import ArgumentError, LifetimeError, UnsafeError
from components.names import dns_label, dns_name, vault_name

DEFAULT_AUDIENCE = "vault"
LONGEST_TOKEN = "24h"  # noqa: S105 - a duration


class VaultKubernetesRoleArgs(TypedDict):
    """Arguments of VaultKubernetesRole."""

    auth_mount: pulumi.Input[str]
    """The auth method, such as the `ready` of a VaultKubernetesAuth."""
    role_name: str
    """The role's name."""
    namespace: str
    """The service account's namespace, exactly."""
    service_account: str
    """The service account's name, exactly."""
    policies: Sequence[pulumi.Input[str]]
    """The policies of its tokens, at least one."""
    audience: NotRequired[str]
    """The audience that a token must have; default `vault`."""
    token_ttl: NotRequired[str]
    """How long a token lives; default `1h`. A lease ends with the token that took it."""
    token_max_ttl: NotRequired[str]
    """How long it can be renewed to; default `token_ttl`."""
    allow_any_audience: NotRequired[bool]
    """Accept an empty `audience`, with which a token made for another system logs in too; default false."""
    allow_long_tokens: NotRequired[bool]
    """Accept a `token_max_ttl` above 24 hours; default false."""


class VaultKubernetesRole(pulumi.ComponentResource):
    """Which service account logs in, with which token, to which policies: exactly one. Raises UnsafeError and others."""

    role_name: pulumi.Output[str]
    """The role's name, once it exists."""

    def __init__(self, name: str, args: VaultKubernetesRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:KubernetesRole", name, {}, opts)
        ttl, max_ttl = check(args)
        role = vault.kubernetes.AuthBackendRole(
            f"{name}-role",
            backend=args["auth_mount"],
            role_name=args["role_name"],
            bound_service_account_names=[args["service_account"]],
            bound_service_account_namespaces=[args["namespace"]],
            audience=args.get("audience", DEFAULT_AUDIENCE) or None,
            token_policies=list(args["policies"]),
            token_ttl=ttl,
            token_max_ttl=max_ttl,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.role_name = role.role_name
        self.register_outputs({"roleName": self.role_name})


def check(args: VaultKubernetesRoleArgs) -> tuple[int, int]:
    """TTL and maximum TTL in seconds, where all arguments fit. Raises UnsafeError, ArgumentError and others."""
    role_name = vault_name(args["role_name"], "role_name")
    for argument in ("namespace", "service_account"):
        if "*" in str(args[argument]):
            raise UnsafeError(f"{argument}: '*' lets every workload log in as {role_name!r}; name one service account")
    dns_name(args["service_account"], "service_account")
    dns_label(args["namespace"], "namespace")
    if not args.get("audience", DEFAULT_AUDIENCE) and not args.get("allow_any_audience", False):
        raise UnsafeError(
            "audience: it is empty, so a token made for another system logs in too; name one, "
            "or say allow_any_audience=True"
        )
    if not args["policies"]:
        raise ArgumentError(f"policies: {role_name!r} has none, so its tokens may do nothing; give at least one")
    return _token_ttls(args)


def _token_ttls(args: VaultKubernetesRoleArgs) -> tuple[int, int]:
    text = args.get("token_ttl", "1h")
    max_text = args.get("token_max_ttl", text)
    ttl, max_ttl = parse_duration(text, "token_ttl"), parse_duration(max_text, "token_max_ttl")
    if ttl > max_ttl:
        raise LifetimeError(
            f"token_ttl {text!r} is longer than token_max_ttl {max_text!r}; raise token_max_ttl or lower token_ttl"
        )
    if max_ttl > parse_duration(LONGEST_TOKEN, "token_max_ttl") and not args.get("allow_long_tokens", False):
        raise UnsafeError(
            f"token_max_ttl: {max_text!r} is longer than {LONGEST_TOKEN}; lower it, or say allow_long_tokens=True"
        )
    return ttl, max_ttl
