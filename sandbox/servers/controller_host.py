"""The supervisor's part of ``controllers``: their processes, tokens and restarts, and the record of what runs."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from sandbox.endpoints import SEALED_SECRETS_URL_FILE, Aws, Kubernetes, Vault
from sandbox.process import die_with_parent, in_namespace
from sandbox.servers.certificates import Authority
from sandbox.servers.controllers import AUDIENCE, PROGRAMS, ROLE_ARN, TOKEN_EXPIRATION, ControllerSpec
from sandbox.servers.errors import NotSupported, ServerError, ServerFailed
from sandbox.servers.files import Ports, private_folder, private_write
from sandbox.servers.kubernetes import client, write_kubeconfig
from sandbox.servers.managed import ManagedProcess
from sandbox.servers.tokens import TokenFile
from sandbox.toolchain.go import binary

FILE = "controllers.json"
ROOT = Path(__file__).resolve().parents[2]
IN_CLUSTER = "/run/secrets/kubernetes.io/serviceaccount"
API_TOKEN_SECONDS = 3600
LONG_TOKEN_SECONDS = 365 * 24 * 3600  # for a program that reads its token once
WEB_IDENTITY_SECONDS = 86_400  # EKS's default
BACKOFF = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
STEADY_SECONDS = 60.0  # after which a restart is no longer held against it


class Known:
    """What of the sandbox a controller is told; filled as the servers get ready."""

    kubernetes: Kubernetes
    vault: Vault | None = None
    aws: Aws | None = None


class Controller:
    """One running controller."""

    def __init__(self, spec: ControllerSpec, process: ManagedProcess, tokens: list[TokenFile], url: str) -> None:
        self.spec, self.process, self.tokens, self.url = spec, process, tokens, url
        self.tasks: list[asyncio.Task[None]] = []
        self.failures = 0


class ControllerHost:
    """Every controller of one sandbox."""

    def __init__(
        self,
        state_dir: Path,
        ports: Ports,
        authority: Authority,
        prepare: Callable[[ManagedProcess], None],
        note: Callable[[str], None],
    ) -> None:
        self._state_dir, self._ports, self._authority = state_dir, ports, authority
        self._prepare, self._note = prepare, note
        self._running: dict[str, Controller] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._api: httpx.AsyncClient | None = None
        self.endpoints = Known()

    @property
    def processes(self) -> list[ManagedProcess]:
        return [controller.process for _, controller in sorted(self._running.items())]

    def _recorded(self) -> dict[str, ControllerSpec]:
        try:
            found = json.loads((self._state_dir / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {name: ControllerSpec(**spec) for name, spec in found.items()}

    def _record(self, specs: Mapping[str, ControllerSpec]) -> None:
        text = json.dumps({name: asdict(spec) for name, spec in specs.items()}, indent=2)
        private_write(self._state_dir / FILE, text)

    async def resume(self, on_progress: Callable[[str, str, float], None]) -> None:
        """Start what was recorded and does not run. Raises the first failure when all have come to an end."""

        async def one(spec: ControllerSpec) -> None:
            there = self._running.get(spec.name)
            if there is not None and there.process.state == "ready":
                return
            began = time.monotonic()
            on_progress(spec.name, "starting", 0.0)
            try:
                await self.apply(spec)
            except ServerError:
                on_progress(spec.name, "failed", time.monotonic() - began)
                raise
            on_progress(spec.name, "ready", time.monotonic() - began)

        results = await asyncio.gather(*map(one, self._recorded().values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def apply(self, spec: ControllerSpec) -> dict[str, Any]:
        if spec.program not in PROGRAMS:
            raise ServerError(f"no controller is known by the name {spec.program!r}: expected {', '.join(PROGRAMS)}")
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            there = self._running.get(spec.name)
            if there is None or there.spec != spec or there.process.state != "ready":
                await self._stop(spec.name)
                there = await self._start(spec)
                self._record({**self._recorded(), spec.name: spec})
            return {"url": there.url, "log": str(there.process.log)}

    async def remove(self, name: str) -> None:
        async with self._locks.setdefault(name, asyncio.Lock()):
            await self._stop(name)
            self._record({each: spec for each, spec in self._recorded().items() if each != name})
            shutil.rmtree(self._folder(name), ignore_errors=True)

    async def stop(self, *, kill: bool) -> None:
        """Stop all; what is recorded starts again with the sandbox."""
        await asyncio.gather(*(self._stop(name, kill=kill) for name in list(self._running)))

    def _folder(self, name: str) -> Path:
        return self._state_dir / "controllers" / name

    async def _stop(self, name: str, *, kill: bool = False) -> None:
        controller = self._running.pop(name, None)
        if controller is None:
            return
        for task in controller.tasks:
            task.cancel()
        await controller.process.stop(kill=kill)
        if controller.spec.program == "sealed-secrets-controller":
            (self._state_dir / SEALED_SECRETS_URL_FILE).unlink(missing_ok=True)

    async def _start(self, spec: ControllerSpec) -> Controller:
        if self._api is None:
            self._api = client(self._authority, "sandbox-admin", self.endpoints.kubernetes.server)
        folder = private_folder(self._folder(spec.name))
        controller = self._made(spec, folder)
        self._prepare(controller.process)
        try:
            for token in controller.tokens:
                pause = await token.renew(self._api)
                task = asyncio.create_task(token.keep_fresh(self._api, pause, self._note))
                controller.tasks.append(task)
            await controller.process.start()
        except (ServerError, httpx.HTTPError) as error:
            for task in controller.tasks:
                task.cancel()
            if isinstance(error, ServerError):
                raise
            raise ServerFailed(f"{spec.name}: the API server does not answer: {error}") from error
        reported = controller.process.on_crash

        def crashed(process: ManagedProcess) -> None:
            reported(process)
            self._revive(controller)

        controller.process.on_crash = crashed
        self._running[spec.name] = controller
        if spec.program == "sealed-secrets-controller":
            private_write(self._state_dir / SEALED_SECRETS_URL_FILE, controller.url)
        return controller

    def _revive(self, controller: Controller) -> None:
        """A controller that ended is started again, later and later, as the kubelet does with a container."""

        async def again() -> None:
            if time.time() - controller.process.started_at > STEADY_SECONDS:
                controller.failures = 0
            while self._running.get(controller.spec.name) is controller:
                pause = BACKOFF[min(controller.failures, len(BACKOFF) - 1)]
                controller.failures += 1
                await asyncio.sleep(pause)
                with suppress(ServerFailed):
                    await controller.process.start()
                    self._note(f"{controller.process.name} runs again, after {pause:.0f} s")
                    return

        controller.tasks.append(asyncio.create_task(again()))

    # -- what each program needs -------------------------------------------------------------------------------------

    def _made(self, spec: ControllerSpec, folder: Path) -> Controller:
        seconds = LONG_TOKEN_SECONDS if spec.program == "injector" else API_TOKEN_SECONDS
        account = private_folder(folder / "serviceaccount")
        tokens = [
            TokenFile(
                path=account / "token",
                namespace=spec.namespace,
                service_account=spec.service_account,
                seconds=seconds,
            )
        ]
        environment = dict(spec.environment)
        if ROLE_ARN in spec.annotations:
            tokens.append(self._web_identity(spec, folder))
            environment |= {
                "AWS_ROLE_ARN": spec.annotations[ROLE_ARN],
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "web-identity-token"),
            }
        kubernetes = self.endpoints.kubernetes
        if spec.program == "sealed-secrets-controller":
            return self._sealed_secrets(spec, folder, environment, tokens)
        user = {"tokenFile": str(account / "token")}
        kubeconfig = write_kubeconfig(folder / "kubeconfig", kubernetes, user, spec.namespace)
        environment["KUBECONFIG"] = str(kubeconfig)
        if spec.program == "injector":
            return self._injector(spec, folder, environment, tokens)
        return self._external_secrets(spec, folder, environment, tokens)

    @staticmethod
    def _web_identity(spec: ControllerSpec, folder: Path) -> TokenFile:
        return TokenFile(
            path=folder / "web-identity-token",
            namespace=spec.namespace,
            service_account=spec.service_account,
            seconds=int(spec.annotations.get(TOKEN_EXPIRATION, WEB_IDENTITY_SECONDS)),
            audience=spec.annotations.get(AUDIENCE, "sts.amazonaws.com"),
        )

    def _external_secrets(
        self, spec: ControllerSpec, folder: Path, environment: dict[str, str], tokens: list[TokenFile]
    ) -> Controller:
        health = f"127.0.0.1:{self._ports[f'{spec.name}-health']}"
        metrics = f"127.0.0.1:{self._ports[f'{spec.name}-metrics']}"
        aws = self.endpoints.aws
        if aws is not None:
            environment |= {
                "AWS_ENDPOINT_URL": aws.endpoint_url,
                "AWS_ENDPOINT_URL_STS": aws.endpoint_url,  # where the SDK exchanges the web identity of its own role
                "AWS_SECRETSMANAGER_ENDPOINT": aws.endpoint_url,
                "AWS_STS_ENDPOINT": aws.endpoint_url,
                "AWS_REGION": aws.region,
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        arguments = [*spec.arguments, f"--metrics-addr={metrics}", f"--live-addr={health}"]
        process = self._process(
            spec,
            [binary("external-secrets"), *arguments],
            folder,
            environment,
            address=f"http://{metrics}/metrics",
            probe=f"http://{health}/healthz",
        )
        return Controller(spec, process, tokens, f"http://{metrics}")

    def _sealed_secrets(
        self, spec: ControllerSpec, folder: Path, environment: dict[str, str], tokens: list[TokenFile]
    ) -> Controller:
        """It knows only in-cluster configuration: it gets a ``/run`` of its own with what a Pod would find there."""
        if self._state_dir.resolve().is_relative_to("/run"):
            raise NotSupported(
                f"{spec.name}: a sandbox below /run cannot run the sealed-secrets controller, which gets a /run of its "
                "own; set STRONGROOM_SANDBOX to a folder elsewhere"
            )
        account = folder / "serviceaccount"
        private_write(account / "ca.crt", self._authority.certificate_file.read_bytes())
        private_write(account / "namespace", spec.namespace)
        server = urlsplit(self.endpoints.kubernetes.server)
        url = f"http://127.0.0.1:{self._ports[spec.name]}"
        metrics = f"127.0.0.1:{self._ports[f'{spec.name}-metrics']}"
        arguments = [
            *spec.arguments,
            f"--listen-addr={url.removeprefix('http://')}",
            f"--listen-metrics-addr={metrics}",
        ]
        environment |= {
            "KUBERNETES_SERVICE_HOST": server.hostname or "",
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "POD_NAMESPACE": spec.namespace,
        }
        process = self._process(
            spec,
            [binary("sealed-secrets-controller"), *arguments],
            folder,
            environment,
            address=url,
            probe=f"{url}/v1/cert.pem",
            prepare=in_namespace(run_links={IN_CLUSTER: str(account)}),
        )
        return Controller(spec, process, tokens, url)

    def _injector(
        self, spec: ControllerSpec, folder: Path, environment: dict[str, str], tokens: list[TokenFile]
    ) -> Controller:
        vault = self.endpoints.vault
        if vault is None:
            raise ServerFailed(f"{spec.name}: the injector needs Vault, which this sandbox does not run")
        environment = {
            "VAULT_ADDR": vault.address,
            "VAULT_CACERT": vault.ca_file,
            "STRONGROOM_SANDBOX": str(self._state_dir),
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        command = [sys.executable, "-m", "sandbox.injector", *spec.arguments]
        process = self._process(spec, command, folder, environment, address="", probe=None)
        return Controller(spec, process, tokens, "")

    def _process(
        self,
        spec: ControllerSpec,
        command: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        *,
        address: str,
        probe: str | None,
        prepare: Callable[[], None] = die_with_parent,
    ) -> ManagedProcess:
        log = self._state_dir / "logs" / f"{spec.name}.log"

        async def answers() -> bool:
            if probe is None:
                await asyncio.sleep(1.0)  # it has no address to ask: one that cannot run ends before this
                return process.exit_code is None
            try:
                async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
                    return (await http.get(probe)).status_code == 200
            except httpx.HTTPError:
                return False

        async def alive() -> str:
            return ""

        process = ManagedProcess(
            spec.name,
            command,
            log=log,
            address=address,
            ready=answers,
            health=alive if probe is None else None,
            environment=environment,
            prepare=prepare,
            cwd=folder,
        )
        return process
