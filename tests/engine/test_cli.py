"""The command line's contract: exit codes, JSON lines, messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.engine.cli import main
from tests.engine.stack import Stack

SECRET = "hush-hush-" + "8f3a"
PROGRAM = """
import sys
token = pulumi.Config().require_secret("token")
a = Thing("a", "v1", tags={"k": "1"}, secret_value=token)
b = Thing("b", token, opts=ResourceOptions(additional_secret_outputs=["arn"]))
pulumi.export("token", token)
pulumi.export("arn", a.arn)
print("the program says", "hush-hush-" + "8f3a")
print("to stderr", file=sys.stderr)
pulumi.log.info("a note with " + "hush-hush-" + "8f3a")
"""


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_has_a_line_for_each_step_and_a_summary_last(stack: Stack) -> None:
    stack.write("a = Thing('a', 'v1', tags={'k': '1'})\npulumi.export('arn', a.arn)")
    assert stack.cli("up", "--json").returncode == 0
    stack.write(
        "a = Thing('a', 'v2', tags={'j': '1'})\nb = Thing('b', a.generation.apply(str))\npulumi.export('arn', a.arn)"
    )
    done = stack.cli("preview", "--json")
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    steps = [line for line in found if "op" in line]
    thing = "urn:pulumi:dev::conformance::probe:index:Thing::"
    assert [(step["op"], step["urn"].rpartition("::")[2]) for step in steps] == [
        ("same", "conformance-dev"),
        ("update", "a"),
        ("create", "b"),
    ]
    assert steps[1] == {
        "op": "update",
        "urn": thing + "a",
        "id": "a-1",
        "detailedDiff": {
            "tags.j": {"kind": "add", "inputDiff": True},
            "tags.k": {"kind": "delete", "inputDiff": True},
            "value": {"kind": "update", "inputDiff": True},
        },
        "diff": {"tags.j": "add", "tags.k": "delete", "value": "update"},
        "inputs": {"value": "v2", "tags": {"j": "1"}, "shape": "round"},
    }
    assert steps[2]["inputs"] == {"value": "04da6b54-80e4-46f7-96ec-b56ff0331ba9", "shape": "round"}
    summary = found[-1]["summary"]
    assert summary.pop("durationSeconds") > 0
    assert summary == {
        "action": "preview",
        "preview": True,
        "result": "ok",
        "changes": {"create": 1, "same": 1, "update": 1},
        "outputs": {"arn": "arn:probe:moon:a-1"},
    }


def test_what_a_provider_prints_is_not_between_the_json_lines(stack: Stack) -> None:
    stack.write("pulumi.CustomResource('odd:index:Odd', 'o', {'text': 'x'})")
    done = stack.cli("up", "--json", "--provider", "tests.engine.odd_provider:TalkativeProvider")
    assert done.returncode == 0, done.stderr
    assert [line["op"] for line in lines(done.stdout) if "op" in line] == ["create", "create"]
    assert "making o" in done.stderr


def test_a_failed_step_has_its_error_and_the_exit_code_is_one(stack: Stack) -> None:
    stack.write("a = Thing('a', 'v', fail='create')\nb = Thing('b', a.arn)")
    done = stack.cli("up", "--json")
    assert done.returncode == 1
    found = lines(done.stdout)
    failed = [line for line in found if "error" in line]
    assert [(line["op"], line["urn"].rpartition("::")[2]) for line in failed] == [("create", "a")]
    assert "probe refuses to create a" in failed[0]["error"]
    diagnostics = [line["diagnostic"] for line in found if "diagnostic" in line]
    assert [(item["severity"], item["urn"]) for item in diagnostics] == [("error", failed[0]["urn"])]
    assert found[-1]["summary"]["result"] == "failed"
    assert found[-1]["summary"]["failedSteps"] == [{"op": "create", "urn": failed[0]["urn"]}]


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_secret_is_in_any_output_state_or_journal(stack: Stack, arguments: tuple[str, ...]) -> None:
    stack.write(PROGRAM)
    given = ("--secret", f"token={SECRET}", *arguments)
    for action in ("preview", "up", "up", "refresh"):
        done = stack.cli(action, *given)
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "[secret]" in done.stdout + done.stderr
    assert SECRET not in stack.state.read_text()
    assert stack.thing("a").inputs["secretValue"].value == SECRET
    stack.write(
        PROGRAM.replace('"v1"', 'token.apply(lambda t: t + "!")') + "raise ValueError('it is ' + 'hush-hush-' + '8f3a')"
    )
    done = stack.cli("up", *given)
    assert done.returncode == 1
    assert "it is [secret]" in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert SECRET not in stack.state.read_text()


def test_what_the_program_prints_is_shown(stack: Stack) -> None:
    stack.write("import sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\npulumi.log.warn('mind this')")
    done = stack.cli("up")
    assert "| to stdout" in done.stdout
    assert "| to stderr" in done.stdout
    assert "warning: mind this" in done.stderr


@pytest.mark.parametrize("text", ["", "Thing('a', 'v', fail='create')", "raise ValueError('no')"])
def test_a_program_s_exit_handlers_run(stack: Stack, text: str) -> None:
    stack.write(f"import atexit, pathlib\natexit.register(lambda: pathlib.Path('ended').touch())\n{text}")
    assert stack.run("up").ok is (text == "")
    assert (stack.folder / "ended").exists()


def test_a_plain_run_shows_the_diff_and_counts(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v1', secret_value=Output.secret('old-secret'))\nb = Thing('b', 'v', shape='x')")
    stack.write("a = Thing('a', 'v2', secret_value=Output.secret('new-secret'))\nb = Thing('b', 'v', shape='y')")
    text = stack.cli("preview").stdout
    assert 'update   value: "v1" => "v2"' in text
    assert "update   secretValue: [secret] => [secret]" in text
    assert 'update-replace shape: "x" => "y"' in text
    assert "1 to update, 1 to replace, 1 unchanged" in text


def test_expecting_no_changes_is_three_where_there_are_some(stack: Stack) -> None:
    stack.write("a = Thing('a', 'v1')")
    assert stack.cli("preview", "--expect-no-changes").returncode == 3
    assert stack.cli("up").returncode == 0
    assert stack.cli("preview", "--expect-no-changes").returncode == 0


def test_a_destroy_can_be_previewed(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v1')")
    assert stack.cli("destroy", "--preview-only").returncode == 0
    assert set(stack.cloud["things"]) == {"a-1"}
    stack.program.unlink()
    assert stack.cli("destroy").returncode == 0, "a destroy needs no program"
    assert stack.cloud["things"] == {}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--provider", "nowhere:Nothing"], "cannot import nowhere"),
        (["--provider", "probe:Cloud"], "not a subclass"),
        (["--provider", "probe:Missing"], "probe has no Missing"),
    ],
)
def test_a_wrong_provider_is_named(
    stack: Stack,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changed: list[str],
    message: str,
) -> None:
    stack.write("a = Thing('a', 'v1')")
    command = stack.command("up")[3:]
    command[command.index("--provider") :] = changed
    monkeypatch.setenv("PYTHONPATH", stack.environment["PYTHONPATH"])
    assert main(command) == 1
    captured = capsys.readouterr()
    assert message in captured.err + captured.out


@pytest.mark.parametrize(
    "wrong",
    [
        ["up"],
        ["sideways", "--program", "x"],
        ["up", "--program", "/nowhere/p.py", "--project", "p", "--stack", "s", "--state", "t.json"],
        ["up", "--program", "{program}", "--stack", "s", "--state", "t.json"],
        ["up", "--program", "{program}", "--project", "p", "--stack", "s", "--state", "t.json", "--config", "novalue"],
        ["up", "--program", "{program}", "--project", "p", "--stack", "s", "--state", "t.json", "--parallel", "0"],
        ["up", "--program", "{program}", "--project", "p", "--stack", "s", "--state", "t.json", "--provider", "probe"],
    ],
)
def test_wrong_usage_is_two(stack: Stack, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    stack.write("")
    assert main([item.format(program=stack.program) for item in wrong]) == 2
    assert capsys.readouterr().err


def test_a_secret_without_a_value_is_not_repeated(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.write("")
    assert main([*stack.command("up")[3:], "--secret", SECRET]) == 2
    assert SECRET not in capsys.readouterr().err


def test_a_package_without_a_provider_is_named(stack: Stack) -> None:
    result = stack.run("up", "a = Thing('a', 'v')", providers=["noop=tests.bench.engine_provider:NoopProvider"])
    assert not result.ok
    assert "no provider for the package 'probe' (given: noop)" in stack.output


def test_without_a_passphrase_a_secret_is_refused_before_anything_is_made(stack: Stack) -> None:
    del stack.environment["PULUMI_CONFIG_PASSPHRASE"]
    assert stack.run("up", "a = Thing('a', 'v')").ok, "no secrets, no passphrase"
    result = stack.run("up", "a = Thing('a', 'v')\nb = Thing('b', 'v', secret_value=Output.secret('hush-hush'))")
    assert not result.ok
    assert "PULUMI_CONFIG_PASSPHRASE" in stack.output
    assert set(stack.cloud["things"]) == {"a-1"}
