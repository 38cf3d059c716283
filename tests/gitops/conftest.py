"""Clusters of their own for tests that lose one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyrage
import pytest

from gitops.sops import files
from sandbox import servers
from sandbox.endpoints import Kubernetes
from tests.agent.mocks import registered
from tests.gitops.key_services import KeyServices

__all__ = ["registered"]  # a fixture


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


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a creation rule for production and the key that opens it."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(f"{identity}\n")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "key.txt"))
    root = tmp_path / "repository"
    root.mkdir()
    files.init(root, {"production": [str(identity.to_public())]})
    (root / "secrets" / "production").mkdir(parents=True)
    return root
