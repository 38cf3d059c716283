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
from tests.gitops.key_services import KeyServices


@contextmanager
def servers_of_their_own(*names: str) -> Iterator[tuple[Path, servers.Parts]]:
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        yield state_dir, servers.start_parts(state_dir, names, owner=os.getpid())
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()


@contextmanager
def cluster_of_its_own() -> Iterator[Kubernetes]:
    with servers_of_their_own("kubernetes") as (_, parts):
        assert parts.kubernetes is not None
        yield parts.kubernetes


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


@pytest.fixture(scope="session")
def key_services() -> Iterator[KeyServices]:
    """What sops encrypts with: an age key, a key in KMS, a key in Vault's transit engine; and where SopsFile delivers to."""
    with servers_of_their_own("vault", "aws", "kubernetes") as (state_dir, parts):
        found = KeyServices(state_dir, parts)
        yield found
        found.close()
