"""One full sandbox for the session, with the dev stack on it; and the empty sandbox's inventory."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import servers
from tests.sandbox.dev_stack import DevStack
from tests.sandbox.inventory import database_users, everything
from tests.waiting import until

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="session")
def empty_inventory() -> set[str]:
    """What is there before the first `up`; filled by ``sandbox_stack``."""
    return set()


@pytest.fixture(scope="session")
def sandbox_stack(empty_inventory: set[str]) -> Iterator[DevStack]:
    """The session's sandbox; use ``dev``."""
    state_dir = Path(tempfile.mkdtemp(prefix="strongroom-test-"))
    try:
        dev = DevStack(servers.start(state_dir, owner=os.getpid()))
        dev.command("preview")  # gives the cluster its sealing key, which is older than the stack

        def at_rest() -> set[str]:
            found = everything(dev) | database_users(dev)
            time.sleep(1)
            return found if found == everything(dev) | database_users(dev) else set()

        empty_inventory |= until("the controllers have made what is theirs", at_rest)
        yield dev
    finally:
        servers.stop(state_dir)
        if state_dir.exists():
            state_dir.rmdir()


@pytest.fixture
def dev(sandbox_stack: DevStack) -> DevStack:
    """The dev stack, up and as configured, whatever the test before left."""
    if sandbox_stack.dirty:
        sandbox_stack.up()
    return sandbox_stack
