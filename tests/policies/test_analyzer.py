"""Policy packs as processes of their own, behind the embedded engine: real packs, the real protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox.engine.analyzer import PolicyPacks
from sandbox.engine.errors import ConfigError, EngineError, UsageError
from sandbox.engine.values import RESOURCE, SIGNATURE, Secret
from tests.engine.stack import Stack
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ROOT / "policies"
THING = "probe:index:Thing"
PACK = """
import os
import sys
from pulumi_policy import *


def check(args, report):
    if args.resource_type != "probe:index:Thing":
        return
    value = args.props.get("value")
    if value == "bad":
        report("value: it is bad")
    if value == "crash":
        os._exit(3)
    if value == "who":
        report(f"{os.environ['PULUMI_PROJECT']}/{os.environ['PULUMI_STACK']} {os.environ['PULUMI_DRY_RUN']} "
               f"{args.get_config()} {'PULUMI_CONFIG_PASSPHRASE' in os.environ}")
    if value == "secret":
        report(f"it reads {args.props['secretValue']}")


def mend(args):
    if args.resource_type == "probe:index:Thing" and args.props.get("shape") == "square":
        return {**args.props["__target"], "shape": "round"}


def whole(args, report):
    things = [item for item in args.resources if item.resource_type == "probe:index:Thing"]
    if len(things) > 2:
        report("too many things")
    for item in things:
        if item.props.get("value") == "last":
            report(f"{item.name} is last, made of {sorted(item.property_dependencies)}", item.urn)


print("a line of the pack's own", file=sys.stderr)
PolicyPack("tests", [
    ResourceValidationPolicy("no-bad-things", "Things are good", check, EnforcementLevel.MANDATORY,
        PolicyConfigSchema({"limit": {"type": "number", "default": 3}}), remediation_steps="Be good.", severity=Severity.HIGH,
        url="https://example.com/good"),
    ResourceValidationPolicy("round-things", "Things are round", remediate=mend, enforcement_level=EnforcementLevel.REMEDIATE),
    StackValidationPolicy("few-things", "Things are few", whole, EnforcementLevel.MANDATORY),
])
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "pack", PACK)


def write_pack(folder: Path, program: str) -> Path:
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("name: tests\nruntime: python\n")
    (folder / "__main__.py").write_text(program)
    return folder


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    from tests.engine.stack import CONFORMANCE

    monkeypatch.syspath_prepend(str(CONFORMANCE))
    made = Stack(tmp_path)
    monkeypatch.setenv("PROBE_CLOUD", str(made.cloud_path))
    return made


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert hosts_below(os.getpid()) == []


def config(folder: Path, document: dict[str, Any]) -> Path:
    file = folder / "pack-config.json"
    file.write_text(json.dumps(document))
    return file


# -- through the engine ---------------------------------------------------------------------------------------------


def test_a_mandatory_violation_fails_before_anything_is_made(stack: Stack, pack: Path) -> None:
    result = stack.run("up", "a = Thing('a', 'bad')\nThing('b', a.arn)", policy_packs=[pack])
    assert not result.ok
    assert stack.cloud["things"] == {}
    assert "policy no-bad-things: Things are good\nvalue: it is bad" in stack.output


def test_a_preview_shows_every_violation_and_fails(stack: Stack, pack: Path) -> None:
    result = stack.run("preview", "Thing('a', 'bad')\nThing('b', 'bad')\nThing('c', 'last')", policy_packs=[pack])
    assert not result.ok
    assert stack.output.count("value: it is bad") == 2
    assert "too many things" in stack.output
    assert "c is last" in stack.output


def test_what_complies_comes_up(stack: Stack, pack: Path) -> None:
    assert stack.run("up", "Thing('a', 'good')", policy_packs=[pack]).ok
    assert set(stack.cloud["things"]) == {"a-1"}


def test_an_advisory_violation_is_shown_and_stops_nothing(stack: Stack, pack: Path, tmp_path: Path) -> None:
    levels = config(tmp_path, {"no-bad-things": "advisory"})
    assert stack.run("up", "Thing('a', 'bad')", policy_packs=[pack], policy_pack_configs=[levels]).ok
    assert f"warning: urn:pulumi:dev::conformance::{THING}::a: policy no-bad-things" in stack.output


def test_a_disabled_policy_says_nothing(stack: Stack, pack: Path, tmp_path: Path) -> None:
    levels = config(tmp_path, {"all": "disabled"})
    assert stack.run("up", "Thing('a', 'bad', shape='square')", policy_packs=[pack], policy_pack_configs=[levels]).ok
    assert "policy" not in stack.output
    assert stack.cloud["things"]["a-1"]["inputs"]["shape"] == "square"


def test_what_a_policy_mends_is_what_is_made_and_is_told(stack: Stack, pack: Path) -> None:
    text = "Thing('a', 'good', shape='square', secret_value=Output.secret('hush-hush'))"
    assert stack.run("up", text, policy_packs=[pack]).ok
    assert stack.cloud["things"]["a-1"]["inputs"]["shape"] == "round"
    assert "mended by policy round-things set shape: Things are round" in stack.output
    assert stack.thing("a").inputs["secretValue"] == Secret("hush-hush")
    assert "hush-hush" not in stack.state.read_text()
    assert stack.run("up", policy_packs=[pack]).changes == {"same": 2}


def test_a_violation_of_the_stack_fails_the_run_and_names_what_it_is_made_of(stack: Stack, pack: Path) -> None:
    result = stack.run("up", "a = Thing('a', 'good')\nThing('b', 'last', tags={'of': a.arn})", policy_packs=[pack])
    assert not result.ok
    assert "b is last, made of ['tags']" in stack.output


def test_the_pack_knows_the_stack_and_its_settings_and_not_the_passphrase(
    stack: Stack, pack: Path, tmp_path: Path
) -> None:
    settings = config(tmp_path, {"no-bad-things": {"enforcementLevel": "advisory", "limit": 5}})
    options: dict[str, Any] = {"policy_packs": [pack], "policy_pack_configs": [settings]}
    assert stack.run("preview", "Thing('a', 'who')", **options).ok
    assert "conformance/dev true {'limit': 5.0} False" in stack.output
    assert stack.run("up", "Thing('a', 'who')", policy_packs=[pack]).ok is False
    assert "conformance/dev false {'limit': 3.0} False" in stack.output


def test_a_pack_that_echoes_a_secret_is_redacted(stack: Stack, pack: Path) -> None:
    stack.run("up", "Thing('a', 'secret', secret_value=Output.secret('hush-hush'))", policy_packs=[pack])
    assert "it reads [secret]" in stack.output
    assert "hush-hush" not in stack.output


def test_a_pack_that_ends_in_the_middle_fails_the_run(stack: Stack, pack: Path) -> None:
    assert not stack.run("up", "Thing('a', 'crash')", policy_packs=[pack]).ok
    assert "policy pack tests: Analyze failed" in stack.output
    assert stack.cloud["things"] == {}


def test_several_packs_are_asked(stack: Stack, pack: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "other", PACK.replace("no-bad-things", "no-evil-things"))
    assert not stack.run("preview", "Thing('a', 'bad')", policy_packs=[pack, other]).ok
    assert "policy no-bad-things" in stack.output
    assert "policy no-evil-things" in stack.output


def test_more_configurations_than_packs_are_refused(stack: Stack, pack: Path, tmp_path: Path) -> None:
    file = config(tmp_path, {})
    with pytest.raises(UsageError, match="--policy-pack-config: more of them than of --policy-pack"):
        stack.run("up", "", policy_packs=[pack], policy_pack_configs=[file, file])


def test_the_command_line_takes_packs_and_their_configuration(stack: Stack, pack: Path, tmp_path: Path) -> None:
    stack.write("Thing('a', 'bad')")
    refused = stack.cli("up", "--policy-pack", str(pack))
    assert refused.returncode == 1, refused.stdout + refused.stderr
    file = config(tmp_path, {"no-bad-things": "advisory"})
    taken = stack.cli("up", "--policy-pack", str(pack), "--policy-pack-config", str(file))
    assert taken.returncode == 0, taken.stdout + taken.stderr


def test_a_pack_ends_with_an_engine_that_is_killed(stack: Stack, tmp_path: Path) -> None:
    waiting = PACK.replace(
        "    value = args.props.get(", "    import time; time.sleep(600)\n    value = args.props.get("
    )
    slow = write_pack(tmp_path / "slow", waiting)
    stack.write("Thing('a', 'good')")
    engine = stack.start("up", "--policy-pack", str(slow))
    try:
        hosts = until("the pack runs", lambda: hosts_below(engine.pid))
        engine.send_signal(signal.SIGKILL)
        engine.wait(timeout=60)
        psutil.wait_procs(hosts, timeout=60)
        assert [host for host in hosts if host.is_running() and host.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        engine.kill()
        assert engine.stdout is not None
        engine.stdout.close()
        engine.wait(timeout=60)


def hosts_below(pid: int) -> list[psutil.Process]:
    """The processes of packs among the descendants of a process."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if "pack_host.py" in " ".join(child.cmdline()):
                    found.append(child)
    return found


# -- by itself ------------------------------------------------------------------------------------------------------


def started(folder: Path, configuration: Path | None = None) -> None:
    async def start() -> None:
        packs = PolicyPacks()
        try:
            await packs.start([folder], "tests", "dev", {}, configs=[configuration])
        finally:
            await packs.close()

    asyncio.run(start())


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("raise RuntimeError('no pack')", "RuntimeError: no pack"),
        ("print('hello')", "expected its port first, it said:\nhello"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
        ("import sys; sys.exit('not today')", "not today"),
    ],
)
def test_a_pack_that_does_not_start_says_why(tmp_path: Path, program: str, expected: str) -> None:
    with pytest.raises(UsageError, match="policy pack tests: does not start") as refused:
        started(write_pack(tmp_path / "pack", program))
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "cannot be read: No such file or directory; expected a policy pack's folder"),
        ("[", "not YAML"),
        ("- a", "expected a mapping"),
        ("runtime: nodejs", "'nodejs'; the embedded engine runs python packs only"),
    ],
)
def test_what_is_no_python_pack_is_refused(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "PulumiPolicy.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"PulumiPolicy\.yaml") as refused:
        started(tmp_path)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"no-bad-thing": "mandatory"}, "no-bad-thing: the pack has no such policy; did you mean no-bad-things?"),
        (
            {"no-bad-things": {"limits": 3}},
            "no-bad-things: limits: the policy has no such setting; did you mean limit?",
        ),
        ({"no-bad-things": {"limit": "3"}}, "no-bad-things: limit: '3' is not of type 'number'"),
        ({"no-bad-things": "always"}, 'no-bad-things: "always": expected one of advisory, mandatory'),
        ({"no-bad-things": {"enforcementLevel": "on"}}, 'no-bad-things: enforcementLevel: "on": expected one of'),
        ({"no-bad-things": 3}, "no-bad-things: 3: expected a level or an object"),
        ({"all": {"limit": 3}}, "all: "),
    ],
)
def test_a_mistake_in_the_configuration_is_named(
    pack: Path, tmp_path: Path, document: dict[str, Any], expected: str
) -> None:
    file = config(tmp_path, document)
    with pytest.raises(ConfigError) as refused:
        started(pack, file)
    assert f"--policy-pack-config {file}: {expected}" in str(refused.value)


@pytest.mark.parametrize("text", ["{", "[]", None])
def test_a_configuration_that_is_none_is_refused(pack: Path, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "pack-config.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(EngineError, match="--policy-pack-config"):
        started(pack, file)


def test_references_to_resources_travel_as_ids_and_stay_what_they_were(pack: Path) -> None:
    reference = {SIGNATURE: RESOURCE, "urn": "urn:pulumi:dev::p::t::a", "id": "a-1"}
    fields: dict[str, Any] = {
        "urn": f"urn:pulumi:dev::p::{THING}::b",
        "type": THING,
        "name": "b",
        "properties": {"shape": "square", "of": reference, "__internal": "kept", "key": Secret({"a": [1, None]})},
    }

    async def ask() -> Any:
        packs = PolicyPacks()
        try:
            await packs.start([pack], "tests", "dev", {})
            return await packs.remediate(**fields)
        finally:
            await packs.close()

    assert asyncio.run(ask()) == {**fields["properties"], "shape": "round"}


# -- this project's own pack ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["-m", "pulumi.policy", "127.0.0.1:0", "."], ["."], ["__main__.py"]])
def test_our_pack_serves_as_the_pulumi_cli_starts_it(arguments: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=OURS,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_our_pack_is_configured_by_each_environments_file() -> None:
    for file in sorted((OURS / "config").glob("*.json")):
        started(OURS, file)


def test_our_pack_says_why_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_text("exceptions: [{rule: nothing}]\n")
    monkeypatch.setenv("STRONGROOM_POLICY_EXCEPTIONS", str(file))
    with pytest.raises(UsageError, match="there is no such rule"):
        started(OURS)


def test_an_exception_that_has_ended_keeps_the_stack_from_coming_up(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "exceptions.yaml"
    entry = {
        "rule": "secret-tags",
        "resource": "urn:pulumi:dev::*::box",
        "reason": "it was empty",
        "until": "2020-01-31",
    }
    text = "".join(f"    {key}: {json.dumps(value) if key != 'until' else value}\n" for key, value in entry.items())
    file.write_text(f"exceptions:\n  -\n{text}")
    monkeypatch.setenv("STRONGROOM_POLICY_EXCEPTIONS", str(file))
    stack.environment["STRONGROOM_POLICY_EXCEPTIONS"] = str(file)
    assert not stack.run("up", "Thing('a', 'good')", policy_packs=[OURS]).ok
    assert "policy exception-ended: An exception to a rule has ended" in stack.output
    assert stack.cloud["things"] == {}
