"""Where the sandbox's servers listen: written by the servers, read by everyone else.

The file ``endpoints.json`` in the sandbox's state directory (mode 0700) is the one contract between the servers, the
providers, the stack runner and the tests. It names files that hold secrets, never the secrets themselves.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "endpoints.json"
SEALED_SECRETS_URL_FILE = "sealed-secrets-url"  # written while its controller runs: no Service reaches a host process


@dataclass(frozen=True, kw_only=True)
class Vault:
    """OpenBao, Vault's API, over TLS."""

    address: str  # https://127.0.0.1:PORT
    ca_file: str
    token_file: str  # the administrator's token

    @property
    def token(self) -> str:
        return Path(self.token_file).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """PostgreSQL with the application's database and the user that Vault administers it with."""

    host: str  # 127.0.0.1
    port: int
    database: str  # the application's database, "myapp"
    superuser: str  # "postgres"
    superuser_password_file: str
    admin_user: str  # "vault_admin": CREATEROLE, owner of the database; Vault's own user
    admin_password_file: str  # its first password; Vault rotates it

    @property
    def superuser_password(self) -> str:
        return Path(self.superuser_password_file).read_text(encoding="utf-8").strip()

    @property
    def admin_password(self) -> str:
        return Path(self.admin_password_file).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """etcd, kube-apiserver and kube-controller-manager with RBAC and a public OIDC issuer."""

    server: str  # https://127.0.0.1:PORT
    ca_file: str
    kubeconfig: str  # path of the administrator's kubeconfig (client certificate)
    issuer: str  # the service-account issuer, the same https URL; its discovery document and JWKS need no login


@dataclass(frozen=True, kw_only=True)
class Aws:
    """moto's server: IAM, STS, Secrets Manager, KMS, EKS, with IAM enforced."""

    endpoint_url: str  # http://127.0.0.1:PORT
    account_id: str  # 12 digits
    region: str  # us-east-1
    access_key_id: str  # the administrator's
    secret_access_key_file: str

    @property
    def secret_access_key(self) -> str:
        return Path(self.secret_access_key_file).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Every server of one sandbox."""

    state_dir: str
    vault: Vault
    postgres: Postgres
    kubernetes: Kubernetes
    aws: Aws

    @classmethod
    def load(cls, state_dir: Path) -> Endpoints:
        """Read the endpoints of the sandbox at ``state_dir``. Raises FileNotFoundError where none is set up."""
        data: dict[str, Any] = json.loads((state_dir / FILE).read_text(encoding="utf-8"))
        return cls(
            state_dir=data["state_dir"],
            vault=Vault(**data["vault"]),
            postgres=Postgres(**data["postgres"]),
            kubernetes=Kubernetes(**data["kubernetes"]),
            aws=Aws(**data["aws"]),
        )

    def save(self) -> None:
        """Write the file atomically, readable by its owner only."""
        target = Path(self.state_dir) / FILE
        temporary = target.with_suffix(".tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
        temporary.replace(target)

    @property
    def sealed_secrets_url(self) -> str | None:
        """Of the sealed-secrets controller's HTTP interface, while a release of it runs."""
        try:
            return (Path(self.state_dir) / SEALED_SECRETS_URL_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def env(self) -> dict[str, str]:
        """The environment with which kubectl, bao, aws, psql, Pulumi's providers and the dev stack talk to the sandbox.

        It holds credentials of the sandbox's administrator: hand it to a process, never to a log.
        """
        return {
            "STRONGROOM_SANDBOX": self.state_dir,
            "KUBECONFIG": self.kubernetes.kubeconfig,
            "KUBECACHEDIR": str(Path(self.state_dir) / "kube-cache"),
            "VAULT_ADDR": self.vault.address,
            "VAULT_CACERT": self.vault.ca_file,
            "VAULT_TOKEN": self.vault.token,
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.aws.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.aws.secret_access_key,
            "AWS_REGION": self.aws.region,
            "AWS_DEFAULT_REGION": self.aws.region,
            "AWS_ACCOUNT_ID": self.aws.account_id,
            "PGHOST": self.postgres.host,
            "PGPORT": str(self.postgres.port),
            "PGDATABASE": self.postgres.database,
            "PGUSER": self.postgres.superuser,
            "PGPASSWORD": self.postgres.superuser_password,
            "STRONGROOM_DB_ADMIN_USER": self.postgres.admin_user,
            "STRONGROOM_DB_ADMIN_PASSWORD": self.postgres.admin_password,
            "STRONGROOM_KUBERNETES_SERVER": self.kubernetes.server,
            "STRONGROOM_KUBERNETES_CA": self.kubernetes.ca_file,
            "STRONGROOM_OIDC_ISSUER": self.kubernetes.issuer,
            **({"SEALED_SECRETS_URL": url} if (url := self.sealed_secrets_url) else {}),
        }
