"""A wrong configuration is one clear error for each mistake, before anything is created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.dev_stack import DevStack
from tests.sandbox.inventory import everything

pytestmark = pytest.mark.sandbox
Change = Callable[[dict[str, Any]], object]


def put(key: str, value: Any) -> Change:
    return lambda config: config.__setitem__(f"strongroom:{key}", value)


def without(key: str) -> Change:
    return lambda config: config.pop(f"strongroom:{key}")


def first_secret(**fields: Any) -> Change:
    return lambda config: config["strongroom:workloads"][0]["secrets"][0].update(fields)


CASES = [
    pytest.param(put("operatorReplicas", "many"), ["operatorReplicas", "integer", "many"], id="wrong type"),
    pytest.param(put("databseRoles", []), ["databseRoles", "databaseRoles"], id="unknown key"),
    pytest.param(without("namespaces"), ["namespaces", "missing"], id="missing value"),
    pytest.param(
        put("databaseRoles", [{"name": "app-readwrite", "defaultTtl": "2h", "maxTtl": "1h"}]),
        ["databaseRoles", "defaultTtl '2h' is longer than maxTtl '1h'", "raise maxTtl"],
        id="default above max",
    ),
    pytest.param(
        first_secret(refreshInterval="23s"),
        ["workloads[0]", "db-creds", "refreshInterval '23s' and rolloutTime '5s'", "defaultTtl '24s'", "lower"],
        id="refresh does not fit",
    ),
    pytest.param(
        put("vaultTokenTtl", "10s"), ["vaultTokenTtl '10s'", "defaultTtl '24s'", "raise vaultTokenTtl"], id="token"
    ),
    pytest.param(first_secret(refreshInterval="often"), ["refreshInterval: 'often'", "45m"], id="no duration"),
    pytest.param(first_secret(keyPath="x"), ["workloads[0].secrets[0].keyPath", "unknown key"], id="unknown field"),
    pytest.param(first_secret(databaseRole="nope"), ["'nope'", "app-readonly, app-readwrite"], id="unknown role"),
    pytest.param(put("namespaces", ["elsewhere"]), ["workloads[0]", "'production'", "elsewhere"], id="namespace"),
    pytest.param(put("namespaces", ["production"] * 2), ["namespaces: 'production' is given twice"], id="twice"),
    pytest.param(put("kvMount", "database"), ["kvMount: 'database'", "overlap", "a path of its own"], id="mounts"),
]


@pytest.mark.parametrize(("change", "words"), CASES)
def test_a_mistake_is_told_with_key_and_fix_and_nothing_is_done(
    dev: DevStack, change: Change, words: list[str]
) -> None:
    run = dev.run("up", dev.changed_config(change))
    assert run.code == 1
    assert [word for word in words if word not in run.output] == []
    assert "Traceback" not in run.output
    assert run.changed == {}
    assert dev.endpoints.postgres.admin_password not in run.output


def test_a_preview_tells_a_mistake_too(dev: DevStack) -> None:
    change, words = CASES[0].values
    run = dev.run("preview", dev.changed_config(change))  # type: ignore[arg-type]
    assert run.code == 1
    assert all(word in run.output for word in words)  # type: ignore[union-attr]


def test_no_mistake_created_or_changed_anything(dev: DevStack) -> None:
    before = everything(dev)
    for case in CASES[:3]:
        change, _ = case.values
        assert dev.run("up", dev.changed_config(change)).code == 1  # type: ignore[arg-type]
    assert everything(dev) == before


def test_a_mistake_is_told_of_the_file_that_people_write(dev: DevStack) -> None:
    run = dev.run("preview", dev.changed_config(put("operatorReplicas", "many")))
    assert f"{dev.state_dir / 'test-config.yaml'}: config key 'operatorReplicas'" in run.output
    own = (dev.state_dir / "sandbox.dev.yaml").read_text(encoding="utf-8")
    assert own.startswith("# Made anew by each command")
