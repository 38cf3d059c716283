"""OpenBao, PostgreSQL and a cluster for these tests alone: they seal one and fill another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import servers
from tests.agent.mocks import registered
from tests.agent.platform import Platform

__all__ = ["registered"]  # a fixture


@pytest.fixture(scope="session")
def agent_platform() -> Iterator[Platform]:
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        parts = servers.start_parts(state_dir, ["vault", "postgres", "kubernetes"], owner=os.getpid())
        platform = Platform(state_dir, parts)
        platform.set_up()
        yield platform
        platform.vault.close()
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()
