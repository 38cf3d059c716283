"""The pack's side of the Analyzer protocol: the SDK's own, asked only about the rules that concern a type.

The SDK's servicer unpacks a request anew for each of its policies, which with all rules takes milliseconds a resource. Here each
type gets a servicer of the SDK with just the policies about it (most types have none), and a stack policy sees just the
resources of its types. ``python -m tests.bench.policies`` measures it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import EnforcementLevel, Policy, StackValidationPolicy

# The SDK offers no other way in than PolicyPack(), which makes one servicer of all policies and blocks.
from pulumi_policy.policy import _PolicyAnalyzerServicer

_MESSAGE_BYTES = 400 * 2**20  # as the SDK's own server
About = Callable[[Policy, str], bool]  # whether a policy concerns a resource type


class ByType(analyzer_pb2_grpc.AnalyzerServicer):
    """Policies behind the protocol; the answers are those of the SDK's servicer with all of them."""

    def __init__(self, name: str, version: str, policies: Sequence[Policy], about: About) -> None:
        def make(some: Sequence[Policy]) -> Any:
            return _PolicyAnalyzerServicer(name, version, list(some), EnforcementLevel.ADVISORY)

        self._make: Callable[[Sequence[Policy]], Any] = make
        self._all = self._make(policies)
        self._of_resources = [policy for policy in policies if not isinstance(policy, StackValidationPolicy)]
        self._of_stack = [policy for policy in policies if isinstance(policy, StackValidationPolicy)]
        self._about = about
        self._parts: dict[tuple[str, ...], Any] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._requests: dict[str, Any] = {}
        self._lock = threading.Lock()

    def _part(self, some: Sequence[Policy]) -> Any:
        """The servicer of some policies, configured as the whole was."""
        names = tuple(policy.name for policy in some)
        with self._lock:
            found = self._parts.get(names)
            if found is None:
                found = self._parts[names] = self._make(some)
                for method, request in self._requests.items():
                    getattr(found, method)(request, None)
            return found

    def _for(self, resource_type: str) -> Any:
        names = self._names.get(resource_type)
        if names is None:
            some = [policy for policy in self._of_resources if self._about(policy, resource_type)]
            part = self._part(some) if some else None
            self._names[resource_type] = tuple(policy.name for policy in some)
            return part
        return self._parts.get(names)

    def _configured(self, method: str, request: Any) -> Any:
        with self._lock:
            self._requests[method] = request
            for part in self._parts.values():
                getattr(part, method)(request, None)
            return getattr(self._all, method)(request, None)

    # The methods' names are the protocol's.
    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802
        part = self._for(request.type)
        return part.Analyze(request, context) if part else analyzer_pb2.AnalyzeResponse()

    def Remediate(self, request: Any, context: Any) -> Any:  # noqa: N802
        part = self._for(request.type)
        return part.Remediate(request, context) if part else analyzer_pb2.RemediateResponse()

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = analyzer_pb2.AnalyzeResponse()
        for policy in self._of_stack:
            concerned = [resource for resource in request.resources if self._about(policy, resource.type)]
            some = analyzer_pb2.AnalyzeStackRequest(resources=concerned)
            answer.MergeFrom(self._part([policy]).AnalyzeStack(some, context))
        return answer

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._all.GetAnalyzerInfo(request, context)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self._all.GetPluginInfo(request, context)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        return self._configured("Configure", request)

    def ConfigureStack(self, request: Any, context: Any) -> Any:  # noqa: N802
        del context
        return self._configured("ConfigureStack", request)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        del request, context
        return empty_pb2.Empty()


def listen(servicer: ByType) -> None:
    """Listen on loopback, print the port, as the engine expects of a plugin, and serve until the process is ended."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4), options=[("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(0)
