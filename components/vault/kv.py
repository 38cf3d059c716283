"""A KV version 2 engine, and single secrets in it."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict

import pulumi
import pulumi_vault as vault

from components.errors import ArgumentError
from components.names import vault_path
from components.vault.policies import PolicyRuleArgs, kv_data_path, read_kv, write_kv


class VaultKvArgs(TypedDict):
    """Arguments of VaultKv."""

    mount: NotRequired[str]
    """Where it is mounted; default `secret`."""
    max_versions: NotRequired[int]
    """How many versions of a secret are kept; default 10."""
    description: NotRequired[str]
    """What it is for."""


class VaultKv(pulumi.ComponentResource):
    """A KV version 2 engine. Raises ArgumentError. Source: https://developer.hashicorp.com/vault/docs/secrets/kv/kv-v2."""

    mount: str
    """Where it is mounted, known at preview."""
    mount_path: pulumi.Output[str]
    """The same, once it exists and is configured."""

    def __init__(self, name: str, args: VaultKvArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:Kv", name, {}, opts)
        self.mount = vault_path(args.get("mount", "secret"), "mount")
        versions = args.get("max_versions", 10)
        if versions < 1:
            raise ArgumentError(f"max_versions: {versions} keeps no version; expected at least 1")
        child = pulumi.ResourceOptions(parent=self)
        engine = vault.Mount(
            f"{name}-mount",
            path=self.mount,
            type="kv",
            options={"version": "2"},
            description=args.get("description", "Static secrets of workloads"),
            opts=child,
        )
        config = vault.kv.SecretBackendV2(f"{name}-config", mount=engine.path, max_versions=versions, opts=child)
        self.mount_path = config.mount
        self.register_outputs({"mount": self.mount_path})

    def reader(self, path: str) -> PolicyRuleArgs:
        """The rule that lets a policy read exactly one secret."""
        return read_kv(self.mount, path)

    def writer(self, path: str) -> PolicyRuleArgs:
        """The rule that lets a policy write exactly one secret, without reading it."""
        return write_kv(self.mount, path)


class VaultKvSecretArgs(TypedDict):
    """Arguments of VaultKvSecret."""

    mount: pulumi.Input[str]
    """The engine, such as the `mount_path` of a VaultKv."""
    path: str
    """The secret's path below the mount, without `data/`."""
    value: Mapping[str, pulumi.Input[str]]
    """Keys and values; written by write-only input."""
    value_version: NotRequired[int]
    """Raise it to write a changed `value`, which a write-only input cannot notice by itself; default 1."""


class VaultKvSecret(pulumi.ComponentResource):
    """One KV secret with its value, all versions of which go with it. Raises ArgumentError."""

    path: str
    """The secret's path below the mount."""

    def __init__(self, name: str, args: VaultKvSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:vault:KvSecret", name, {}, opts)
        self.path = args["path"]
        kv_data_path("mount", self.path)  # checks the form
        if not args["value"]:
            raise ArgumentError("value: it is empty; give keys and values")
        vault.kv.SecretV2(
            f"{name}-secret",
            mount=args["mount"],
            name=self.path,
            data_json_wo=pulumi.Output.json_dumps(pulumi.Output.secret(dict(args["value"])), sort_keys=True),
            data_json_wo_version=args.get("value_version", 1),
            delete_all_versions=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"path": self.path})
