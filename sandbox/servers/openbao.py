"""OpenBao: TLS, persistent storage, initialised and unsealed; never in dev mode.

One unseal key and the administrator's token are kept in files of mode 0600. An audit log, values hashed, is next to its data.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import httpx

from sandbox.endpoints import Vault
from sandbox.servers.certificates import Authority
from sandbox.servers.errors import ServerFailed
from sandbox.servers.files import Ports, private_folder, private_write
from sandbox.servers.managed import ManagedProcess
from sandbox.toolchain.paths import wheel_binary

ACTIVE_SECONDS = 60.0  # from unsealed to having elected itself
SEALED_CODES = (200, 429, 472, 473, 501, 503)  # sys/health: it answers, in whatever state


class OpenBao:
    """The server and what initialises it."""

    def __init__(self, state_dir: Path, ports: Ports, authority: Authority) -> None:
        self.folder = private_folder(state_dir / "vault")
        self.address = f"https://127.0.0.1:{ports['vault']}"
        self._cluster = f"127.0.0.1:{ports['vault-cluster']}"
        self._authority = authority
        self._token_file = self.folder / "root-token"
        self._unseal_file = self.folder / "unseal-key"
        certificate, key = authority.issue("vault")
        listener = {
            "address": self.address.removeprefix("https://"),
            "cluster_address": self._cluster,
            "tls_cert_file": str(certificate),
            "tls_key_file": str(key),
        }
        config = {
            "storage": {
                "raft": {
                    "path": str(private_folder(self.folder / "data")),
                    "node_id": "sandbox",
                    "performance_multiplier": 1,  # a lone node elects itself without a long wait
                }
            },
            "listener": {"tcp": listener},
            "api_addr": self.address,
            "cluster_addr": f"https://{self._cluster}",
            "ui": False,
            # The server's own, as OpenBao takes audit devices by configuration only.
            "audit": {
                "file": {
                    "sandbox": {
                        "description": "every request, values hashed",  # without it the parser takes `options` for a name
                        "options": {"file_path": str(self.folder / "audit.log")},
                    }
                }
            },
        }
        private_write(self.folder / "config.json", json.dumps(config, indent=2))
        self._client = httpx.AsyncClient(
            base_url=f"{self.address}/v1/",
            verify=ssl.create_default_context(cafile=authority.certificate_file),
            timeout=10,
            trust_env=False,
        )
        self.process = ManagedProcess(
            "vault",
            [wheel_binary("bao"), "server", f"-config={self.folder / 'config.json'}"],
            log=state_dir / "logs" / "vault.log",
            address=self.address,
            ready=self._answers,
            health=self._health,
        )

    async def _answers(self) -> bool:
        try:
            return (await self._client.get("sys/health")).status_code in SEALED_CODES
        except httpx.HTTPError:
            return False

    async def _health(self) -> str:
        """As its own health check says it: only an active, unsealed server is well."""
        try:
            code = (await self._client.get("sys/health")).status_code
        except httpx.HTTPError as error:
            return f"does not answer: {error}"
        return {200: "", 501: "is not initialised", 503: "is sealed: `python -m sandbox up` unseals it"}.get(
            code, f"answers its health check with HTTP {code}"
        )

    async def unseal_if_sealed(self) -> None:
        """Unseal a running server that was sealed since."""
        if (await self._client.get("sys/health")).status_code == 503:
            await self._unseal()

    async def start(self) -> Vault:
        """Start, initialise at the first time, unseal."""
        await self.process.start()
        if not self._token_file.exists():
            answer = await self._put("sys/init", {"secret_shares": 1, "secret_threshold": 1})
            private_write(self._unseal_file, answer["keys_base64"][0])
            private_write(self._token_file, answer["root_token"])
        await self._unseal()
        return Vault(
            address=self.address, ca_file=str(self._authority.certificate_file), token_file=str(self._token_file)
        )

    async def _unseal(self) -> None:
        await self._put("sys/unseal", {"key": self._unseal_file.read_text(encoding="utf-8")})
        for _ in range(int(ACTIVE_SECONDS / 0.05)):
            if (await self._client.get("sys/health")).status_code == 200:
                return
            await asyncio.sleep(0.05)
        raise ServerFailed(f"vault was unsealed, but did not become active within {ACTIVE_SECONDS:.0f} s")

    async def _put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._client.put(path, json=body, timeout=60)
        if answer.is_error:
            raise ServerFailed(f"vault refused {path}: HTTP {answer.status_code} {answer.text.strip()}")
        result: dict[str, Any] = answer.json()
        return result


def seal(vault: Vault) -> None:
    """Seal it, as an operator would in an emergency: nothing can be read until ``unseal``."""
    _request(vault, "sys/seal", {}, vault.token)


def unseal(state_dir: Path, vault: Vault) -> None:
    """Unseal it with the sandbox's own key."""
    _request(vault, "sys/unseal", {"key": (state_dir / "vault" / "unseal-key").read_text(encoding="utf-8")}, None)


def _request(vault: Vault, path: str, body: dict[str, Any], token: str | None) -> None:
    context = ssl.create_default_context(cafile=vault.ca_file)
    headers = {"X-Vault-Token": token} if token else {}
    httpx.put(f"{vault.address}/v1/{path}", json=body, headers=headers, verify=context, timeout=60).raise_for_status()
