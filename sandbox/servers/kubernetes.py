"""etcd, kube-apiserver and kube-controller-manager: RBAC, service-account tokens, and an OIDC issuer that needs no login.

There is no kubelet and no scheduler: nothing runs Pods. Admission webhooks work, and the API server's proxy to Services
before something that plays a Pod (``pod_network``); the service network itself does not.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import yaml

from sandbox.endpoints import Kubernetes
from sandbox.servers.certificates import Authority, token_keys
from sandbox.servers.errors import ServerFailed
from sandbox.servers.files import Ports, private_folder, private_write
from sandbox.servers.managed import ManagedProcess, tail
from sandbox.servers.pod_network import PodNetwork
from sandbox.toolchain.go import binary
from sandbox.toolchain.paths import wheel_binary

SERVICE_RANGE = "10.96.0.0/16"
ISSUER_READERS = "system:service-account-issuer-discovery"
FIRST_ACCOUNT_SECONDS = 60.0
OPEN_PATHS = ("/.well-known/openid-configuration", "/openid/v1/jwks", "/livez", "/readyz")
# What the stack relies on; the others would make Pods that nothing runs, or look after nodes that do not exist.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)


class Etcd:
    """The API server's storage, for its client certificate only."""

    def __init__(self, state_dir: Path, ports: Ports, authority: Authority) -> None:
        self.address = f"https://127.0.0.1:{ports['etcd']}"
        peer = f"https://127.0.0.1:{ports['etcd-peer']}"
        folder = private_folder(state_dir / "etcd")
        certificate, key = authority.issue("etcd")
        self._client = client(authority, "etcd", self.address)
        self.process = ManagedProcess(
            "etcd",
            [
                wheel_binary("etcd"),
                "--name=sandbox",
                f"--data-dir={folder / 'data'}",
                f"--listen-client-urls={self.address}",
                f"--advertise-client-urls={self.address}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=sandbox={peer}",
                *(f"--{role}cert-file={certificate}" for role in ("", "peer-")),
                *(f"--{role}key-file={key}" for role in ("", "peer-")),
                *(f"--{role}trusted-ca-file={authority.certificate_file}" for role in ("", "peer-")),
                "--client-cert-auth",
                "--peer-client-cert-auth",
                "--unsafe-no-fsync",  # a sandbox that loses power is made anew
                "--auto-compaction-retention=10m",
                "--log-level=warn",
            ],
            log=state_dir / "logs" / "etcd.log",
            address=self.address,
            ready=lambda: answers(self._client, "/health"),
        )

    async def start(self) -> None:
        await self.process.start()


class ApiServer:
    """kube-apiserver. Its issuer is its own URL; discovery document and keys are public, all else needs a login."""

    def __init__(self, state_dir: Path, ports: Ports, authority: Authority, etcd: str) -> None:
        self._folder = private_folder(state_dir / "kubernetes")
        server = f"https://127.0.0.1:{ports['kube-apiserver']}"
        certificate, key = authority.issue("kube-apiserver")
        signing_key, public_key = token_keys(self._folder)
        ca_file = authority.certificate_file
        self.endpoint = Kubernetes(
            server=server, ca_file=str(ca_file), kubeconfig=str(self._folder / "admin.kubeconfig"), issuer=server
        )
        admin = authority.issue("sandbox-admin", organization="system:masters")
        certificate_kubeconfig(Path(self.endpoint.kubeconfig), self.endpoint, *admin)
        authentication = private_write(self._folder / "authentication.json", json.dumps(_authentication()))
        self._pods = PodNetwork(ports["pod-network"], authority)
        egress = private_write(self._folder / "egress.json", json.dumps(self._pods.egress_configuration()))
        self._client = client(authority, "sandbox-admin", server)
        self.process = ManagedProcess(
            "kube-apiserver",
            [
                binary("kube-apiserver"),
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={ports['kube-apiserver']}",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={ca_file}",
                f"--etcd-servers={etcd}",
                f"--etcd-cafile={ca_file}",
                f"--etcd-certfile={certificate}",
                f"--etcd-keyfile={key}",
                f"--authentication-config={authentication}",
                "--authorization-mode=RBAC",
                f"--service-account-issuer={server}",
                f"--service-account-jwks-uri={server}/openid/v1/jwks",
                f"--service-account-signing-key-file={signing_key}",
                f"--service-account-key-file={public_key}",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
                f"--egress-selector-config-file={egress}",
                "--endpoint-reconciler-type=none",  # loopback may be no Service's endpoint
                "--enable-priority-and-fairness=false",
                "--profiling=false",
                "--v=0",
            ],
            log=state_dir / "logs" / "kube-apiserver.log",
            address=server,
            ready=lambda: answers(self._client, "/readyz"),
        )

    async def start(self) -> Kubernetes:
        await self._pods.start()
        await self.process.start()
        await self._open_discovery()
        return self.endpoint

    async def _open_discovery(self) -> None:
        """Let anyone read the issuer's discovery document and keys, as EKS does; and nothing else."""
        name = "sandbox-issuer-discovery"
        body = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ISSUER_READERS},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
        }
        answer = await self._client.patch(
            f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}?fieldManager=sandbox&force=true",
            content=json.dumps(body),
            headers={"Content-Type": "application/apply-patch+yaml"},
            timeout=60,
        )
        if answer.is_error:
            raise ServerFailed(f"kube-apiserver refused ClusterRoleBinding {name}: {answer.text[:300]}")


class ControllerManager:
    """kube-controller-manager with the controllers of ``CONTROLLERS``, each with its own service account."""

    def __init__(self, state_dir: Path, ports: Ports, authority: Authority, kubernetes: Kubernetes) -> None:
        folder = state_dir / "kubernetes"
        name = "system:kube-controller-manager"
        pair = authority.issue("kube-controller-manager", common_name=name)
        kubeconfig = certificate_kubeconfig(folder / "controller-manager.kubeconfig", kubernetes, *pair)
        signing_key, _ = token_keys(folder)
        address = f"https://127.0.0.1:{ports['kube-controller-manager']}"
        self._client = client(authority, "kube-controller-manager", address)
        self._admin = client(authority, "sandbox-admin", kubernetes.server)
        self.process = ManagedProcess(
            "kube-controller-manager",
            [
                binary("kube-controller-manager"),
                "--bind-address=127.0.0.1",
                f"--secure-port={ports['kube-controller-manager']}",
                f"--tls-cert-file={pair[0]}",
                f"--tls-private-key-file={pair[1]}",
                f"--kubeconfig={kubeconfig}",
                f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}",
                f"--service-account-private-key-file={signing_key}",
                f"--root-ca-file={kubernetes.ca_file}",
                f"--controllers={','.join(CONTROLLERS)}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                "--kube-api-qps=200",  # a namespace with its contents goes in one go
                "--kube-api-burst=400",
                "--profiling=false",
                "--v=0",
            ],
            log=state_dir / "logs" / "kube-controller-manager.log",
            address=address,
            ready=lambda: answers(self._client, "/healthz"),
        )

    async def start(self) -> None:
        """Ready when it has made its first service account: from then on a namespace has one at once."""
        await self.process.start()
        for _ in range(int(FIRST_ACCOUNT_SECONDS / 0.05)):
            if await answers(self._admin, "/api/v1/namespaces/default/serviceaccounts/default"):
                return
            await asyncio.sleep(0.05)
        raise ServerFailed(
            f"kube-controller-manager made no service account within {FIRST_ACCOUNT_SECONDS:.0f} s; the end of its log:\n"
            f"{tail(self.process.log)}"
        )


def client(authority: Authority, name: str, address: str) -> httpx.AsyncClient:
    """A client that shows ``name``'s certificate and trusts only the sandbox's authority."""
    context = ssl.create_default_context(cafile=authority.certificate_file)
    context.load_cert_chain(*authority.issue(name))
    return httpx.AsyncClient(base_url=address, verify=context, timeout=5, trust_env=False)


async def answers(http: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await http.get(path)).status_code == 200
    except httpx.HTTPError:
        return False


def certificate_kubeconfig(path: Path, kubernetes: Kubernetes, certificate: Path, key: Path) -> Path:
    """Write a kubeconfig that logs in with a client certificate."""
    return write_kubeconfig(path, kubernetes, {"client-certificate": str(certificate), "client-key": str(key)})


def write_kubeconfig(path: Path, kubernetes: Kubernetes, user: dict[str, Any], namespace: str = "default") -> Path:
    """Write a kubeconfig with one context, for the given user entry."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [
            {
                "name": "sandbox",
                "cluster": {"server": kubernetes.server, "certificate-authority": kubernetes.ca_file},
            }
        ],
        "users": [{"name": "sandbox", "user": user}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": namespace}}],
    }
    return private_write(path, yaml.safe_dump(config, sort_keys=False))


def _authentication() -> dict[str, Any]:
    """Anonymous requests are let through to the issuer's documents and to health checks, nowhere else."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1beta1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in OPEN_PATHS]},
    }
