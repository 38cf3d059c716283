"""The upstream sealed-secrets controller as a host process, with its service account's own rights, as the chart gives them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from sandbox.endpoints import Kubernetes
from sandbox.process import in_namespace
from sandbox.servers.files import free_port
from sandbox.servers.pod_network import POD_ADDRESS
from sandbox.toolchain import go
from sandbox.toolchain.paths import wheel_binary
from tests.waiting import until

INSIDE = "/run/secrets/kubernetes.io/serviceaccount"
NAME = "sealed-secrets-controller"
NAMESPACE = "kube-system"


class Cluster:
    """One API server and what the tests ask of it."""

    def __init__(self, kubernetes: Kubernetes, folder: Path) -> None:
        self.kubernetes = kubernetes
        self.folder = folder

    def environment(self, url: str | None = None) -> dict[str, str]:
        found = {"KUBECONFIG": self.kubernetes.kubeconfig, "KUBECACHEDIR": str(self.folder / "cache")}
        return {**found, **({"SEALED_SECRETS_URL": url} if url else {})}

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

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def install(self) -> None:
        """The CRD, the service account and its rights: what the chart makes besides the deployment."""
        for path in sorted(go.crds("sealed-secrets").rglob("*.yaml")):
            self.kubectl("apply", "--server-side", "-f", str(path))
        until("the CRD is established", self._established)
        sealed = {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": ["get", "list", "watch"]}
        status = {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets/status"], "verbs": ["update"]}
        everything = ["get", "list", "create", "update", "delete", "watch"]
        secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": everything}
        events = {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}
        namespaces = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}
        rbac = "rbac.authorization.k8s.io"
        self.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": NAMESPACE}},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": NAME},
                "rules": [sealed, status, secrets, events, namespaces],
            },
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": NAME},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
                "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
            },
        )

    def _established(self) -> bool:
        """Asked here, for `kubectl wait` fails over a definition that has no conditions yet."""
        definition = json.loads(self.kubectl("get", "crd", "sealedsecrets.bitnami.com", "-o", "json"))
        conditions = (definition.get("status") or {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    @contextmanager
    def service(self, port: int) -> Iterator[None]:
        """The chart's Service before a controller on this port. The API server's proxy goes to addresses of pods only."""
        place = {"name": NAME, "namespace": NAMESPACE}
        container = {"name": "controller", "image": "registry.example.com/controller:1"}
        pod = {"serviceAccountName": NAME, "nodeName": "node-1", "containers": [container]}
        target = {"kind": "Pod", **place}
        endpoints = {"addresses": [{"ip": POD_ADDRESS, "targetRef": target}], "ports": [{"name": "http", "port": port}]}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": place,
                "spec": {"ports": [{"name": "http", "port": 8080}]},
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": place, "spec": pod},
            {"apiVersion": "v1", "kind": "Endpoints", "metadata": place, "subsets": [endpoints]},
        )
        status = json.dumps({"status": {"phase": "Running", "podIP": POD_ADDRESS, "podIPs": [{"ip": POD_ADDRESS}]}})
        self.kubectl("patch", "pod", NAME, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", status)
        try:
            yield
        finally:
            for kind in ("service", "endpoints", "pod"):
                self.kubectl("delete", kind, NAME, "-n", NAMESPACE, "--force", "--grace-period=0", "--ignore-not-found")

    @contextmanager
    def controller(self, *options: str) -> Iterator[Controller]:
        """The controller, ready; ended on the way out. Keys of 2048 bits are made in a moment."""
        token = self.kubectl("create", "token", NAME, "-n", NAMESPACE, "--duration=2h").strip()
        server = urlsplit(self.kubernetes.server)
        port = free_port()
        metrics = free_port(exclude=[port])
        files = {
            f"{INSIDE}/token": token.encode(),
            f"{INSIDE}/ca.crt": Path(self.kubernetes.ca_file).read_bytes(),
            f"{INSIDE}/namespace": NAMESPACE.encode(),
        }
        log = self.folder / f"controller-{port}.log"
        arguments = [f"--listen-addr=127.0.0.1:{port}", f"--listen-metrics-addr=127.0.0.1:{metrics}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    str(go.binary("sealed-secrets-controller")),
                    *arguments,
                    "--key-size=2048",
                    "--key-renew-period=0",
                    *options,
                ],
                env={
                    "PATH": os.environ["PATH"],
                    "KUBERNETES_SERVICE_HOST": server.hostname or "",
                    "KUBERNETES_SERVICE_PORT": str(server.port),
                    "POD_NAMESPACE": NAMESPACE,
                },
                stdout=output,
                stderr=output,
                preexec_fn=in_namespace(run_files=files),
            )
        made = Controller(self, process, f"http://127.0.0.1:{port}", log)
        try:
            until("the controller answers", made.answers, seconds=60)
            yield made
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Controller:
    """A running controller."""

    def __init__(self, cluster: Cluster, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.cluster = cluster
        self.process = process
        self.url = url
        self.log = log

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/v1/cert.pem", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def certificate(self) -> str:
        return httpx.get(f"{self.url}/v1/cert.pem", trust_env=False, timeout=60).raise_for_status().text

    def renew_key(self) -> None:
        """What the key period does, now: the controller takes SIGUSR1 for it. Certificates are ordered by whole seconds."""
        before = self.certificate()
        serial = len(self.keys())
        time.sleep(1.1)
        self.process.send_signal(signal.SIGUSR1)
        until("a new key", lambda: len(self.keys()) == serial + 1 and self.certificate() != before)

    def keys(self) -> list[str]:
        label = "sealedsecrets.bitnami.com/sealed-secrets-key"
        return self.cluster.kubectl("get", "secrets", "-n", NAMESPACE, "-l", label, "-o", "name").split()


def manifest(name: str, namespace: str, **values: str) -> str:
    """A plaintext Secret manifest."""
    metadata = {"name": name, "namespace": namespace}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})
