"""AWS for the sandbox: moto's server behind a gateway that enforces IAM, as one process on loopback.

What AWS would check is checked: signatures, identity and resource policies, boundaries, trust policies, web identity
tokens. State survives a restart and a kill, see ``snapshot``. The administrator's credentials are made at the first start and
kept in files of mode 0600. It speaks plain HTTP, which never leaves the machine; policies see ``aws:SecureTransport`` as true.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from sandbox.endpoints import Aws, Kubernetes
from sandbox.servers.files import Ports, private_folder, private_write
from sandbox.servers.managed import ManagedProcess

ACCOUNT = "123456789012"
REGION = "us-east-1"
CLUSTER = "sandbox"  # the EKS cluster that the sandbox's API server plays
CREDENTIALS = "credentials.json"


class AwsServer:
    """The server's process. ``kubernetes``: whose issuer the EKS cluster has, and whose authority its TLS is checked with."""

    def __init__(self, state_dir: Path, ports: Ports, kubernetes: Kubernetes) -> None:
        self.folder = private_folder(state_dir / "aws")
        self.address = f"http://127.0.0.1:{ports['aws']}"
        settings = {
            "folder": str(self.folder),
            "port": ports["aws"],
            "issuer": kubernetes.issuer,
            "server": kubernetes.server,
            "ca_file": kubernetes.ca_file,
        }
        file = private_write(self.folder / "settings.json", json.dumps(settings, indent=2))
        self._port = ports["aws"]
        private_folder(state_dir / "logs")
        root = Path(__file__).resolve().parents[3]
        self.process = ManagedProcess(
            "aws",
            [sys.executable, "-m", "sandbox.servers.aws", file],
            log=state_dir / "logs" / "aws.log",
            address=self.address,
            ready=self._answers,
            cwd=root,
        )

    async def _answers(self) -> bool:
        return await asyncio.to_thread(self._healthy)

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/_sandbox/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    async def start(self) -> Aws:
        """Start it; its first start makes the administrator's credentials."""
        await self.process.start()
        made = json.loads((self.folder / CREDENTIALS).read_text(encoding="utf-8"))
        secret = private_write(self.folder / "secret-access-key", made["secret"])
        return Aws(
            endpoint_url=self.address,
            account_id=ACCOUNT,
            region=REGION,
            access_key_id=made["id"],
            secret_access_key_file=str(secret),
        )
