"""Policy packs over Pulumi's ``Analyzer`` protocol: what they say of a resource, of the stack, and what they mend.

Calls are made in the order of the Pulumi CLI: Handshake, ConfigureStack, GetAnalyzerInfo, Configure; then Remediate and Analyze
for each resource, AnalyzeStack at the end, Cancel.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi.runtime.proto import analyzer_pb2_grpc

from sandbox.engine import pack_config
from sandbox.engine.errors import EngineError
from sandbox.engine.pack_process import NO_ENGINE, PackProcess, PackStack
from sandbox.engine.values import RESOURCE, SIGNATURE, Properties, Secret, from_struct, to_struct

_CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]
_CANCEL_SECONDS = 1.0
_SEVERITIES = {
    proto.POLICY_SEVERITY_LOW: "low",
    proto.POLICY_SEVERITY_MEDIUM: "medium",
    proto.POLICY_SEVERITY_HIGH: "high",
    proto.POLICY_SEVERITY_CRITICAL: "critical",
}
CANNOT_RUN = "can't run policy"  # how the SDKs begin to tell that a value is not known yet
MENDED = "mended by policy "  # how a remediation is told

Tell = Callable[[str, str, str], None]  # severity, message, URN


def _silent(severity: str, message: str, urn: str) -> None:
    del severity, message, urn


@dataclass(frozen=True, slots=True)
class Violation:
    """What a policy says of a resource, or (without ``urn``) of the stack. ``level`` is advisory, mandatory or remediate."""

    policy: str
    message: str
    level: str
    urn: str = ""
    pack: str = ""
    severity: str = ""
    description: str = ""
    remediation: str = ""
    link: str = ""

    @property
    def undecided(self) -> bool:
        """Whether the policy could not be run, because it met a value that is not known before the run."""
        return self.message.startswith(CANNOT_RUN)


class _Pack:
    def __init__(self, process: PackProcess) -> None:
        self.process = process
        self.name = process.name
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{process.port}", options=_CHANNEL_OPTIONS)
        self.stub = analyzer_pb2_grpc.AnalyzerStub(self.channel)
        self.policies: dict[str, Any] = {}

    async def call(self, method: str, request: Any, *, optional: bool = False) -> Any:
        """One call; None where the pack does not have an optional method. Raises EngineError."""
        try:
            return await getattr(self.stub, method)(request)
        except grpc.aio.AioRpcError as error:
            if optional and error.code() == grpc.StatusCode.UNIMPLEMENTED:
                return None
            gone = "" if self.process.running else "; its process has ended"
            raise EngineError(f"policy pack {self.name}: {method} failed: {error.details()}{gone}") from error

    async def configure(self, stack: PackStack, config: Path | None) -> None:
        place = str(self.process.folder)
        handshake = proto.AnalyzerHandshakeRequest(
            engine_address=NO_ENGINE, root_directory=place, program_directory=place
        )
        await self.call("Handshake", handshake, optional=True)
        request = proto.AnalyzerStackConfigureRequest(
            stack=stack.stack,
            project=stack.project,
            organization=stack.organization,
            dry_run=stack.dry_run,
            config=dict(stack.config),
            config_secret_keys=list(stack.secret_keys),
        )
        await self.call("ConfigureStack", request, optional=True)
        info = await self.call("GetAnalyzerInfo", empty_pb2.Empty())
        self.policies = {policy.name: policy for policy in info.policies}
        if info.supportsConfig:
            given = pack_config.read(config) if config else {}
            source = f"--policy-pack-config {config}" if config else f"policy pack {self.name}"
            await self.call("Configure", pack_config.reconcile(info, given, source))
        elif config:
            raise EngineError(f"--policy-pack-config {config}: the pack {self.name} takes no configuration")

    def violation(self, diagnostic: Any) -> Violation:
        policy = self.policies.get(diagnostic.policyName)
        severity = diagnostic.severity or (policy.severity if policy else proto.POLICY_SEVERITY_UNSPECIFIED)
        return Violation(
            policy=diagnostic.policyName,
            message=diagnostic.message,
            level=pack_config.LEVEL_NAMES[diagnostic.enforcementLevel],
            urn=diagnostic.urn,
            pack=self.name,
            severity=_SEVERITIES.get(severity, ""),
            description=diagnostic.description,
            remediation=policy.remediation_steps if policy else "",
            link=policy.url if policy else "",
        )

    async def close(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, EngineError):
            await self.stub.Cancel(empty_pb2.Empty(), timeout=_CANCEL_SECONDS)
        await self.channel.close()
        await self.process.stop()


class PolicyPacks:
    """The packs of one run."""

    def __init__(self) -> None:
        self._packs: list[_Pack] = []
        self._tell: Tell = _silent

    async def start(
        self,
        dirs: Sequence[Path],
        project: str,
        stack: str,
        config: Mapping[str, str],
        *,
        configs: Sequence[Path | None] = (),
        organization: str = "organization",
        dry_run: bool = False,
        secret_keys: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Start and configure the packs in ``dirs``; ``configs`` has the configuration file of the pack at the same place.

        ``tell`` is told what packs print and mend. Raises UsageError where a pack does not
        start, ConfigError for its configuration; then no process is left.
        """
        self._tell = tell or self._tell
        about = PackStack(project, stack, organization, dry_run, config, secret_keys)
        variables = os.environ if environment is None else environment
        try:
            for index, folder in enumerate(dirs):
                process = await PackProcess.start(folder, about, variables, tell=self._say)
                pack = _Pack(process)
                self._packs.append(pack)
                await pack.configure(about, configs[index] if index < len(configs) else None)
        except BaseException:
            await self.close()
            raise

    def _say(self, line: str) -> None:
        self._tell("warning", f"policy pack: {line}", "")

    async def analyze(self, **fields: Any) -> list[Violation]:
        """What the packs say of one resource, by its inputs. Raises EngineError where a pack fails."""
        return await self._ask("Analyze", _analyze_request(fields, internal=False))

    async def analyze_stack(self, resources: Sequence[Mapping[str, Any]]) -> list[Violation]:
        """What the packs say of all resources together, by their outputs."""
        return await self._ask(
            "AnalyzeStack",
            proto.AnalyzeStackRequest(resources=[_resource(fields) for fields in resources]),
            optional=True,
        )

    async def _ask(self, method: str, request: Any, *, optional: bool = False) -> list[Violation]:
        found: list[Violation] = []
        for pack in self._packs:
            response = await pack.call(method, request, optional=optional)
            found += [pack.violation(item) for item in (response.diagnostics if response else ())]
        return found

    async def remediate(self, **fields: Any) -> Properties | None:
        """The inputs as the packs mend them; None where they leave them as they are."""
        original: Properties = fields["properties"]
        mended = original
        for pack in self._packs:
            request = _analyze_request({**fields, "properties": mended}, internal=True)
            response = await pack.call("Remediate", request, optional=True)
            sent = from_struct(request.properties)
            for remediation in response.remediations if response else ():
                if remediation.diagnostic:
                    self._tell("warning", remediation.diagnostic, fields["urn"])
                if not remediation.HasField("properties"):
                    continue
                now = from_struct(remediation.properties)
                changed = sorted(key for key in sent.keys() | now.keys() if sent.get(key) != now.get(key))
                # What the pack left alone stays as it was: the protocol cannot carry all of it (references to resources).
                mended = {key: value if key in changed else mended[key] for key, value in now.items()}
                sent = now
                if changed:
                    message = f"{MENDED}{remediation.policyName} set {', '.join(changed)}: {remediation.description}"
                    self._tell("info", message, fields["urn"])
        return None if mended is original else mended

    async def close(self) -> None:
        """End the packs' processes."""
        packs, self._packs = self._packs, []
        for pack in packs:
            await pack.close()


def _wire(properties: Mapping[str, Any], *, internal: bool) -> Any:
    return to_struct(
        {
            key: _without_references(value, internal=internal)
            for key, value in properties.items()
            if internal or not key.startswith("__")
        }
    )


def _without_references(value: Any, *, internal: bool) -> Any:
    if isinstance(value, Secret):
        return Secret(_without_references(value.value, internal=internal))
    if isinstance(value, list):
        return [_without_references(item, internal=internal) for item in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == RESOURCE:
            identifier = value.get("id")
            return value["urn"] if identifier is None else identifier
        return {
            key: _without_references(item, internal=internal)
            for key, item in value.items()
            if internal or not key.startswith("__")
        }
    return value


def _provider(provider: Mapping[str, Any] | None) -> Any:
    if provider is None:
        return None
    return proto.AnalyzerProviderResource(
        urn=provider["urn"],
        type=provider["type"],
        name=provider["name"],
        properties=_wire(provider["properties"], internal=False),
    )


def _options(options: Mapping[str, Any]) -> Any:
    timeouts = options.get("custom_timeouts") or {}
    first = options.get("delete_before_replace")
    return proto.AnalyzerResourceOptions(
        protect=bool(options.get("protect")),
        ignoreChanges=list(options.get("ignore_changes") or ()),
        deleteBeforeReplace=bool(first),
        deleteBeforeReplaceDefined=first is not None,
        additionalSecretOutputs=list(options.get("additional_secret_outputs") or ()),
        aliases=list(options.get("aliases") or ()),
        customTimeouts=proto.AnalyzerResourceOptions.CustomTimeouts(
            **{name: timeouts.get(name, 0.0) for name in ("create", "update", "delete")}
        ),
        parent=options.get("parent") or "",
    )


def _common(fields: Mapping[str, Any], *, internal: bool) -> dict[str, Any]:
    return {
        "urn": fields["urn"],
        "type": fields["type"],
        "name": fields["name"],
        "properties": _wire(fields["properties"], internal=internal),
        "options": _options(fields.get("options") or {}),
        "provider": _provider(fields.get("provider")),
    }


def _analyze_request(fields: Mapping[str, Any], *, internal: bool) -> Any:
    return proto.AnalyzeRequest(**_common(fields, internal=internal))


def _resource(fields: Mapping[str, Any]) -> Any:
    return proto.AnalyzerResource(
        **_common(fields, internal=False),
        parent=fields.get("parent") or "",
        dependencies=list(fields.get("dependencies") or ()),
        propertyDependencies={
            key: proto.AnalyzerPropertyDependencies(urns=list(listed))
            for key, listed in (fields.get("property_dependencies") or {}).items()
            if listed
        },
    )
