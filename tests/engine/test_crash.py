"""A run that is killed loses nothing: the next one converges, with nothing doubled and nothing orphaned."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from sandbox.engine import StateError, StateLocked
from sandbox.engine.journal import Lock, Store
from tests.engine.stack import PASSPHRASE, Stack, ops

SLOW = "tests.engine.slow_probe:SlowProbe"
PROGRAM = """
shape = {shape!r}
base = Thing("base", {value!r}, shape=shape)
middle = [Thing(f"middle-{{i}}", base.arn, shape=shape if i == 0 else None) for i in range(4)]
first = ResourceOptions(delete_before_replace=True)
exclusive = Thing("exclusive", middle[0].arn, shape=shape, opts=first)
top = Thing("top", exclusive.arn, secret_value=Output.secret("hush-hush"))
pulumi.export("top", top.arn)
"""
NAMES = {"base", "middle-0", "middle-1", "middle-2", "middle-3", "exclusive", "top"}


def written(journal: Path) -> bytes:
    try:
        return journal.read_bytes()
    except FileNotFoundError:  # not there yet; or a run has folded what another left, and removed it
        return b""


def kill_at(stack: Stack, action: str, seconds: float) -> None:
    """Kill a run that many seconds after it has begun to change something; it may have ended by then."""
    process = stack.start(action)
    journal = stack.state.with_name("state.json.journal")
    left = written(journal)
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if written(journal) not in (left, b""):
                break
            time.sleep(0.005)
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        psutil.wait_procs(children, timeout=60)
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    finally:
        if process.stdout is not None:
            process.stdout.close()


def assert_converged(stack: Stack) -> None:
    """State and cloud hold the same things, each once."""
    things = stack.cloud["things"]
    assert sorted(thing["name"] for thing in things.values()) == sorted(NAMES)
    held = {item.id for key, item in stack.resources().items() if key.startswith("probe:index:Thing::")}
    assert held == set(things)
    assert not [key for key, item in stack.resources().items() if item.delete or item.pending_replacement]
    assert not json.loads(stack.state.read_text())["deployment"].get("pending_operations")


@pytest.fixture
def slow(stack: Stack) -> Stack:
    stack.provider = SLOW
    return stack


def test_ups_killed_at_random_moments_converge(slow: Stack) -> None:
    moments = random.Random(20261124)
    for round_ in range(10):
        slow.write(PROGRAM.format(shape=f"shape {round_ // 2}", value=f"v{round_}"))
        kill_at(slow, "up", moments.uniform(0.0, 0.8))
    result = slow.run("up", PROGRAM.format(shape="last", value="v"))
    assert result.ok, slow.output
    assert_converged(slow)
    assert slow.run("up").changes == {"same": 8}
    assert slow.run("destroy").ok
    assert slow.cloud["things"] == {}


@pytest.mark.parametrize("wanted", [True, False])
def test_what_an_interrupted_create_made_is_taken_over(slow: Stack, wanted: bool) -> None:
    slow.environment["SLOW_PROBE_DELAY"] = "2"
    slow.write("a = Thing('a', 'v')\n")
    process = slow.start("up")
    while "create a-1" not in slow.log and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    slow.environment["SLOW_PROBE_DELAY"] = "0"
    assert "probe:index:Thing::a" not in slow.resources()
    result = slow.run("up" if wanted else "destroy")
    assert result.ok, slow.output
    assert "had taken effect: a-1" in slow.output
    assert slow.log == ["create a-1"] if wanted else ["create a-1", "delete a-1"]
    assert not wanted or slow.thing("a").id == "a-1"


def test_what_an_interrupted_deletion_removed_is_made_again_where_the_program_has_it(slow: Stack) -> None:
    slow.environment["SLOW_PROBE_DELAY"] = "2"
    assert slow.run("up", "a = Thing('a', 'v')\nb = Thing('b', a.arn)").ok
    process = slow.start("destroy")
    while "delete b-1" not in slow.log and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert slow.thing("b").id == "b-1"
    result = slow.run("up")
    assert "had taken effect: b-1 is gone" in slow.output
    assert ops(result) == [("create-replacement", "b"), ("replace", "b")]
    assert set(slow.cloud["things"]) == {"a-1", "b-2"}


def test_killed_destroys_are_finished_by_the_next(slow: Stack) -> None:
    assert slow.run("up", PROGRAM.format(shape="round", value="v")).ok
    for seconds in (0.02, 0.12, 0.2):
        kill_at(slow, "destroy", seconds)
    assert slow.run("destroy").ok, slow.output
    assert slow.cloud["things"] == {}
    assert slow.resources() == {}


def test_a_killed_run_leaves_what_was_done_in_the_journal(slow: Stack) -> None:
    slow.environment["SLOW_PROBE_DELAY"] = "2"
    slow.write("a = Thing('a', 'v')\nb = Thing('b', a.arn, secret_value=Output.secret('hush-hush'))\n")
    process = slow.start("up")
    journal = slow.state.with_name("state.json.journal")
    deadline = time.monotonic() + 120
    begun = b'probe:index:Thing::b"'  # with the type: the id of the default provider may begin with a b
    while time.monotonic() < deadline and begun not in written(journal):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    text = journal.read_text()
    assert "hush-hush" not in text
    store = Store(slow.state, PASSPHRASE, durable=False)
    assert {item.id for item in store.snapshot.resources if item.type == "probe:index:Thing"} == {"a-1"}
    assert [(item.type, item.resource.urn.rpartition("::")[2]) for item in store.snapshot.pending] == [
        ("creating", "b")
    ]
    assert slow.run("preview").ok
    assert journal.exists(), "a preview leaves the journal where it is"
    assert slow.run("up").ok
    assert not journal.exists()
    assert set(slow.cloud["things"]) == {"a-1", "b-1"}


def test_a_provider_that_cannot_tell_is_named_after_an_interrupted_create(stack: Stack) -> None:
    assert stack.run("up", "a = Thing('a', 'v')").ok
    document = json.loads(stack.state.read_text())
    pending = next(item for item in document["deployment"]["resources"] if item["type"] == "probe:index:Thing")
    lost = {**pending, "urn": pending["urn"].replace("::a", "::lost"), "id": ""}
    document["deployment"]["pending_operations"] = [{"resource": lost, "type": "creating"}]
    stack.state.write_text(json.dumps(document))
    result = stack.run("up", "a = Thing('a', 'v')")
    assert result.ok
    assert [(item.severity, item.urn.rpartition("::")[2]) for item in result.diagnostics] == [("warning", "lost")]
    assert "interrupted" in stack.output
    assert stack.run("up").diagnostics == []


def test_the_end_of_a_journal_that_was_never_finished_counts_for_nothing(stack: Stack) -> None:
    assert stack.run("up", "a = Thing('a', 'v')").ok
    store = Store(stack.state, PASSPHRASE)
    resource = stack.thing("a")
    store._write({"drop": ["o2"]})
    store._append(b"".join(store._buffer) + json.dumps({"put": {"n1": store.codec.dump(resource)}}).encode()[:-9])
    store.close()
    again = Store(stack.state, PASSPHRASE, durable=False)
    assert len(again.snapshot.resources) == 2


def test_a_journal_of_a_state_that_has_been_written_since_is_not_replayed(stack: Stack) -> None:
    assert stack.run("up", "a = Thing('a', 'v')").ok
    journal = stack.state.with_name("state.json.journal")
    journal.write_text('{"base":"of another state"}\n{"drop":["o0","o1","o2"]}\n')
    assert stack.run("up").changes == {"same": 2}
    assert not journal.exists()


def test_a_damaged_journal_is_an_error_that_names_the_line(stack: Stack) -> None:
    assert stack.run("up", "a = Thing('a', 'v')").ok
    stack.state.with_name("state.json.journal").write_text("no json\n{}\n")
    with pytest.raises(StateError, match=r"state\.json\.journal: line 1"):
        stack.run("up")


def test_two_engines_cannot_run_on_one_state(stack: Stack) -> None:
    lock = Lock(stack.state)
    lock.acquire()
    try:
        with pytest.raises(StateLocked, match=f"process {os.getpid()}"):
            stack.run("up", "a = Thing('a', 'v')")
        assert stack.run("preview").ok, "a preview writes nothing and needs no lock"
    finally:
        lock.release()
    assert ops(stack.run("up"))[-1] == ("create", "a")
    assert not stack.state.with_name("state.json.lock").exists()


def test_interrupted_once_what_has_begun_is_finished_and_saved(slow: Stack) -> None:
    slow.environment["SLOW_PROBE_DELAY"] = "2"
    slow.write("a = Thing('a', 'v')\nb = Thing('b', a.arn)\n")
    process = slow.start("up")
    while not slow.cloud["things"]:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "interrupted" in output
    assert slow.thing("a").id == "a-1"
    assert slow.log == ["create a-1"]
    assert slow.run("up").changes == {"create": 1, "same": 2}


def test_interrupted_twice_it_ends_at_once_and_the_state_is_safe(slow: Stack) -> None:
    slow.environment["SLOW_PROBE_DELAY"] = "300"
    slow.write("a = Thing('a', 'v')\n")
    process = slow.start("up")
    journal = slow.state.with_name("state.json.journal")
    while b"creating" not in written(journal):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(3)  # two at once would be one
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)  # a is not waited for
    assert process.returncode != 0
    slow.environment["SLOW_PROBE_DELAY"] = "0"
    assert slow.run("up").ok
    assert set(slow.cloud["things"]) == {"a-1"}
