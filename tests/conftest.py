"""Real servers for the tests, one of each for the whole session, in private folders that go with it.

The supervisor of each sandbox follows this process: also when it is killed, no server and no file is left.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


@pytest.fixture(scope="session")
def mocks_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of Pulumi's mocks: they want a current one and keep it, and whoever runs an engine leaves none.

    The SDK also makes a loop in each thread of the loop's executor and closes none, so the threads get theirs from here.
    """
    loops = [asyncio.new_event_loop()]

    def own_loop() -> None:
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    executor = ThreadPoolExecutor(initializer=own_loop)
    loops[0].set_default_executor(executor)
    yield loops[0]
    executor.shutdown()
    for loop in loops:
        loop.close()
