"""A SOPS-encrypted file of the repository, delivered: to Vault KV, to Secrets Manager or as a Kubernetes Secret."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_vault as vault

from components.sealing import SECRET_KEY
from components.sops.decrypt import SopsFileError, decrypt


class SopsVaultKvTarget(TypedDict):
    """A KV version 2 secret in Vault."""

    mount: pulumi.Input[str]
    """The KV mount, e.g. `secret`."""
    path: str
    """The secret's path below the mount, without `data/`."""


class SopsSecretsManagerTarget(TypedDict):
    """A secret in AWS Secrets Manager that exists already."""

    secret_id: pulumi.Input[str]
    """The secret's ARN or name."""


class SopsKubernetesTarget(TypedDict):
    """A Kubernetes Secret. Prefer Vault KV with an ExternalSecret: a Secret made here is rewritten only at `up`."""

    namespace: pulumi.Input[str]
    """The Secret's namespace."""
    name: str
    """The Secret's name."""


class SopsFileArgs(TypedDict):
    """Arguments of SopsFile: the file and at least one place to deliver it to."""

    path: str
    """The encrypted file: yaml, json, dotenv, ini, or any other as one binary value under the key `data`."""
    vault_kv: NotRequired[SopsVaultKvTarget]
    """Deliver to Vault KV: every key of the file becomes a key of the secret."""
    secrets_manager: NotRequired[SopsSecretsManagerTarget]
    """Deliver to Secrets Manager: the whole content as one JSON document."""
    kubernetes: NotRequired[SopsKubernetesTarget]
    """Deliver as a Kubernetes Secret: texts as they are, anything else as JSON."""


class SopsFile(pulumi.ComponentResource):
    """What an encrypted file in git holds, as secrets of Pulumi from the first line and delivered where it is read.

    ``sops`` must be on the PATH with a key that opens the file; see ``components.sops.decrypt``. No plaintext reaches the
    disk, an argument list, a preview or plain state. Raises SopsError, and SopsFileError for a missing target.
    """

    values: pulumi.Output[Mapping[str, Any]]
    """The content, secret."""

    def __init__(self, name: str, args: SopsFileArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:sops:SopsFile", name, {}, opts)
        targets = [key for key in ("vault_kv", "secrets_manager", "kubernetes") if key in args]
        if not targets:
            raise SopsFileError(
                f"{name}: nowhere to deliver {args['path']} to; give vault_kv, secrets_manager or kubernetes"
            )
        content = decrypt(Path(args["path"]))
        if "kubernetes" in args and (bad := sorted(key for key in content if not SECRET_KEY.fullmatch(key))):
            raise SopsFileError(
                f"{args['path']}: a Kubernetes Secret cannot have the keys {', '.join(map(repr, bad))}; "
                "expected letters, digits, '-', '_' and '.'"
            )
        self.values = pulumi.Output.secret(content)
        document = pulumi.Output.secret(json.dumps(content, sort_keys=True, ensure_ascii=False))
        child = pulumi.ResourceOptions(parent=self)
        if "vault_kv" in args:
            target = args["vault_kv"]
            vault.kv.SecretV2(
                f"{name}-kv",
                mount=target["mount"],
                name=target["path"],
                data_json=document,
                delete_all_versions=True,
                opts=child,
            )
        if "secrets_manager" in args:
            aws.secretsmanager.SecretVersion(
                f"{name}-version",
                secret_id=args["secrets_manager"]["secret_id"],
                secret_string_wo=document,
                secret_string_wo_version=pulumi.Output.secret(content_version(content)),
                opts=child,
            )
        if "kubernetes" in args:
            place = args["kubernetes"]
            k8s.core.v1.Secret(
                f"{name}-secret",
                metadata={"name": place["name"], "namespace": place["namespace"]},
                data=pulumi.Output.secret({key: _base64(value) for key, value in content.items()}),
                opts=child,
            )
        self.register_outputs({"path": args["path"]})


def content_version(content: Mapping[str, Any]) -> int:
    """A number that changes with the content, for write-only inputs, which have nothing else to compare by.

    The ciphertext's own authentication would do, but it changes at every re-encryption. It is a hash of the values, with
    which a guess could be confirmed, so hand it on as a secret only.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _base64(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return base64.b64encode(text.encode()).decode()
