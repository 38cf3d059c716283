"""Programs run against Pulumi's mocks: what they register, and what they refuse."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pulumi
import pytest


@dataclass(frozen=True)
class Registered:
    """One resource, as it was registered."""

    type: str
    name: str
    inputs: dict[str, Any]


class Recorder(pulumi.runtime.Mocks):
    """Remembers every resource; adds what servers would answer where a component reads it."""

    def __init__(self) -> None:
        self.resources: list[Registered] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources.append(Registered(args.typ, args.name, args.inputs))
        outputs = dict(args.inputs)
        if args.typ == "kubernetes:core/v1:Secret":
            outputs["data"] = {"token": base64.b64encode(b"a reviewer's token").decode()}
            outputs["metadata"] = {**outputs["metadata"], "uid": "0b5bd55e-0000-4000-8000-000000000000"}
        if args.typ in ("aws:kms/key:Key", "aws:secretsmanager/secret:Secret"):
            outputs["arn"] = f"arn:aws:mock:::{args.name}"
        if args.typ == "random:index/randomPassword:RandomPassword":
            outputs["result"] = f"generated for {args.name}"
        return f"{args.name}-id", outputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


class Program:
    """What a program registered, without the components themselves."""

    def __init__(self, resources: list[Registered]) -> None:
        self.resources = [item for item in resources if not item.type.startswith("strongroom:")]

    def of(self, kind: str) -> list[Registered]:
        """The resources whose type ends in ``kind``, in the order of their names."""
        found = [resource for resource in self.resources if resource.type.endswith(f":{kind}")]
        return sorted(found, key=lambda resource: resource.name)

    def one(self, kind: str) -> dict[str, Any]:
        """The inputs of the only resource of a kind."""
        found = self.of(kind)
        assert len(found) == 1, f"{len(found)} of {kind}: {[resource.name for resource in found]}"
        return found[0].inputs


Deploy = Callable[[Callable[[], object]], Program]


@pytest.fixture
def deploy(mocks_loop: asyncio.AbstractEventLoop) -> Iterator[Deploy]:
    asyncio.set_event_loop(mocks_loop)

    def run(program: Callable[[], object]) -> Program:
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder, project="strongroom", stack="test")

        @pulumi.runtime.test
        def inside() -> None:
            program()

        inside()
        return Program(recorder.resources)

    yield run
    pulumi.runtime.set_mocks(Recorder())
