"""The engine is killed at random moments: the next `up` makes what was asked for, with nothing doubled or orphaned."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from tests.sandbox.dev_stack import DevStack
from tests.sandbox.inventory import database_users, everything, leases

pytestmark = pytest.mark.sandbox
REVISION = re.compile(r"(?<=/sh\.helm\.release\.v1\.external-secrets)\.v\d+$")
FROM_NOTHING = 2  # kills of an `up` that has everything to make; the others have workloads to make or to remove


def comparable(inventory: set[str]) -> list[str]:
    """Without what is new each time: a key's id (one key too many still shows) and the number of a Helm revision."""
    return sorted(item.rpartition(" ")[0] if item.startswith("key ") else REVISION.sub("", item) for item in inventory)


@pytest.mark.timeout(1500)  # some thirty runs, which take several times as long where others use the machine too
def test_after_sigkill_at_ten_random_moments_the_next_up_converges(dev: DevStack, empty_inventory: set[str]) -> None:
    seed = random.randrange(10**6)
    moment = random.Random(seed)
    less = dev.changed_config(lambda config: config["strongroom:workloads"].pop())
    wanted: dict[str, list[str]] = {"full": comparable(everything(dev))}
    dev.destroy()
    whole = len(dev.up().changed)
    part = len(dev.up(less).changed)
    wanted["without reports"] = comparable(everything(dev))
    killed = 0
    for attempt in range(10):
        if attempt < FROM_NOTHING:
            dev.destroy()
            target, config, length = "full", None, whole
        else:
            target = "without reports" if attempt % 2 == 0 else "full"
            config, length = (less if target == "without reports" else None), part
        steps, delay = moment.randrange(length - 1), moment.uniform(0, 0.3)
        killed += dev.kill("up", config, steps, delay)
        dev.up(config)
        found = comparable(everything(dev))
        assert found == wanted[target], (
            f"seed {seed}, attempt {attempt}, killed {delay:.2f} s after change {steps} of {length}"
        )
    assert dev.up(config).changed == {}
    assert killed >= 5, f"seed {seed}: only {killed} runs were still going when they were to be killed"
    if dev.dirty:
        dev.up()
    dev.destroy()
    assert leases(dev) == []
    assert everything(dev) | database_users(dev) == empty_inventory


def test_a_destroy_that_was_killed_is_finished_by_the_next(dev: DevStack, empty_inventory: set[str]) -> None:
    dev.kill("destroy", None, random.randrange(60), random.uniform(0, 0.3))
    dev.destroy()
    assert leases(dev) == []
    assert everything(dev) | database_users(dev) == empty_inventory


def test_what_was_delivered_survives_a_killed_run(dev: DevStack) -> None:
    def longer(config: dict[str, Any]) -> None:
        config["strongroom:databaseRoles"][0]["maxTtl"] = "12m"

    dev.kill("up", dev.changed_config(longer), 1, 0)
    assert set(dev.secret("db-creds")) == {"username", "password", "DATABASE_URL"}
    dev.up()
