"""What the agent tests stand on: OpenBao with Kubernetes auth, a database engine and KV, and pods' objects in the cluster."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from components.vault.agent_injection import Injection, inject
from sandbox import servers
from sandbox.toolchain.paths import wheel_binary
from tests.waiting import until

APPLICATION = Path(__file__).with_name("application.py")
NAMESPACE = "agent-tests"
ACCOUNT = "payment-api"


class Platform:
    """What a platform team would have set up, and the objects of application teams."""

    def __init__(self, state_dir: Path, parts: servers.Parts) -> None:
        assert parts.vault is not None
        assert parts.postgres is not None
        assert parts.kubernetes is not None
        self.state_dir = state_dir
        self.endpoint, self.postgres, self.kubernetes = parts.vault, parts.postgres, parts.kubernetes
        self.pods = state_dir / "pods" / NAMESPACE
        self.vault = httpx.Client(
            base_url=f"{self.endpoint.address}/v1/",
            headers={"X-Vault-Token": self.endpoint.token},
            verify=ssl.create_default_context(cafile=self.endpoint.ca_file),
            trust_env=False,
            timeout=60,
        )

    def environment(self) -> dict[str, str]:
        """What the sandbox tells the injector."""
        return {
            "KUBECONFIG": self.kubernetes.kubeconfig,
            "KUBECACHEDIR": str(self.state_dir / "kube-cache"),
            "VAULT_ADDR": self.endpoint.address,
            "VAULT_CACERT": self.endpoint.ca_file,
            "STRONGROOM_SANDBOX": str(self.state_dir),
        }

    def write(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.vault.post(path, json=body)
        assert not answer.is_error, f"{path}: {answer.text}"
        result: dict[str, Any] = answer.json() if answer.content else {}
        return result

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            [str(wheel_binary("kubectl")), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment()},
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def set_up(self) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        reviewer = {"kind": "ServiceAccount", "name": "reviewer", "namespace": NAMESPACE}
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            *(
                {**account, "metadata": {"name": name, "namespace": NAMESPACE}}
                for name in (ACCOUNT, "other", "reviewer")
            ),
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": "agent-tests-reviewer"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "ClusterRole",
                    "name": "system:auth-delegator",
                },
                "subjects": [reviewer],
            },
        )
        for path, kind, options in (
            ("auth/agents", "kubernetes", {}),
            ("mounts/agents-db", "database", {}),
            ("mounts/agents-kv", "kv", {"options": {"version": "2"}}),
        ):
            self.write(f"sys/{path}", {"type": kind, **options})
        self.write(
            "auth/agents/config",
            {
                "kubernetes_host": self.kubernetes.server,
                "kubernetes_ca_cert": Path(self.kubernetes.ca_file).read_text(encoding="utf-8"),
                "token_reviewer_jwt": self.kubectl(
                    "create", "token", "reviewer", "-n", NAMESPACE, "--duration=4h"
                ).strip(),
                "disable_local_ca_jwt": True,
            },
        )
        self.database_connection("postgres")

    def database_connection(self, name: str, **options: Any) -> None:
        postgres = self.postgres
        self.write(
            f"agents-db/config/{name}",
            {
                "plugin_name": "postgresql-database-plugin",
                "allowed_roles": "*",
                "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{postgres.host}:{postgres.port}/{postgres.database}",
                "username": postgres.superuser,
                "password": postgres.superuser_password,
                **options,
            },
        )

    def database_role(self, name: str, *, ttl: int, max_ttl: int, connection: str = "postgres") -> None:
        create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
        body = {"db_name": connection, "creation_statements": create, "default_ttl": ttl, "max_ttl": max_ttl}
        self.write(f"agents-db/roles/{name}", body)
        self.login_role(name, f'path "agents-db/creds/{name}" {{ capabilities = ["read"] }}')

    def login_role(self, name: str, policy: str, *, audience: str | None = None) -> None:
        self.write(f"sys/policies/acl/agents-{name}", {"policy": policy})
        role = {
            "bound_service_account_names": ACCOUNT,
            "bound_service_account_namespaces": NAMESPACE,
            "token_policies": f"agents-{name}",
            "token_ttl": "1h",
        }
        self.write(f"auth/agents/role/{name}", {**role, **({"audience": audience} if audience else {})})

    def injection(self, role: str, **options: Any) -> Injection:
        return inject(role, auth_path="auth/agents", **options)

    def credentials(self, role: str, **options: Any) -> Injection:
        """An injection of one database credential in the seed's form, as file ``db-creds``."""
        postgres = self.postgres
        return self.injection(role, **options).database(
            "db-creds", role=role, mount="agents-db", host=postgres.host, port=postgres.port, database=postgres.database
        )

    def users(self) -> set[str]:
        """The database users that Vault made."""
        postgres = self.postgres
        with psycopg.connect(
            host=postgres.host,
            port=postgres.port,
            dbname=postgres.database,
            user=postgres.superuser,
            password=postgres.superuser_password,
        ) as connection:
            return {row[0] for row in connection.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")}

    @contextmanager
    def workload(
        self, name: str, injection: Injection, *, kind: str = "Deployment", account: str = ACCOUNT
    ) -> Iterator[Path]:
        """The object of a workload with these annotations; its folder of secrets. Deleted at the end."""
        container = {"name": "app", "image": "registry.example.com/app:1"}
        pod = {"serviceAccountName": account, "containers": [container], "volumes": injection.volumes()}
        labels = {"app": name}
        template = {"metadata": {"labels": labels, "annotations": injection.annotations()}, "spec": pod}
        spec: dict[str, Any] = {"template": template}
        if kind == "Job":
            pod["restartPolicy"] = "Never"
        else:
            spec["selector"] = {"matchLabels": labels}
        group = "batch/v1" if kind == "Job" else "apps/v1"
        self.apply(
            {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
        )
        try:
            yield self.pods / name / "vault" / "secrets"
        finally:
            self.kubectl("delete", kind, name, "-n", NAMESPACE, "--ignore-not-found", "--wait=false")
            until("the pod's files are gone", lambda: not (self.pods / name).exists())

    @contextmanager
    def application(self, credentials: Path, output: Path) -> Iterator[Application]:
        """A process that plays the app, started once its credentials are there, as behind the init container."""
        until("the credentials are rendered", credentials.exists)
        postgres = self.postgres
        arguments = [str(credentials), postgres.host, str(postgres.port), postgres.database]
        with output.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, str(APPLICATION), *arguments], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        assert process.stdin is not None
        try:
            yield Application(process, output)
            assert process.poll() is None, "the application ended"
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Application:
    """The running app and what it printed."""

    process: subprocess.Popen[bytes]
    output: Path

    def served(self) -> list[str]:
        return self.output.read_text(encoding="utf-8").splitlines()

    def failures(self) -> list[str]:
        return [line for line in self.served() if not line.startswith("v-")]


def exported(file: Path, variable: str) -> str:
    """A variable of a rendered file, read by a real shell."""
    done = subprocess.run(
        ["/bin/sh", "-c", '. "$1" && printf %s "$' + variable + '"', "sh", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def encodings(value: str) -> list[bytes]:
    """How a value could stand in a store: as it is, or in Base64 at each of its three offsets."""
    raw = value.encode()
    shifted = [base64.b64encode(b"\0" * offset + raw)[4 if offset else 0 : -4] for offset in range(3)]
    return [raw, *shifted]
