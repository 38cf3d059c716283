"""The two services that a program talks to: ResourceMonitor and Engine, on 127.0.0.1."""

# ruff: noqa: N802 - methods have the protocol's names

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, resource_pb2, resource_pb2_grpc

from sandbox.engine import builtin, urns
from sandbox.engine.deployment import Deployment, StepFailed, Stopped
from sandbox.engine.errors import EngineError, Unsupported
from sandbox.engine.goal import Goal, ProviderRequest, ReadGoal, from_request, refuse_unsupported
from sandbox.engine.importing import read_resource
from sandbox.engine.planner import Planner
from sandbox.engine.providers import OperationFailed
from sandbox.engine.registry import INTERNAL, Registry, denial
from sandbox.engine.state import Resource
from sandbox.engine.transforms import Callbacks
from sandbox.engine.values import Properties, from_struct, to_struct

FEATURES = [
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_REFERENCES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_OUTPUT_VALUES,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_INVOKE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
]
GET_RESOURCE = "pulumi:pulumi:getResource"
SEVERITIES = {
    engine_pb2.DEBUG: "debug",
    engine_pb2.INFO: "info",
    engine_pb2.WARNING: "warning",
    engine_pb2.ERROR: "error",
}


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """ResourceMonitor: what the program registers, reads and calls."""

    def __init__(self, deployment: Deployment, planner: Planner, registry: Registry, info: Any) -> None:
        """``info`` is the DeploymentInfo that programs ask for."""
        self._deployment = deployment
        self._planner = planner
        self._registry = registry
        self._info = info
        self.callbacks = Callbacks()
        deployment.hooks.call = self.callbacks.call
        self.waiting = asyncio.Event()  # the program has registered everything and keeps its functions at hand
        self.released = asyncio.Event()  # nothing of the program is needed any more
        self._goals: dict[str, Goal] = {}  # of this run, by URN
        self.stack_outputs: Properties | None = None  # held until it is known how the program ended

    # -- resources --------------------------------------------------------------------------------------------------

    async def RegisterResource(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._register, request)

    async def _register(self, request: Any) -> Any:
        original = request
        try:
            refuse_unsupported(request)
        except EngineError as error:
            self._deployment.fail(str(error))
            raise Stopped from error
        # What is wrong with one registration is raised in the program; others go on until that ends.
        request = await self.callbacks.transform_resource(request)
        goal = from_request(request)
        self._inherit(goal, request)
        if goal.custom and urns.is_provider(goal.type):
            internal: Properties = {"pluginDownloadURL": goal.url} if goal.url else {}
            goal.inputs[INTERNAL] = internal
            if goal.version:
                goal.inputs["version"] = goal.version
        elif goal.custom:
            goal.provider = await self._provider(goal, goal.providers)
        else:
            goal.provider = ""
        resource = await self._planner.register(goal)
        self._goals[resource.urn] = goal
        if original.transforms:
            self.callbacks.keep(resource.urn, original.transforms, resource.parent)
        elif resource.parent:
            self.callbacks.keep(resource.urn, (), resource.parent)
        # A component's outputs are those of the last run until it registers new ones: they may name what is not there yet.
        outputs = resource.outputs if resource.custom else {}
        return resource_pb2.RegisterResourceResponse(urn=resource.urn, id=resource.id, object=to_struct(outputs))

    def _inherit(self, goal: Goal, request: Any) -> None:
        """What a resource does not say of its provider and of its deletion, its parent says."""
        parent = self._goals.get(goal.parent)
        if parent is None:
            return
        package = urns.package_of(goal.type)
        if parent.provider and urns.package_of(parent.type) == package and not urns.is_provider(goal.type):
            goal.provider = goal.provider or goal.providers.get(package) or parent.provider
        goal.deleted_with = goal.deleted_with or parent.deleted_with
        if not request.HasField("protect"):
            goal.protect = parent.protect
        if not request.HasField("retainOnDelete"):
            goal.retain_on_delete = parent.retain_on_delete

    async def Call(self, request: Any, context: Any) -> Any:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"the embedded engine does not support calls of methods ({request.tok}); use the Pulumi CLI",
        )

    async def RegisterPackage(self, request: Any, context: Any) -> Any:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"the embedded engine does not support parameterized packages ({request.name}); use the Pulumi CLI",
        )

    async def _provider(self, wanted: Goal | ReadGoal, providers: dict[str, str]) -> str:
        """The reference of the provider for a resource; empty where only a forbidden default one would do."""
        package = urns.package_of(wanted.type)
        if package == builtin.PACKAGE and wanted.type not in (builtin.STASH, builtin.STACK_REFERENCE):
            raise Unsupported(f"the embedded engine does not support {wanted.type}; use the Pulumi CLI")
        given = wanted.provider or providers.get(package, "")
        if given or self._registry.denied(package):
            return given
        return await self._registry.default(ProviderRequest(package, wanted.version, wanted.url))

    async def RegisterResourceOutputs(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._outputs, request)

    async def _outputs(self, request: Any) -> Any:
        self._deployment.check_running()
        resource = self._deployment.news.get(request.urn)
        if resource is None:
            raise EngineError(f"outputs of {request.urn!r}, which is not registered")
        outputs = from_struct(request.outputs)
        self._deployment.redactor.learn(outputs)
        if resource.type == urns.STACK_TYPE:
            self.stack_outputs = outputs
        elif outputs != resource.outputs:
            resource.outputs = outputs
            self._deployment.store.put(resource)
        await self._deployment.hooks.outputs_registered(request.urn)
        return empty_pb2.Empty()

    async def ReadResource(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._read, request)

    async def _read(self, request: Any) -> Any:
        if request.packageRef:
            raise EngineError(
                f"{request.type} {request.name!r}: the embedded engine does not support parameterized packages"
            )
        goal = ReadGoal(
            type=request.type,
            name=request.name,
            id=request.id,
            inputs=from_struct(request.properties),
            parent=request.parent,
            provider=request.provider,
            version=request.version,
            url=request.pluginDownloadURL,
            dependencies=sorted(set(request.dependencies)),
            additional_secret_outputs=list(request.additionalSecretOutputs),
        )
        goal.provider = await self._provider(goal, {})
        if not goal.provider:
            raise EngineError(denial(goal.type, goal.type))
        resource = await read_resource(self._deployment, self._registry, goal)
        # As Pulumi's engine of this version: no ID, so that in a preview the program does not know it.
        return resource_pb2.ReadResourceResponse(urn=resource.urn, properties=to_struct(resource.outputs))

    # -- functions --------------------------------------------------------------------------------------------------

    async def Invoke(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._invoke, request)

    async def _invoke(self, request: Any) -> Any:
        if request.tok == GET_RESOURCE:
            return self._get_resource(from_struct(request.args))
        request = await self.callbacks.transform_invoke(request)
        reference = request.provider
        if not reference:
            package = urns.package_of(request.tok)
            if package == builtin.PACKAGE and request.tok != builtin.READ_STACK_OUTPUTS:
                raise Unsupported(f"the embedded engine does not support {request.tok}; use the Pulumi CLI")
            if self._registry.denied(package):
                raise EngineError(denial(package, request.tok))
            wanted = ProviderRequest(package, request.version, request.pluginDownloadURL)
            reference = await self._registry.default(wanted)
        provider = self._registry.get("", reference)
        if not provider.configured:  # its settings are not known yet, so it is not asked
            return resource_pb2.ResourceInvokeResponse()
        args = from_struct(request.args)
        self._deployment.redactor.learn(args)
        try:
            result, failures = await provider.invoke(request.tok, args)
        except OperationFailed as error:
            raise EngineError(f"invocation of {request.tok} returned an error: {error}") from error
        self._deployment.redactor.learn(result)
        response = resource_pb2.ResourceInvokeResponse(
            failures=[provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures]
        )
        getattr(response, "return").CopyFrom(to_struct(result))
        return response

    def _get_resource(self, args: Properties) -> Any:
        resource: Resource | None = self._deployment.news.get(args.get("urn", ""))
        if resource is None:
            raise EngineError(f"unknown resource {args.get('urn')!r}")
        response = resource_pb2.ResourceInvokeResponse()
        found = {"urn": resource.urn, "id": resource.id, "state": resource.outputs}
        getattr(response, "return").CopyFrom(to_struct(found))
        return response

    # -- the program's surroundings ---------------------------------------------------------------------------------

    async def GetDeploymentInfo(self, request: Any, context: Any) -> Any:
        del request, context
        return self._info

    async def SupportsFeature(self, request: Any, context: Any) -> Any:
        del context
        known = {"secrets", "resourceReferences", "aliasSpecs", "deletedWith", "transforms", "invokeTransforms"}
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in known)

    async def RegisterStackTransform(self, request: Any, context: Any) -> Any:
        del context
        self.callbacks.resource.append(request)
        return empty_pb2.Empty()

    async def RegisterStackInvokeTransform(self, request: Any, context: Any) -> Any:
        del context
        self.callbacks.invoke.append(request)
        return empty_pb2.Empty()

    async def SignalAndWaitForShutdown(self, request: Any, context: Any) -> Any:
        del request, context
        if self._deployment.hooks:  # a deletion may call one
            self.waiting.set()
            await self.released.wait()
        else:
            await self.callbacks.close()
        return empty_pb2.Empty()

    async def RegisterResourceHook(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._register_hook, request)

    async def RegisterErrorHook(self, request: Any, context: Any) -> Any:
        return await self._guarded(context, self._register_hook, request)

    async def _register_hook(self, request: Any) -> Any:
        self._deployment.hooks.register(request)
        return empty_pb2.Empty()

    async def _guarded(self, context: Any, handler: Callable[[Any], Any], request: Any) -> Any:
        # What has begun goes on to its end and into the state, also where the program ends and its call is cancelled with it.
        work = asyncio.ensure_future(handler(request))
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(work)
        except (Stopped, StepFailed):
            # The SDK ends quietly when the monitor has gone away.
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the run has stopped")
        except (EngineError, OperationFailed) as error:
            await context.abort(grpc.StatusCode.UNKNOWN, self._deployment.redactor(str(error)))


class Engine(engine_pb2_grpc.EngineServicer):
    """Engine: the program's log, and which resource is its root."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._root = ""

    async def Log(self, request: Any, context: Any) -> Any:
        del context
        severity = SEVERITIES.get(request.severity, "info")
        if severity != "debug" and not (self._deployment.stopping.is_set() and severity == "error"):
            self._deployment.tell(severity, request.message, request.urn)
        return empty_pb2.Empty()

    async def GetRootResource(self, request: Any, context: Any) -> Any:
        del request, context
        return engine_pb2.GetRootResourceResponse(urn=self._root)

    async def SetRootResource(self, request: Any, context: Any) -> Any:
        del context
        self._root = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def RequirePulumiVersion(self, request: Any, context: Any) -> Any:
        del request, context
        return engine_pb2.RequirePulumiVersionResponse()


async def serve(monitor: Monitor, engine: Engine) -> tuple[Any, str]:
    """Start both services; the server and its address."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(monitor, server)
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
