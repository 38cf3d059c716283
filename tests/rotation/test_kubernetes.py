"""On a real API server: Vault's Kubernetes auth with a service account's token, and a Secret as a volume."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rotation import Credentials, MountedFiles, SourceDenied, SourceUnavailable, VaultKubernetesAuth, VaultStatic
from rotation.drill import delivery
from sandbox.endpoints import Endpoints
from sandbox.toolchain.paths import wheel_binary
from tests.rotation.conftest import Database, password


class Cluster:
    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.namespace = f"rotation-{secrets.token_hex(3)}"

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        command = [wheel_binary("kubectl"), "--kubeconfig", self.endpoints.kubernetes.kubeconfig, *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, **manifest: Any) -> None:
        self.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", **manifest}))

    def secret(self, name: str, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.apply(kind="Secret", metadata={"name": name, "namespace": self.namespace}, data=data)


@pytest.fixture
def cluster(sandbox_endpoints: Endpoints) -> Iterator[Cluster]:
    found = Cluster(sandbox_endpoints)
    found.kubectl("create", "namespace", found.namespace)
    yield found
    found.kubectl("delete", "namespace", found.namespace, "--wait=false")


@pytest.fixture
def vault(cluster: Cluster) -> Iterator[Callable[..., dict[str, Any]]]:
    endpoint = cluster.endpoints.vault
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    headers = {"X-Vault-Token": endpoint.token}
    with httpx.Client(base_url=f"{endpoint.address}/v1/", verify=context, headers=headers, timeout=30) as client:

        def call(method: str, path: str, **body: Any) -> dict[str, Any]:
            answer = client.request(method, path, json=body or None)
            assert answer.is_success, answer.text
            result: dict[str, Any] = answer.json() if answer.content else {}
            return result

        yield call


def test_a_pods_service_account_logs_in_and_reads_its_static_role(
    cluster: Cluster, vault: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    database, mount = Database(cluster.endpoints.postgres), f"rotation-{secrets.token_hex(3)}"
    name, administrator, word = database.new_name(), database.new_name(), password()
    database.set_user(name, password())
    with database.connect() as admin:
        database.set_user(administrator, word)
        admin.execute(f'ALTER ROLE "{administrator}" SUPERUSER')
    endpoint = database.endpoint
    vault("POST", f"sys/auth/{mount}", type="kubernetes")
    ca = Path(cluster.endpoints.kubernetes.ca_file).read_text()
    vault(
        "POST",
        f"auth/{mount}/config",
        kubernetes_host=cluster.endpoints.kubernetes.server,
        kubernetes_ca_cert=ca,
        disable_local_ca_jwt=True,
    )
    vault("POST", f"sys/mounts/{mount}", type="database")
    url = f"postgresql://{{{{username}}}}:{{{{password}}}}@{endpoint.host}:{endpoint.port}/{endpoint.database}?sslmode=disable"
    try:
        vault(
            "POST", f"{mount}/config/db", plugin_name="postgresql-database-plugin", allowed_roles=["app"],
            connection_url=url, username=administrator, password=word,
        )  # fmt: skip
        vault("POST", f"{mount}/static-roles/app", db_name="db", username=name, rotation_period="24h")
        vault(
            "PUT", f"sys/policies/acl/{mount}", policy=f'path "{mount}/static-creds/app" {{ capabilities = ["read"] }}'
        )
        vault(
            "POST", f"auth/{mount}/role/app", bound_service_account_names=["app"],
            bound_service_account_namespaces=[cluster.namespace], token_policies=[mount], token_ttl="60s",
        )  # fmt: skip
        account = {"name": "app", "namespace": cluster.namespace}
        cluster.apply(kind="ServiceAccount", metadata=account)
        cluster.kubectl(
            "create", "clusterrolebinding", cluster.namespace, "--clusterrole=system:auth-delegator",
            f"--serviceaccount={cluster.namespace}:app",
        )  # fmt: skip
        token = tmp_path / "token"
        auth = VaultKubernetesAuth("app", mount=mount, token_file=token)
        place = {"address": cluster.endpoints.vault.address, "ca_file": cluster.endpoints.vault.ca_file}
        with pytest.raises(SourceUnavailable, match="is the service-account token mounted"):
            VaultStatic("app", mount=mount, auth=auth, **place).fetch()
        token.write_text(cluster.kubectl("create", "token", "app", "--namespace", cluster.namespace))
        with Credentials(VaultStatic("app", mount=mount, auth=auth, **place)) as credentials:
            assert credentials.current().username == name
        token.write_text(cluster.kubectl("create", "token", "default", "--namespace", cluster.namespace))
        with pytest.raises(SourceDenied, match="permission denied"):
            VaultStatic("app", mount=mount, auth=auth, **place).fetch()
    finally:
        cluster.kubectl("delete", "clusterrolebinding", cluster.namespace, "--ignore-not-found")
        for path in (f"sys/mounts/{mount}", f"sys/auth/{mount}", f"sys/policies/acl/{mount}"):
            vault("DELETE", path)
        database.drop_user(name, administrator)


def test_a_changed_secret_reaches_the_volume_and_the_credential(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    monkeypatch.setenv("KUBECONFIG", cluster.endpoints.kubernetes.kubeconfig)
    monkeypatch.setenv("PATH", str(wheel_binary("kubectl").parent), prepend=":")
    cluster.secret("db-creds", username="one", password="first-password")
    folder = tmp_path / "volume"
    with (
        delivery.mounted_secret(cluster.namespace, "db-creds", folder),
        Credentials(MountedFiles(folder, poll_interval=0.05)) as credentials,
    ):
        assert credentials.current().username == "one"
        cluster.secret("db-creds", username="two", password="second-password")
        eventually(lambda: credentials.current().username == "two")
        assert credentials.current().password == "second-password"


def test_a_secret_that_does_not_come_is_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", cluster.endpoints.kubernetes.kubeconfig)
    monkeypatch.setenv("PATH", str(wheel_binary("kubectl").parent), prepend=":")
    monkeypatch.setattr(delivery, "_READY", 0.5)
    never = delivery.mounted_secret(cluster.namespace, "none", tmp_path / "volume")
    with pytest.raises(SourceUnavailable, match=r"Secret .*/none did not come"), never:
        pass
