"""The API server's way to pods. What plays a pod listens on loopback, which Kubernetes refuses as an address of pods.

So such a pod's address is ``POD_ADDRESS``, which is routed nowhere, and the API server dials through this proxy (HTTP CONNECT;
https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/), which connects to the same port on loopback, whatever
the address. With it a Service's proxy works as in a cluster, and the API server reaches nothing outside of this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any

from sandbox.servers.certificates import Authority

POD_ADDRESS = "192.0.2.1"  # RFC 5737: for documentation
_HEAD_SECONDS = 10.0


class PodNetwork:
    """The proxy, in the supervisor's own event loop; for the API server's client certificate only."""

    def __init__(self, port: int, authority: Authority) -> None:
        self._port = port
        self._ca_file = authority.certificate_file
        self._certificate, self._key = authority.issue("pod-network")
        self._server: asyncio.Server | None = None

    def egress_configuration(self) -> dict[str, Any]:
        """The API server's ``--egress-selector-config-file``."""
        pair = {"clientCert": str(self._certificate), "clientKey": str(self._key)}
        tls = {"caBundle": str(self._ca_file), **pair}
        transport = {"tcp": {"url": f"https://127.0.0.1:{self._port}", "tlsConfig": tls}}
        connection = {"proxyProtocol": "HTTPConnect", "transport": transport}
        return {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": connection}],
        }

    async def start(self) -> None:
        if self._server is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self._ca_file)
            context.load_cert_chain(self._certificate, self._key)
            context.verify_mode = ssl.CERT_REQUIRED
            self._server = await asyncio.start_server(_serve, "127.0.0.1", self._port, ssl=context)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _HEAD_SECONDS)
        method, _, target = head.split(b"\r\n")[0].decode("ascii").partition(" ")
        port = target.split(" ")[0].rpartition(":")[2]
        if method != "CONNECT" or not port.isdecimal():
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    except (OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
