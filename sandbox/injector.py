"""The host process of the Helm release ``vault``: for every pod template with injector annotations, a running ``bao agent``.

On a cluster the webhook changes pods as they are made and the kubelet runs what it added. The sandbox has neither, so this
process watches Deployments, StatefulSets, DaemonSets and Jobs and is both: it reads the annotations (``sandbox.agent``), asks
TokenRequest for a token of the pod's own service account, with the audience that the pod's projected volume names, keeps
that token fresh as the kubelet does, and runs the agent. What would be the pod's file system is
``STATE_DIR/pods/NAMESPACE/NAME``; ``error`` there says why a pod would have been refused.

    python -m sandbox.injector          reads KUBECONFIG, VAULT_ADDR, VAULT_CACERT and STRONGROOM_SANDBOX
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sandbox.agent import PREFIX, AgentConfig, AnnotationError, agent_config, asks_for_agent, start_agent
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.kubernetes.api import Api, Kind
from sandbox.providers.kubernetes.errors import KubernetesError
from sandbox.providers.kubernetes.kubeconfig import load
from sandbox.providers.loopback import require_loopback
from sandbox.servers.files import private_write
from sandbox.servers.tokens import FRESH, SHORTEST

KINDS = (
    Kind("apps/v1", "Deployment", "deployments", True),
    Kind("apps/v1", "StatefulSet", "statefulsets", True),
    Kind("apps/v1", "DaemonSet", "daemonsets", True),
    Kind("batch/v1", "Job", "jobs", True),
)
TOKEN_SECONDS = 3600  # what the kubelet asks for where a volume says nothing
RESYNC_SECONDS = 300
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)
STOP_SECONDS = 10.0


def log(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Wanted:
    """What a workload's pod template asks for; equal ones need no restart."""

    annotations: tuple[tuple[str, str], ...]
    service_account: str
    audience: str | None
    token_seconds: int

    @classmethod
    def of(cls, workload: dict[str, Any]) -> Wanted | None:
        """None where the template does not ask for an agent."""
        template = workload.get("spec", {}).get("template", {})
        annotations = (template.get("metadata") or {}).get("annotations") or {}
        ours = tuple(sorted((key, value) for key, value in annotations.items() if key.startswith(PREFIX)))
        if not asks_for_agent(dict(ours)):
            return None
        pod = template.get("spec") or {}
        audience, seconds = _projection(dict(ours), pod)
        return cls(ours, str(pod.get("serviceAccountName") or "default"), audience, seconds)


def _projection(annotations: dict[str, str], pod: dict[str, Any]) -> tuple[str | None, int]:
    """Audience and life of the token in the volume that the annotations name."""
    name = annotations.get(f"{PREFIX}agent-service-account-token-volume-name")
    if not name:
        if pod.get("automountServiceAccountToken") is False:
            raise AnnotationError(
                f"{PREFIX}agent-service-account-token-volume-name: missing, and the pod takes no token of its own "
                "(automountServiceAccountToken: false), so the agent has none to log in with"
            )
        return None, TOKEN_SECONDS
    for volume in pod.get("volumes") or []:
        if volume.get("name") == name:
            for source in (volume.get("projected") or {}).get("sources") or []:
                if token := source.get("serviceAccountToken"):
                    return token.get("audience"), int(token.get("expirationSeconds", TOKEN_SECONDS))
    raise AnnotationError(
        f"{PREFIX}agent-service-account-token-volume-name: the pod has no volume {name!r} with a service account token"
    )


@dataclass
class Pod:
    """One workload's agent."""

    namespace: str
    name: str
    kind: str
    wanted: Wanted
    folder: Path
    config: AgentConfig
    process: subprocess.Popen[bytes] | None = None
    token_until: float = 0.0
    failures: int = 0
    start_at: float = 0.0
    done: bool = False

    @property
    def token_file(self) -> Path:
        return self.folder / "var/run/secrets/token"


class Injector:
    """Watches workloads and keeps one agent for each. Everything that starts a process runs in the thread of ``run``."""

    def __init__(self, api: Api, *, address: str, ca_file: str, folder: Path) -> None:
        self._api = api
        self._address = address
        self._ca_file = ca_file
        self._folder = folder
        self._pods: dict[tuple[str, str], Pod] = {}
        self._refused: dict[tuple[str, str], str] = {}  # their kinds
        self._events: queue.Queue[tuple[Kind, str, dict[str, Any]]] = queue.Queue()
        self._stop = threading.Event()

    def run(self) -> None:
        """Until ``stop``. At the end every agent is stopped, its token revoked where the pod asks for it, its files gone."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for kind in KINDS:
            threading.Thread(target=self._watch, args=(kind,), daemon=True, name=f"watch-{kind.plural}").start()
        log(f"watching workloads at {self._api.cluster.server}; their agents use {self._address}")
        try:
            while not self._stop.is_set():
                with contextlib.suppress(queue.Empty):
                    self._handle(*self._events.get(timeout=0.25))
                for pod in self._pods.values():
                    self._tend(pod)
        finally:
            for pod in list(self._pods.values()):
                self._remove(pod)

    def stop(self) -> None:
        self._stop.set()

    # -- watching ----------------------------------------------------------------------------------------------------

    def _watch(self, kind: Kind) -> None:
        while not self._stop.is_set():
            try:
                listed = self._api.request("GET", kind.path(None))
                self._events.put((kind, "LIST", listed))
                version = listed["metadata"]["resourceVersion"]
                for event in self._changes(kind, version):
                    if event["type"] == "ERROR":
                        break  # too old a version: list again
                    self._events.put((kind, event["type"], event["object"]))
            except (KubernetesError, httpx.HTTPError) as error:
                log(f"{kind.plural}: {error}; again in 2 s")
                self._stop.wait(2)

    def _changes(self, kind: Kind, version: str) -> Iterator[dict[str, Any]]:
        """Watch events since a resource version, until the server ends the watch."""
        cluster = self._api.cluster
        headers = {"Authorization": f"Bearer {cluster.token}"} if cluster.token else {}
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(RESYNC_SECONDS)}
        with (
            httpx.Client(
                base_url=cluster.server, verify=cluster.ssl_context(), headers=headers, trust_env=False
            ) as client,
            client.stream(
                "GET", kind.path(None), params=params, timeout=httpx.Timeout(10, read=RESYNC_SECONDS + 30)
            ) as answer,
        ):
            answer.raise_for_status()
            for line in answer.iter_lines():
                yield json.loads(line)

    def _handle(self, kind: Kind, event: str, item: dict[str, Any]) -> None:
        if event == "LIST":
            present = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in item["items"]}
            known = {key: pod.kind for key, pod in self._pods.items()} | self._refused
            for key in [key for key, its in known.items() if its == kind.kind and key not in present]:
                self._gone(kind, key)
            for workload in item["items"]:
                self._reconcile(kind, workload)
        elif event == "DELETED":
            self._gone(kind, (item["metadata"]["namespace"], item["metadata"]["name"]))
        elif event in ("ADDED", "MODIFIED"):
            self._reconcile(kind, item)

    def _gone(self, kind: Kind, key: tuple[str, str]) -> None:
        refused = self._refused.get(key) == kind.kind
        if refused:
            del self._refused[key]
        pod = self._pods.get(key)
        if pod is not None and pod.kind == kind.kind:
            self._remove(pod)
        elif refused:
            shutil.rmtree(self._folder / key[0] / key[1], ignore_errors=True)

    # -- pods --------------------------------------------------------------------------------------------------------

    def _reconcile(self, kind: Kind, workload: dict[str, Any]) -> None:
        namespace, name = workload["metadata"]["namespace"], workload["metadata"]["name"]
        folder = self._folder / namespace / name
        there = self._pods.get((namespace, name))
        if there is not None and there.kind != kind.kind:
            log(f"{namespace}/{name}: a {there.kind} of this name has an agent already; the {kind.kind}'s is left out")
            return
        try:
            wanted = Wanted.of(workload)
            pod = None if wanted is None else self._pod(namespace, name, kind.kind, wanted, folder)
        except AnnotationError as error:  # of a rollout; what runs already goes on
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "error").write_text(f"{error}\n", encoding="utf-8")
            self._refused[namespace, name] = kind.kind
            log(f"{namespace}/{name}: refused: {error}")
            return
        (folder / "error").unlink(missing_ok=True)
        self._refused.pop((namespace, name), None)
        if there is not None and there.wanted == wanted:
            return
        if there is not None:
            self._stop_agent(there)
            del self._pods[namespace, name]
        if pod is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for old in there.config.files if there is not None else ():
            if old not in pod.config.files:
                old.unlink(missing_ok=True)
        self._pods[namespace, name] = pod
        self._tend(pod)

    def _pod(self, namespace: str, name: str, kind: str, wanted: Wanted, folder: Path) -> Pod:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = agent_config(
            dict(wanted.annotations),
            folder=folder,
            address=self._address,
            ca_file=self._ca_file,
            token_file=folder / "var/run/secrets/token",
        )
        try:
            require_loopback(f"{PREFIX}service", str(config.config["vault"]["address"]))
        except EndpointRefused as error:
            raise AnnotationError(str(error)) from error
        return Pod(namespace, name, kind, wanted, folder, config)

    def _tend(self, pod: Pod) -> None:
        """Keep the token fresh, start the agent, start it again when it ended before its time."""
        now = time.time()
        if pod.done or now < pod.start_at:
            return
        try:
            if now >= pod.token_until:
                self._renew_token(pod)
        except (KubernetesError, OSError) as error:
            self._later(pod, f"no token of service account {pod.wanted.service_account!r}: {error}")
            return
        if pod.process is None:
            pod.process = start_agent(pod.config, pod.folder)
            log(f"{pod.namespace}/{pod.name}: agent {pod.process.pid} for {pod.kind}, role {self._role(pod)}")
            return
        code = pod.process.poll()
        if code is None:
            if pod.failures and now - pod.start_at > 60:
                pod.failures = 0
            return
        pod.process = None
        if code == 0 and pod.config.exits:
            pod.done = True
            log(f"{pod.namespace}/{pod.name}: rendered before the start; no sidecar was asked for")
        else:
            self._later(pod, f"agent ended with code {code}")

    def _later(self, pod: Pod, why: str) -> None:
        pause = BACKOFF_SECONDS[min(pod.failures, len(BACKOFF_SECONDS) - 1)]
        pod.failures += 1
        pod.start_at = time.time() + pause
        log(f"{pod.namespace}/{pod.name}: {why}; again in {pause:.0f} s")

    @staticmethod
    def _role(pod: Pod) -> str:
        return str(pod.config.config["auto_auth"]["method"]["config"]["role"])

    def _renew_token(self, pod: Pod) -> None:
        account = Kind("v1", "ServiceAccount", "serviceaccounts", True).path(pod.namespace, pod.wanted.service_account)
        spec: dict[str, Any] = {"expirationSeconds": max(pod.wanted.token_seconds, SHORTEST)}
        if pod.wanted.audience is not None:
            spec["audiences"] = [pod.wanted.audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self._api.request("POST", f"{account}/token", body=body)
        pod.token_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_write(pod.token_file, answer["status"]["token"])
        pod.token_until = time.time() + spec["expirationSeconds"] * FRESH

    # -- endings -----------------------------------------------------------------------------------------------------

    def _stop_agent(self, pod: Pod) -> None:
        if pod.process is not None and pod.process.poll() is None:
            pod.process.terminate()
            try:
                pod.process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pod.process.kill()
                pod.process.wait()
        pod.process = None
        sink = pod.folder / "home/vault/.vault-token"
        if pod.config.revokes and not pod.config.exits and sink.exists():
            self._revoke(pod, sink.read_text(encoding="ascii").strip())
            sink.unlink(missing_ok=True)

    def _revoke(self, pod: Pod, token: str) -> None:
        """What the sidecar's preStop hook does: the token ends, and with it every lease that was taken with it."""
        address = str(pod.config.config["vault"]["address"])
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            with httpx.Client(verify=context, timeout=5, trust_env=False) as client:
                answer = client.post(f"{address}/v1/auth/token/revoke-self", headers={"X-Vault-Token": token})
            if answer.is_error:
                log(f"{pod.namespace}/{pod.name}: its token was not revoked: HTTP {answer.status_code}")
        except httpx.HTTPError as error:
            log(f"{pod.namespace}/{pod.name}: its token was not revoked: {error}; it ends with its TTL")

    def _remove(self, pod: Pod) -> None:
        self._stop_agent(pod)
        shutil.rmtree(pod.folder, ignore_errors=True)
        self._pods.pop((pod.namespace, pod.name), None)
        log(f"{pod.namespace}/{pod.name}: gone")


def main() -> int:
    missing = [
        name for name in ("KUBECONFIG", "VAULT_ADDR", "VAULT_CACERT", "STRONGROOM_SANDBOX") if not os.environ.get(name)
    ]
    if missing:
        print(f"error: {', '.join(missing)}: not set; `make env` prints the sandbox's environment", file=sys.stderr)
        return 2
    address = os.environ["VAULT_ADDR"]
    cluster = load(os.environ["KUBECONFIG"])
    require_loopback("VAULT_ADDR", address)
    require_loopback("KUBECONFIG", cluster.server)
    injector = Injector(
        Api(cluster),
        address=address,
        ca_file=os.environ["VAULT_CACERT"],
        folder=Path(os.environ["STRONGROOM_SANDBOX"]) / "pods",
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: injector.stop())
    injector.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
