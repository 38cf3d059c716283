"""Policy packs, as far as the engine knows of them: asked about every resource before its step, and about the stack at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.engine.goal import Goal
    from sandbox.engine.state import Resource


class Policy:
    """No policies. ``sandbox.engine.packs`` has the one that asks policy packs."""

    async def analyze(self, resource: Resource, goal: Goal) -> None:
        """May change ``resource.inputs`` (remediation). Raises ResourceError for a mandatory violation."""

    async def analyze_stack(self, resources: Iterable[Resource]) -> None:
        """Reports violations of the whole stack; a mandatory one fails the run."""

    async def close(self) -> None:
        """End the packs' processes."""
