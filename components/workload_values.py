"""The values behind a workload's secrets that the stack itself puts where they are read: in KV and in Secrets Manager."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pulumi
import pulumi_random as random

from components.aws.managed_secret import ManagedSecret, ManagedSecretArgs
from components.aws.secret_reader import GrantedSecretArgs
from components.platform import SecretPlatform
from components.sops.sops_file import SopsFile
from components.vault.kv import VaultKvSecret
from components.workload_secrets import WorkloadSecretArgs

GENERATED_LENGTH = 32


class WorkloadValues:
    """Makes the values of one workload."""

    def __init__(self, name: str, platform: SecretPlatform, child: pulumi.ResourceOptions) -> None:
        self._name = name
        self._platform = platform
        self._child = child

    def stored(
        self, secrets: Sequence[WorkloadSecretArgs], kv_path: Callable[[WorkloadSecretArgs], str | None]
    ) -> tuple[Mapping[str, pulumi.Resource], Sequence[GrantedSecretArgs]]:
        """What is kept in KV and Secrets Manager, by the name of the secret; and what the workload may read of the latter."""
        stored: dict[str, pulumi.Resource] = {}
        granted: list[GrantedSecretArgs] = []
        for secret in secrets:
            path = kv_path(secret)
            if "sops_file" in secret:
                stored[secret["name"]] = self._from_file(secret, str(path))
            elif path is not None and secret.get("generate"):
                stored[secret["name"]] = VaultKvSecret(
                    f"{self._name}-{secret['name']}-value",
                    {"mount": self._platform.kv.mount_path, "path": path, "value": self.generated(secret)},
                    self._child,
                )
            elif "aws_secret" in secret:
                grant: GrantedSecretArgs = {"name": secret["aws_secret"]}
                if not secret.get("existing", False):
                    managed = self._managed(secret)
                    stored[secret["name"]] = managed
                    grant["kms_key_arn"] = managed.kms_key_arn
                elif "kms_key_arn" in secret:
                    grant["kms_key_arn"] = secret["kms_key_arn"]
                granted.append(grant)
        return stored, granted

    def _from_file(self, secret: WorkloadSecretArgs, path: str) -> SopsFile:
        return SopsFile(
            f"{self._name}-{secret['name']}-file",
            {
                "path": str(Path(self._platform.repository) / secret["sops_file"]),
                "vault_kv": {"mount": self._platform.kv.mount_path, "path": path},
            },
            self._child,
        )

    def _managed(self, secret: WorkloadSecretArgs) -> ManagedSecret:
        platform = self._platform
        arguments: ManagedSecretArgs = {
            "account": platform.account,
            "secret_name": secret["aws_secret"],
            "allow_immediate_deletion": platform.allow_immediate_deletion,
            # What another system issues has no rotation of its own; the policy pack asks who sees to it.
            "tags": {"strongroom:rotated-by": "stack" if secret.get("generate") else "owner", **platform.tags},
        }
        if secret.get("generate"):
            arguments["value"] = self.generated(secret)
        return ManagedSecret(f"{self._name}-{secret['name']}-value", arguments, self._child)

    def generated(self, secret: WorkloadSecretArgs) -> Mapping[str, pulumi.Output[str]]:
        """Random values for the keys of `generate`, drawn once."""
        return {
            key: random.RandomPassword(
                f"{self._name}-{secret['name']}-{key}", length=GENERATED_LENGTH, special=False, opts=self._child
            ).result
            for key in secret["generate"]
        }
