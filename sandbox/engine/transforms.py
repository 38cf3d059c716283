"""Callbacks into the program: transforms of resources and of function calls."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import struct_pb2
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from sandbox.engine.errors import EngineError
from sandbox.engine.values import OUTPUT, SECRET, SIGNATURE, UNKNOWN

_OPTIONS = {  # TransformResourceOptions -> RegisterResourceRequest
    "depends_on": "dependencies",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "aliases": "aliases",
    "additional_secret_outputs": "additionalSecretOutputs",
    "replace_with": "replace_with",
    "hide_diff": "hideDiffs",
}
_SCALARS = {
    "version": "version",
    "provider": "provider",
    "plugin_download_url": "pluginDownloadURL",
    "deleted_with": "deletedWith",
}


class Callbacks:
    """Calls functions of the program by the tokens under which it registered them."""

    def __init__(self) -> None:
        self._stubs: dict[str, Any] = {}
        self._channels: list[Any] = []
        self.resource: list[Any] = []  # transforms for all resources
        self.invoke: list[Any] = []  # transforms for all function calls
        self._own: dict[str, tuple[list[Any], str]] = {}  # a resource's transforms and its parent, by URN

    async def close(self) -> None:
        """Before the program closes its end, or gRPC tells of it on stderr."""
        while self._channels:
            await self._channels.pop().close()

    async def call(self, callback: Any, request: Any, response: Any) -> Any:
        """Raises EngineError with what the function raised."""
        stub = self._stubs.get(callback.target)
        if stub is None:
            channel = grpc.aio.insecure_channel(callback.target, options=_GRPC_CHANNEL_OPTIONS)
            self._channels.append(channel)
            stub = self._stubs[callback.target] = callback_pb2_grpc.CallbacksStub(channel)
        message = callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
        try:
            answer = await stub.Invoke(message)
        except grpc.aio.AioRpcError as error:
            raise EngineError(error.details() or "a callback of the program failed") from error
        return response.FromString(answer.response)

    def keep(self, urn: str, transforms: Any, parent: str) -> None:
        """A resource's transforms are its children's too."""
        self._own[urn] = (list(transforms), parent)

    async def transform_resource(self, request: Any) -> Any:
        """The request as the transforms want it: the resource's own first, then its parents', then the stack's."""
        transforms = list(request.transforms)
        parent = request.parent
        while parent in self._own:
            above, parent = self._own[parent]
            transforms += above
        transforms += self.resource
        if not transforms:
            return request
        # A program's own transforms see what comes from another resource as an output, all see secrets and unknowns so.
        own = bool(request.transforms)
        sources = {key: sorted(set(item.urns)) for key, item in request.propertyDependencies.items()} if own else {}
        properties, options = with_outputs(request.object, sources), _options_of(request)
        for callback in transforms:
            asked = resource_pb2.TransformRequest(
                type=request.type,
                name=request.name,
                custom=request.custom,
                parent=request.parent,
                properties=properties,
                options=options,
            )
            answer = await self.call(callback, asked, resource_pb2.TransformResponse)
            if answer.HasField("properties"):
                properties = answer.properties
            if answer.HasField("options"):
                options = answer.options
        changed = resource_pb2.RegisterResourceRequest()
        changed.CopyFrom(request)
        changed.object.CopyFrom(properties)
        _take_options(changed, options)
        if own:
            changed.ClearField("propertyDependencies")
        else:  # only a resource's own transforms change what the whole of it depends on
            changed.ClearField("dependencies")
            changed.dependencies.extend(request.dependencies)
        for key, value in properties.fields.items():
            urns = sorted(_sources_of(value))
            changed.propertyDependencies[key].urns.extend(urns)
            if own:
                changed.dependencies.extend(urns)
        return changed

    async def transform_invoke(self, request: Any) -> Any:
        if not self.invoke:
            return request
        args = with_outputs(request.args, {})
        options = resource_pb2.TransformInvokeOptions(
            provider=request.provider, version=request.version, plugin_download_url=request.pluginDownloadURL
        )
        for callback in self.invoke:
            asked = resource_pb2.TransformInvokeRequest(token=request.tok, args=args, options=options)
            answer = await self.call(callback, asked, resource_pb2.TransformInvokeResponse)
            if answer.HasField("args"):
                args = answer.args
            if answer.HasField("options"):
                options = answer.options
        changed = resource_pb2.ResourceInvokeRequest()
        changed.CopyFrom(request)
        changed.args.CopyFrom(args)
        changed.provider, changed.version = options.provider, options.version
        changed.pluginDownloadURL = options.plugin_download_url
        return changed


def with_outputs(struct: Any, sources: dict[str, list[str]]) -> Any:
    """The properties with secrets, unknowns and what depends on other resources (``sources``, by property) as output values."""
    result = struct_pb2.Struct()
    for key, value in struct.fields.items():
        found = _with_outputs(value)
        urns = sources.get(key)
        if urns:
            fields = found.struct_value.fields
            if not _is(found, OUTPUT):
                found = struct_pb2.Value()
                fields = found.struct_value.fields
                fields[SIGNATURE].string_value = OUTPUT
                fields["value"].CopyFrom(_with_outputs(value))
            for urn in urns:
                fields["dependencies"].list_value.values.add().string_value = urn
        result.fields[key].CopyFrom(found)
    return result


def _is(value: Any, signature: str) -> bool:
    fields = value.struct_value.fields
    return SIGNATURE in fields and bool(fields[SIGNATURE].string_value == signature)


def _with_outputs(value: Any) -> Any:
    result = struct_pb2.Value()
    secret = _is(value, SECRET)
    inner = value.struct_value.fields["value"] if secret else value
    unknown = inner.string_value == UNKNOWN
    if secret or unknown:
        fields = result.struct_value.fields
        fields[SIGNATURE].string_value = OUTPUT
        if not unknown:
            fields["value"].CopyFrom(_with_outputs(inner))
        if secret:
            fields["secret"].bool_value = True
    elif value.HasField("struct_value"):
        result.struct_value.SetInParent()
        for key, item in value.struct_value.fields.items():
            result.struct_value.fields[key].CopyFrom(_with_outputs(item))
    elif value.HasField("list_value"):
        result.list_value.SetInParent()
        for item in value.list_value.values:
            result.list_value.values.add().CopyFrom(_with_outputs(item))
    else:
        result.CopyFrom(value)
    return result


def _sources_of(value: Any) -> set[str]:
    """The URNs that the output values in a property depend on."""
    urns: set[str] = set()
    if _is(value, OUTPUT):
        fields = value.struct_value.fields
        if "dependencies" in fields:
            urns.update(item.string_value for item in fields["dependencies"].list_value.values)
    for item in (*value.struct_value.fields.values(), *value.list_value.values):
        urns |= _sources_of(item)
    return urns


def _options_of(request: Any) -> Any:
    options = resource_pb2.TransformResourceOptions()
    for name, field in _OPTIONS.items():
        getattr(options, name).extend(getattr(request, field))
    for name, field in _SCALARS.items():
        setattr(options, name, getattr(request, field))
    for name, field in (("protect", "protect"), ("retain_on_delete", "retainOnDelete")):
        if request.HasField(field):
            setattr(options, name, getattr(request, field))
    if request.deleteBeforeReplaceDefined:
        options.delete_before_replace = request.deleteBeforeReplace
    options.providers.update(request.providers)
    if request.HasField("customTimeouts"):
        options.custom_timeouts.CopyFrom(request.customTimeouts)
    if request.HasField("hooks"):
        options.hooks.CopyFrom(request.hooks)
    if request.HasField("replacement_trigger"):
        options.replacement_trigger.CopyFrom(request.replacement_trigger)
    return options


def _take_options(request: Any, options: Any) -> None:
    for name, field in _OPTIONS.items():
        request.ClearField(field)
        getattr(request, field).extend(getattr(options, name))
    for name, field in _SCALARS.items():
        setattr(request, field, getattr(options, name))
    for name, field in (("protect", "protect"), ("retain_on_delete", "retainOnDelete")):
        request.ClearField(field)
        if options.HasField(name):
            setattr(request, field, getattr(options, name))
    request.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")
    request.deleteBeforeReplace = options.delete_before_replace
    request.ClearField("providers")
    request.providers.update(options.providers)
    for name, field in (
        ("custom_timeouts", "customTimeouts"),
        ("hooks", "hooks"),
        ("replacement_trigger", "replacement_trigger"),
    ):
        request.ClearField(field)
        if options.HasField(name):
            getattr(request, field).CopyFrom(getattr(options, name))
