"""Real servers for the tests, one of each for the whole session, in private folders that go with it.

The supervisor of each sandbox follows this process: also when it is killed, no server and no file is left.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox import servers
from sandbox.endpoints import Endpoints, Postgres, Vault


@contextmanager
def _folder() -> Iterator[Path]:
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        yield state_dir
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()


@pytest.fixture(scope="session")
def openbao() -> Iterator[Vault]:
    """An OpenBao of its own, initialised and unsealed."""
    with _folder() as state_dir:
        found = servers.start_parts(state_dir, ["vault"], owner=os.getpid()).vault
        assert found is not None
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of its own."""
    with _folder() as state_dir:
        found = servers.start_parts(state_dir, ["postgres"], owner=os.getpid()).postgres
        assert found is not None
        yield found


@pytest.fixture(scope="session")
def sandbox_endpoints() -> Iterator[Endpoints]:
    """A full sandbox, every server, without a stack."""
    with _folder() as state_dir:
        yield servers.start(state_dir, owner=os.getpid())
