"""One run of a stack: ``run("up", program=..., project=..., stack=..., state=..., providers=[...])``."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi.runtime.proto import resource_pb2

from sandbox.engine import urns
from sandbox.engine.config import Project, StackConfig, load_project, load_stack_config
from sandbox.engine.deleting import delete_all, to_delete
from sandbox.engine.deployment import ORGANIZATION, PARALLEL, Deployment
from sandbox.engine.errors import EngineError, UsageError
from sandbox.engine.events import Audience, Result, Silent
from sandbox.engine.journal import Lock, Store
from sandbox.engine.monitor import FEATURES, Engine, Monitor, serve
from sandbox.engine.planner import Planner
from sandbox.engine.policy import Policy
from sandbox.engine.program import Process, Program
from sandbox.engine.providers import Loader
from sandbox.engine.recovery import recover
from sandbox.engine.refreshing import refresh_all
from sandbox.engine.registry import Registry
from sandbox.engine.secrets import FILE_VARIABLE, VARIABLE, find_passphrase
from sandbox.engine.values import Properties, Redactor

ACTIONS = ("preview", "up", "refresh", "destroy")


def run(
    action: str,
    *,
    program: str | Path,
    stack: str,
    state: str | Path,
    project: str | None = None,
    providers: Sequence[str] = (),
    config: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    config_files: Sequence[str | Path] = (),
    policy_packs: Sequence[str | Path] = (),
    policy_pack_configs: Sequence[str | Path] = (),
    preview: bool = False,
    parallel: int = PARALLEL,
    audience: Audience | None = None,
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run ``preview``, ``up``, ``refresh`` or ``destroy`` and return how it ended.

    ``program`` is a file or a folder (with Pulumi.yaml, or with __main__.py and ``project`` given); ``state`` the file of the
    stack's state, made when it is missing. ``providers`` are classes as ``module:Class``. ``config`` and ``secrets`` are
    settings by key; ``config_files`` (the later wins) take the place of Pulumi.STACK.yaml. With ``preview`` a refresh or a
    destroy is only shown. ``policy_pack_configs`` are the packs' configuration files, in their order.
    ``environment`` (default: this process's) is the program's, and holds the passphrase of the secrets.

    A run that fails is a Result with ``ok=False``. Raises UsageError, ConfigError, StateError and SecretsError for what is
    wrong before it begins.
    """
    variables = dict(os.environ if environment is None else environment)
    if action not in ACTIONS:
        raise UsageError(f"action {action!r}: expected one of {', '.join(ACTIONS)}")
    if parallel < 1:
        raise UsageError(f"--parallel {parallel}: expected 1 or more")
    if len(policy_pack_configs) > len(policy_packs):
        raise UsageError("--policy-pack-config: more of them than of --policy-pack; give each pack one at most")
    passphrase = find_passphrase(variables)
    path = Path(program)
    if action in ("refresh", "destroy") and not path.exists() and project:
        found = Project(project, path)  # neither runs the program
    else:
        found = load_project(path, project)
    settings = load_stack_config(
        found,
        stack,
        files=[Path(file) for file in config_files],
        config=config or {},
        secrets=secrets or {},
        passphrase=passphrase,
    )
    engine = _Run(
        action=action,
        project=found,
        stack=stack,
        settings=settings,
        preview=preview or action == "preview",
        parallel=parallel,
        audience=audience or Silent(),
        environment=variables,
    )
    state_path = Path(state).resolve()
    lock = Lock(state_path)
    if not engine.preview:
        lock.acquire()
    try:
        store = Store(state_path, passphrase, durable=not engine.preview)
        try:
            packs = [Path(pack) for pack in policy_packs]
            configs = [Path(config) for config in policy_pack_configs]
            return asyncio.run(engine.run(store, Loader(providers), packs, configs))
        finally:
            store.close()
    finally:
        lock.release()


class _Run:
    def __init__(
        self,
        *,
        action: str,
        project: Project,
        stack: str,
        settings: StackConfig,
        preview: bool,
        parallel: int,
        audience: Audience,
        environment: dict[str, str],
    ) -> None:
        self.action = action
        self.project = project
        self.stack = stack
        self.settings = settings
        self.preview = preview
        self.parallel = parallel
        self.audience = audience
        self.environment = environment
        self._interrupts = 0

    async def run(self, store: Store, loader: Loader, packs: list[Path], configs: list[Path]) -> Result:
        began = time.monotonic()
        redactor = Redactor()
        redactor.learn_texts(self.settings.secrets())
        deployment = Deployment(
            project=self.project.name,
            stack=self.stack,
            store=store,
            audience=self.audience,
            redactor=redactor,
            preview=self.preview,
            parallel=self.parallel,
        )
        registry = Registry(deployment, loader, self.settings.for_package)
        self.audience.begin(self.action, self.project.name, self.stack, preview=self.preview, redact=redactor)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._on_signal(loop, number, deployment)
        policy = Policy()
        outputs: Properties = {}
        try:
            store.start()
            await recover(deployment, registry)
            if packs and self.action in ("preview", "up"):
                from sandbox.engine.packs import Packs

                policy = await Packs.start(packs, configs, deployment, self.settings, self.environment, ORGANIZATION)
            if self.action in ("preview", "up"):
                outputs = await self._program(deployment, registry, policy)
            elif self.action == "refresh":
                await refresh_all(deployment, registry)
                outputs = self._outputs(deployment)
            else:
                await delete_all(deployment, registry, to_delete(deployment))
                outputs = self._outputs(deployment)
        except EngineError as error:
            deployment.fail(str(error))
            outputs = self._outputs(deployment)
        finally:
            await policy.close()
            await deployment.wait_idle()
            store.save()
        result = Result(
            ok=not deployment.failed,
            action=self.action,
            steps=deployment.public_steps(),
            diagnostics=deployment.diagnostics,
            outputs=outputs,
            seconds=time.monotonic() - began,
        )
        self.audience.end(result)
        return result

    def _on_signal(self, loop: asyncio.AbstractEventLoop, number: int, deployment: Deployment) -> None:
        def interrupted() -> None:
            self._interrupts += 1
            if self._interrupts > 1:
                os._exit(130)  # the journal has all that was finished
            deployment.fail("interrupted: what has begun is being finished; interrupt once more to end at once")

        try:
            loop.add_signal_handler(number, interrupted)
        except (NotImplementedError, RuntimeError, ValueError):
            return  # not in the main thread: whoever runs us there handles signals

    @staticmethod
    def _outputs(deployment: Deployment) -> Properties:
        for resource in deployment.store.resources():
            if resource.type == urns.STACK_TYPE and not resource.delete:
                return resource.outputs
        return {}

    # -- preview and up ---------------------------------------------------------------------------------------------

    async def _program(self, deployment: Deployment, registry: Registry, policy: Policy) -> Properties:
        planner = Planner(deployment, registry, policy)
        monitor = Monitor(deployment, planner, registry, self._info())
        server, address = await serve(monitor, Engine(deployment))
        process = await Process.start(
            Program(
                self.project.program,
                self.project.name,
                self.stack,
                ORGANIZATION,
                **({"python": str(self.project.python)} if self.project.python else {}),
                root=self.project.folder,
            ),
            address,
            self._program_environment(),
            preview=self.preview,
            parallel=self.parallel,
            tell=lambda stream, line: self.audience.program_line(stream, deployment.redactor(line)),
        )
        try:
            code = await self._until_end(process, deployment, monitor)
            return await self._conclude(deployment, registry, policy, monitor.stack_outputs, code)
        finally:
            await deployment.wait_idle()
            await monitor.callbacks.close()
            monitor.released.set()
            if monitor.waiting.is_set():
                await process.stop()
            process.kill()
            await server.stop(grace=None)

    async def _conclude(
        self, deployment: Deployment, registry: Registry, policy: Policy, exported: Properties | None, code: int
    ) -> Properties:
        """What follows once the program has registered everything: the deletions, and the stack's outputs."""
        root = deployment.news.get(deployment.root_urn)
        before = root.outputs if root is not None else {}
        if root is not None and exported is not None:
            root.outputs = exported
        if code != 0 and not deployment.stopping.is_set():
            if not any(item.severity == "error" for item in deployment.diagnostics):
                deployment.tell("error", f"the program ended with exit code {code}")
            deployment.fail_quietly()
        if not deployment.stopping.is_set():
            await policy.analyze_stack(deployment.news.values())
        if not deployment.stopping.is_set():
            await delete_all(deployment, registry, to_delete(deployment))
        if root is None:
            return self._outputs(deployment)
        if exported is not None:
            if deployment.failed:
                root.outputs = {**before, **exported}  # nothing is let go of that may still be of use
            deployment.store.put(root)
        return root.outputs

    async def _until_end(self, process: Process, deployment: Deployment, monitor: Monitor) -> int:
        """The program's exit code; 0 where it has registered everything and waits, because its hooks may be called."""
        ended = asyncio.create_task(process.wait())
        signs = [asyncio.create_task(event.wait()) for event in (deployment.stopping, monitor.waiting)]
        await asyncio.wait({ended, *signs}, return_when=asyncio.FIRST_COMPLETED)
        for sign in signs:
            sign.cancel()
        if ended.done():
            return ended.result()
        if deployment.stopping.is_set():
            await deployment.wait_idle()
            await process.stop()
            return await ended
        ended.cancel()
        return 0

    def _info(self) -> Any:
        return resource_pb2.DeploymentInfo(
            project=self.project.name,
            stack=self.stack,
            organization=ORGANIZATION,
            config=self.settings.values,
            configSecretKeys=sorted(self.settings.secret_keys),
            dryRun=self.preview,
            parallel=self.parallel,
            supportedFeatures=FEATURES,
        )

    def _program_environment(self) -> dict[str, str]:
        # The passphrase is the engine's; the settings travel as they do with the Pulumi CLI.
        variables = {key: value for key, value in self.environment.items() if key not in (VARIABLE, FILE_VARIABLE)}
        variables["PULUMI_CONFIG"] = json.dumps(self.settings.values)
        variables["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(sorted(self.settings.secret_keys))
        return variables
