"""Clusters of their own for tests that lose one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sandbox import servers
from sandbox.endpoints import Kubernetes


@contextmanager
def cluster_of_its_own() -> Iterator[Kubernetes]:
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        found = servers.start_parts(state_dir, ["kubernetes"], owner=os.getpid()).kubernetes
        assert found is not None
        yield found
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()


@pytest.fixture(scope="module")
def kubernetes() -> Iterator[Kubernetes]:
    """One cluster for the tests of a module."""
    with cluster_of_its_own() as found:
        yield found


@pytest.fixture
def new_cluster() -> Iterator[Callable[[], Kubernetes]]:
    """Makes an empty cluster, each time another one."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(cluster_of_its_own())
