"""What a program registers, with Pulumi's mocks in place of an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pulumi
import pytest


class Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.name] = args.inputs
        return f"{args.name}-id", {**args.inputs, "status": {"name": args.name}}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        return {}


@pytest.fixture
def registered(
    mocks_loop: asyncio.AbstractEventLoop,
) -> Iterator[Callable[[Callable[[], object]], dict[str, dict[str, Any]]]]:
    """Runs a program and gives the inputs of what it registered, by name."""
    asyncio.set_event_loop(mocks_loop)

    def run(program: Callable[[], object]) -> dict[str, dict[str, Any]]:
        recorder = Recorder()
        pulumi.runtime.set_mocks(recorder, project="strongroom", stack="dev")

        @pulumi.runtime.test
        def inside() -> None:
            program()

        inside()
        return recorder.resources

    yield run
    pulumi.runtime.set_mocks(Recorder())
