"""A real OIDC issuer over HTTPS: signs service-account tokens and serves its discovery document and JWKS."""

from __future__ import annotations

import json
import ssl
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.servers.certificates import Authority


class Issuer:
    """Listens until ``close``. ``broken``: answer 500, as an issuer in trouble does."""

    def __init__(self, authority: Authority) -> None:
        self.broken = False
        self.key = rsa.generate_private_key(65537, 2048)
        self.key_id = uuid.uuid4().hex
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = issuer.documents().get(self.path)
                self.send_response(500 if issuer.broken else 200 if document else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(f"issuer-{uuid.uuid4().hex[:6]}"))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return self.url.removeprefix("https://")

    def documents(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        keys = {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}
        discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"/.well-known/openid-configuration": discovery, "/keys": keys}

    def token(
        self,
        subject: str,
        *,
        audience: str = "sts.amazonaws.com",
        lifetime: int = 600,
        key: Any = None,
        issuer: str | None = None,
        **more: Any,
    ) -> str:
        """A token as the API server makes it; ``key``: sign with another one."""
        now = int(time.time())
        _, _, namespace, account = subject.split(":")
        claims = {
            "iss": issuer or self.url,
            "sub": subject,
            "aud": [audience],
            "iat": now - 10,
            "nbf": now - 10,
            "exp": now + lifetime,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": "1"},
                "pod": {"name": f"{account}-0", "uid": "2"},
            },
            **more,
        }
        return jwt.encode(claims, key or self.key, algorithm="RS256", headers={"kid": self.key_id})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def authority(folder: Path) -> Authority:
    made = Authority(folder)
    made.load()
    return made
