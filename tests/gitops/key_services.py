"""The three kinds of keys that SopsFile is tested with, each on its real server."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import boto3
import httpx
import pyrage

from sandbox import servers
from sandbox.toolchain.paths import wheel_binary

KINDS = ("age", "kms", "transit")


class KeyServices:
    """Keys, and clients that read what was delivered."""

    def __init__(self, state_dir: Path, parts: servers.Parts) -> None:
        assert parts.vault is not None
        assert parts.aws is not None
        assert parts.kubernetes is not None
        self.endpoint, self.aws, self.kubernetes = parts.vault, parts.aws, parts.kubernetes
        self.state_dir = state_dir
        self._session = boto3.Session(
            aws_access_key_id=self.aws.access_key_id,
            aws_secret_access_key=self.aws.secret_access_key,
            region_name=self.aws.region,
        )
        self._vault = httpx.Client(
            base_url=f"{self.endpoint.address}/v1/",
            headers={"X-Vault-Token": self.endpoint.token},
            verify=ssl.create_default_context(cafile=self.endpoint.ca_file),
            timeout=60,
            trust_env=False,
        )
        self._age_file = state_dir / "sops-age-key.txt"
        identity = pyrage.x25519.Identity.generate()
        self._age_file.write_text(f"{identity}\n")
        self._vault.post("sys/mounts/sops-transit", json={"type": "transit"}).raise_for_status()
        self._vault.post("sops-transit/keys/files", json={}).raise_for_status()
        self.recipients = {
            "age": str(identity.to_public()),
            "kms": self.client("kms").create_key()["KeyMetadata"]["Arn"],
            "transit": f"{self.endpoint.address}/v1/sops-transit/keys/files",
        }

    def close(self) -> None:
        self._vault.close()

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self.aws.endpoint_url)  # type: ignore[call-overload]

    def environment(self, kind: str | None = None) -> dict[str, str]:
        """Of the stack's providers, and of sops: with the key of one kind alone where ``kind`` names it."""
        found = {
            "KUBECONFIG": self.kubernetes.kubeconfig,
            "KUBECACHEDIR": str(self.state_dir / "kube-cache"),
            "VAULT_ADDR": self.endpoint.address,
            "VAULT_CACERT": self.endpoint.ca_file,
            "VAULT_TOKEN": self.endpoint.token,
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.aws.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.aws.secret_access_key,
            "AWS_REGION": self.aws.region,
            "AWS_DEFAULT_REGION": self.aws.region,
        }
        return {**found, **({"SOPS_AGE_KEY_FILE": str(self._age_file)} if kind in (None, "age") else {})}

    def kv(self, mount: str, path: str) -> Any:
        """What Vault's KV engine has there."""
        answer = self._vault.get(f"{mount}/data/{path}")
        answer.raise_for_status()
        return answer.json()["data"]["data"]

    def vault(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        answer = self._vault.request(method, path, json=body)
        answer.raise_for_status()
        return answer

    def kubectl(self, *arguments: str) -> str:
        return subprocess.run(
            [str(wheel_binary("kubectl")), *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
