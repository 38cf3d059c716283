"""Vault policies from typed rules: no HCL by hand, and no wildcard that was not asked for.

A rule names a path and what may be done with it. The functions make the rules of the engines of this kit, so that no caller
has to know that KV version 2 reads below ``data/``. Source: https://developer.hashicorp.com/vault/docs/concepts/policies
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NotRequired, TypedDict

import pulumi
import pulumi_vault as vault

from components.errors import ArgumentError, UnsafeError
from components.names import vault_name, vault_path


class Capability(StrEnum):
    """What a policy allows on a path."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    LIST = "list"
    SUDO = "sudo"
    DENY = "deny"


class PolicyRuleArgs(TypedDict):
    """One rule of a policy."""

    path: str
    """The path as the API has it, such as `database/creds/app-readwrite`."""
    capabilities: Sequence[Capability]
    """What is allowed, at least one."""
    allow_wildcard: NotRequired[bool]
    """Accept a `*` at the end or `+` as a part of the path; default false."""
    allow_sudo: NotRequired[bool]
    """Accept the capability `sudo` and paths below `sys/`; default false."""


def read_database_credentials(mount: str, role: str) -> PolicyRuleArgs:
    """May take a lease of one dynamic role."""
    return {
        "path": f"{vault_path(mount, 'mount')}/creds/{vault_name(role, 'role')}",
        "capabilities": [Capability.READ],
    }


def read_kv(mount: str, path: str) -> PolicyRuleArgs:
    """May read one secret of a KV version 2 engine; ``path`` is the secret's own, without ``data/``."""
    return {"path": kv_data_path(mount, path), "capabilities": [Capability.READ]}


def write_kv(mount: str, path: str) -> PolicyRuleArgs:
    """May write new versions of one secret, without reading any."""
    return {"path": kv_data_path(mount, path), "capabilities": [Capability.CREATE, Capability.UPDATE]}


def kv_data_path(mount: str, path: str) -> str:
    """``secret/data/production/payment-api`` for the secret ``production/payment-api``. Raises ArgumentError."""
    if path.startswith(("data/", "metadata/")):
        raise ArgumentError(f"path: {path!r} holds a part of the API; give the secret's own path, without data/")
    return f"{vault_path(mount, 'mount')}/data/{vault_path(path, 'path')}"


def render_policy(rules: Sequence[PolicyRuleArgs]) -> str:
    """The rules as a policy document, in the order of their paths. Raises UnsafeError, ArgumentError."""
    if not rules:
        raise ArgumentError("rules: a policy without a rule allows nothing; give at least one")
    merged: dict[str, set[Capability]] = {}
    for rule in rules:
        merged.setdefault(_checked_path(rule), set()).update(_capabilities(rule))
    blocks = []
    for path, capabilities in sorted(merged.items()):
        listed = ", ".join(f'"{item}"' for item in sorted(capabilities))
        blocks.append(f'path "{path}" {{\n  capabilities = [{listed}]\n}}\n')
    return "\n".join(blocks)


def _checked_path(rule: PolicyRuleArgs) -> str:
    path = rule["path"]
    plain = path
    if "*" in path or "+" in path:
        if not rule.get("allow_wildcard", False):
            raise UnsafeError(
                f"path: {path!r} holds a wildcard, so the policy grants paths that do not exist yet; "
                "name each path, or say allow_wildcard=True"
            )
        if "*" in path.removesuffix("*"):
            raise ArgumentError(f"path: {path!r} has a '*' that is not at its end, which Vault takes literally")
        plain = path.removesuffix("*").rstrip("/").replace("+", "x")
        if not plain:
            raise UnsafeError(f"path: {path!r} grants all of Vault; name the paths")
    vault_path(plain, "path")
    if plain.split("/")[0] == "sys" and not rule.get("allow_sudo", False):
        raise UnsafeError(f"path: {path!r} is an operator's; a workload has no use for it, or say allow_sudo=True")
    return path


def _capabilities(rule: PolicyRuleArgs) -> list[Capability]:
    try:
        found = [Capability(item) for item in rule["capabilities"]]
    except ValueError as error:
        known = ", ".join(Capability)
        raise ArgumentError(f"capabilities: {error} (path {rule['path']!r}); expected some of {known}") from None
    if not found:
        raise ArgumentError(f"capabilities: none for path {rule['path']!r}; give at least one")
    if Capability.SUDO in found and not rule.get("allow_sudo", False):
        raise UnsafeError(
            f"capabilities: sudo on {rule['path']!r} is an operator's; leave it out, or say allow_sudo=True"
        )
    return found


class VaultPolicyArgs(TypedDict):
    """Arguments of VaultPolicy."""

    policy_name: str
    """The policy's name."""
    rules: Sequence[PolicyRuleArgs]
    """What it allows, at least one rule."""


class VaultPolicy(pulumi.ComponentResource):
    """A policy of typed rules. Raises UnsafeError, ArgumentError."""

    policy_name: pulumi.Output[str]
    """The policy's name, once it exists."""
    document: str
    """What it says, known at preview."""

    def __init__(self, name: str, args: VaultPolicyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:Policy", name, {}, opts)
        self.document = render_policy(args["rules"])
        policy = vault.Policy(
            f"{name}-policy",
            name=vault_name(args["policy_name"], "policy_name"),
            policy=self.document,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.policy_name = policy.name
        self.register_outputs({"policyName": self.policy_name})
