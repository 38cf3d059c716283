"""What a preview needs in place of servers: a provider that asks nobody, and a sandbox's endpoints where nothing listens."""

from __future__ import annotations

import secrets
from pathlib import Path

from pulumi.provider.experimental.provider import (
    ConfigureRequest,
    ConfigureResponse,
    InvokeRequest,
    InvokeResponse,
    Provider,
)

from sandbox.endpoints import Aws, Endpoints, Kubernetes, Postgres, Vault
from sandbox.servers.files import private_write

PACKAGES = ("aws", "kubernetes", "random", "vault")
PROVIDERS = (
    *(f"{package}=sandbox.offline:OfflineProvider" for package in PACKAGES),
    "sandbox.providers.dynamic:DynamicProvider",
)
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\n(no server, no certificate)\n-----END CERTIFICATE-----\n"


class OfflineProvider(Provider):
    """Takes every resource as it is asked for; all that a server would add is unknown. It only previews."""

    async def configure(self, request: ConfigureRequest) -> ConfigureResponse:
        del request
        # Without support for previews the engine takes the inputs for the outputs, and the rest for unknown.
        return ConfigureResponse(
            accept_secrets=True, supports_preview=False, accept_outputs=True, accept_resources=True
        )

    async def invoke(self, request: InvokeRequest) -> InvokeResponse:
        raise RuntimeError(
            f"{request.tok}: this function asks a server, and the check runs without any; pass its result in"
        )


def endpoints(folder: Path) -> Endpoints:
    """Endpoints as a sandbox's, in the private ``folder``, with drawn credentials that open nothing."""

    def file(name: str, content: str) -> str:
        path = folder / name
        private_write(path, content)
        return str(path)

    return Endpoints(
        state_dir=str(folder),
        vault=Vault(
            address="https://127.0.0.1:8200",
            ca_file=file("vault-ca.pem", _CERTIFICATE),
            token_file=file("vault-token", secrets.token_urlsafe(24)),
        ),
        postgres=Postgres(
            host="127.0.0.1",
            port=5432,
            database="myapp",
            superuser="postgres",
            superuser_password_file=file("postgres-password", secrets.token_urlsafe(24)),
            admin_user="vault_admin",
            admin_password_file=file("vault-admin-password", secrets.token_urlsafe(24)),
        ),
        kubernetes=Kubernetes(
            server="https://127.0.0.1:6443",
            ca_file=file("kubernetes-ca.pem", _CERTIFICATE),
            kubeconfig=str(folder / "kubeconfig"),
            issuer="https://127.0.0.1:6443",
        ),
        aws=Aws(
            endpoint_url="http://127.0.0.1:5000",
            account_id="123456789012",
            region="us-east-1",
            access_key_id="none",
            secret_access_key_file=file("aws-secret-access-key", secrets.token_urlsafe(24)),
        ),
    )
