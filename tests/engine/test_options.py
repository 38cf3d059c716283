"""Options and combinations that the recordings do not have, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.engine import Result
from sandbox.engine.objects import object_diff
from sandbox.engine.paths import covers, parse, with_ignored
from sandbox.engine.urns import Alias, expand
from sandbox.engine.values import UNKNOWN, Secret
from tests.engine import odd_provider
from tests.engine.stack import Stack, ops

ODD = "tests.engine.odd_provider:OddProvider"
ODD_SDK = """
class Odd(pulumi.CustomResource):
    def __init__(self, name, opts=None, **props):
        super().__init__("odd:index:Odd", name, {**props}, opts)
"""


# -- property paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a[0].b", ("a", 0, "b")),
        ('a["x.y"].b', ("a", "x.y", "b")),
        ("a[*].b", ("a", "*", "b")),
        ("a.*", ("a", "*")),
        ('["q\\"r"]', ('q"r',)),
        ('["c:\\d"]', ("c:\\d",)),
    ],
)
def test_property_paths_are_read(text: str, path: tuple[str | int, ...]) -> None:
    assert parse(text) == path


@pytest.mark.parametrize("text", ["a[", "a[x]", 'a["b', 'a["b"', ".a", "a."])
def test_broken_property_paths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="property path"):
        parse(text)


@pytest.mark.parametrize(
    ("ignored", "old", "new", "expected"),
    [
        (["a"], {"a": 1}, {"a": 2, "b": 3}, {"a": 1, "b": 3}),
        (["a"], {}, {"a": 2}, {}),
        (["a"], {"a": 1}, {}, {"a": 1}),
        (["a.b"], {"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {"a": {"b": 1, "c": 3}}),
        (["a.b"], {"a": {}}, {"a": {"b": 2}}, {"a": {}}),
        (["a[0]"], {"a": [1, 2]}, {"a": [3, 4]}, {"a": [1, 4]}),
        (
            ["a[*].b"],
            {"a": [{"b": 1}, {"b": 2}]},
            {"a": [{"b": 3}, {"b": 4, "c": 5}]},
            {"a": [{"b": 1}, {"b": 2, "c": 5}]},
        ),
        (["a.*"], {"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1}}),
        (["*"], {"a": 1}, {"a": 2, "b": 3}, {"a": 1}),
        (['a["x.y"]'], {"a": {"x.y": 1}}, {"a": {"x.y": 2}}, {"a": {"x.y": 1}}),
        (["a.b"], {"a": Secret({"b": 1})}, {"a": Secret({"b": 2, "c": 3})}, {"a": Secret({"b": 1, "c": 3})}),
        (["absent.deep.path"], {"a": 1}, {"a": 2}, {"a": 2}),
        (["a.b"], {}, {"a": {"b": 2, "c": 3}}, {"a": {"c": 3}}),
        (["a.b"], {}, {"a": Secret({"b": 2})}, {"a": Secret({})}),
    ],
)
def test_ignored_paths_keep_what_was(ignored: list[str], old: Any, new: Any, expected: Any) -> None:
    assert with_ignored(new, old, ignored) == expected


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("a[0]", {"a": []}, {"a": [1, 2]}),
        ("a.b", {"a": {"b": 1}}, {"c": 1}),
        ("a.b.c", {}, {"a": {"b": {"c": 1}}}),
        ("a[3].b", {"a": [1]}, {"a": [2]}),
        ("a.*", {"a": "text"}, {"a": "other"}),
    ],
)
def test_an_ignored_path_that_does_not_fit_is_named_and_ignores_nothing(
    path: str, old: dict[str, Any], new: dict[str, Any]
) -> None:
    unfit: list[str] = []
    before = repr(new)
    result = with_ignored(new, old, [path], unfit)
    assert (result, unfit) == (new, [path])
    assert repr(new) == before


@pytest.mark.parametrize("path", ["a.b", "a.*"])
def test_what_an_ignored_path_keeps_of_a_secret_stays_secret(path: str) -> None:
    old = {"a": Secret({"b": "hush-hush"})}
    assert with_ignored({"a": {"b": "new"}}, old, [path]) == {"a": {"b": Secret("hush-hush")}}
    assert with_ignored({"a": Secret({"b": "new"})}, old, [path]) == {"a": Secret({"b": "hush-hush"})}


def test_a_path_covers_what_is_below_it() -> None:
    assert covers(["a"], "a.b[0]")
    assert covers(["a[*].c"], "a[3].c")
    assert covers(["*"], "anything")
    assert not covers(["a.b"], "a")


def test_two_objects_are_compared_to_the_last_path() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "x.y": Secret("s")}, "gone": None, "same": Secret(1)}
    new = {"a": 2, "b": {"c": [1], "x.y": Secret("t")}, "new": UNKNOWN, "same": 1}
    assert {path: change.kind for path, change in object_diff(old, new).items()} == {
        "a": "update",
        "b.c[1]": "delete",
        'b["x.y"]': "update",
        "new": "add",
    }


# -- aliases ----------------------------------------------------------------------------------------------------------


def test_every_form_of_an_alias_becomes_a_urn() -> None:
    def one(alias: Alias, parent: str = "", used: dict[str, str] | None = None) -> list[str]:
        return expand([alias], "dev", "app", parent, "t:i:New", "name", used or {})

    stack = "urn:pulumi:dev::app::pulumi:pulumi:Stack::app-dev"
    parent = "urn:pulumi:dev::app::c:i:Parent::par"
    assert one(Alias(urn="urn:x")) == ["urn:x"]
    assert one(Alias(name="old"), stack) == ["urn:pulumi:dev::app::t:i:New::old"]
    assert one(Alias(type="t:i:Old"), parent) == ["urn:pulumi:dev::app::c:i:Parent$t:i:Old::name"]
    assert one(Alias(parent=parent), stack) == ["urn:pulumi:dev::app::c:i:Parent$t:i:New::name"]
    assert one(Alias(no_parent=True), parent) == ["urn:pulumi:dev::app::t:i:New::name"]
    assert one(Alias(stack="test", project="other"), stack) == ["urn:pulumi:test::other::t:i:New::name"]


def test_children_inherit_their_parents_alias_with_the_name_that_follows_it() -> None:
    parent, was = "urn:pulumi:dev::app::c:i:P::newapp", "urn:pulumi:dev::app::c:i:Q::app"
    found = expand([Alias(name="newapp-f")], "dev", "app", parent, "t:i:T", "newapp-function", {parent: was})
    assert found == [
        "urn:pulumi:dev::app::c:i:P$t:i:T::newapp-f",
        "urn:pulumi:dev::app::c:i:Q$t:i:T::app-function",
        "urn:pulumi:dev::app::c:i:Q$t:i:T::app-f",
    ]


def test_a_renamed_thing_can_be_replaced_in_the_same_run(stack: Stack) -> None:
    stack.run(
        "up",
        "a = Thing('a', 'v', shape='x')\nb = Thing('b', a.arn)\nc = Thing('c', 'v', opts=ResourceOptions(parent=a))",
    )
    renamed = "a = Thing('z', 'v', shape='y', opts=ResourceOptions(aliases=[pulumi.Alias(name='a')]))\n"
    renamed += "b = Thing('b', a.arn)\nc = Thing('c', 'v', opts=ResourceOptions(parent=a))"
    assert stack.run("up", renamed).changes == {"replace": 1, "same": 2, "update": 1}
    assert set(stack.cloud["things"]) == {"z-1", "b-1", "c-1"}
    assert "probe:index:Thing$probe:index:Thing::c" in stack.resources()


def test_two_resources_cannot_claim_one_earlier_urn(stack: Stack) -> None:
    stack.run("up", "Thing('a', 'v')")
    alias = "opts=ResourceOptions(aliases=[pulumi.Alias(name='a')])"
    result = stack.run("up", f"b = Thing('b', 'v', {alias})\nThing('c', b.arn, {alias})")
    assert not result.ok
    assert "Duplicate resource alias" in stack.output
    assert "c-1" not in stack.cloud["things"]


# -- replacement ------------------------------------------------------------------------------------------------------


def test_replace_with_replaces_in_chains(stack: Stack) -> None:
    text = "a = Thing('a', 'v', shape={!r})\nb = Thing('b', 'v', opts=ResourceOptions(replace_with=[a]))\n"
    text += "c = Thing('c', 'v', opts=ResourceOptions(replace_with=[b]))"
    stack.run("up", text.format("x"))
    result = stack.run("up", text.format("y"))
    assert result.changes == {"replace": 3, "same": 1}
    keys = {step.urn.rpartition("::")[2]: step.replace_keys for step in result.steps if step.op == "create-replacement"}
    assert keys == {"a": ["shape"], "b": ["replaceWith"], "c": ["replaceWith"]}


def test_a_replacement_trigger_replaces_when_it_changes(stack: Stack) -> None:
    text = "a = Thing('a', 'v', opts=ResourceOptions(replacement_trigger={!r}))"
    stack.run("up", text.format("one"))
    assert stack.run("up", text.format("one")).changes == {"same": 2}
    assert stack.run("up", text.format("two")).changes == {"replace": 1, "same": 1}


def test_a_protected_dependent_stops_a_delete_before_replace_before_anything_is_touched(stack: Stack) -> None:
    text = "a = Thing('a', 'v', shape={!r}, opts=ResourceOptions(delete_before_replace=True))\n"
    text += "b = Thing('b', 'v', shape=a.arn)\nc = Thing('c', 'v', shape=b.arn, opts=ResourceOptions(protect=True))"
    stack.run("up", text.format("x"))
    before = stack.log
    result = stack.run("up", text.format("y"))
    assert not result.ok
    assert "as part of replacing" in stack.output
    assert stack.log == before


def test_the_provider_s_own_delete_before_replace_can_be_turned_off(stack: Stack) -> None:
    text = "a = Thing('a', 'v', shape={!r}, exclusive=True{})"
    off = ", opts=ResourceOptions(delete_before_replace=False)"
    stack.run("up", text.format("x", ""))
    stack.run("up", text.format("y", ""))
    stack.run("up", text.format("z", off))
    assert stack.log == ["create a-1", "delete a-1", "create a-2", "create a-3", "delete a-2"]


def test_a_dependent_deleted_for_a_replacement_and_dropped_from_the_program_is_just_gone(stack: Stack) -> None:
    text = "a = Thing('a', 'v', shape={!r}, opts=ResourceOptions(delete_before_replace=True))\n"
    stack.run("up", text.format("x") + "b = Thing('b', 'v', shape=a.arn)")
    assert stack.run("up", text.format("y")).ok
    assert set(stack.cloud["things"]) == {"a-2"}
    assert "probe:index:Thing::b" not in stack.resources()


def test_generations_that_depend_on_each_other_crosswise_are_all_deleted(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v', shape='x')\nb = Thing('b', a.arn, shape='x')")
    stack.plant("refuse", {"a-1": ["delete"], "b-1": ["delete"]})
    stack.run("up", "b = Thing('b', 'v', shape='y')\na = Thing('a', b.arn, shape='y')")
    assert {"probe:index:Thing::a!", "probe:index:Thing::b!"} <= set(stack.resources())
    stack.plant("refuse", {})
    assert stack.run("destroy").ok
    assert stack.cloud["things"] == {}


# -- failures ---------------------------------------------------------------------------------------------------------


def test_what_runs_beside_a_failure_is_finished_and_kept(stack: Stack) -> None:
    # Three meet in their creates; the fourth fails meanwhile.
    text = "for i in range(3):\n    Thing(f't{i}', 'v', meet=3)\nbad = Thing('bad', 'v', fail='create')"
    result = stack.run("up", text)
    assert not result.ok
    made = {item.id for key, item in stack.resources().items() if "Thing" in key}
    assert made == set(stack.cloud["things"])
    assert result.failed_steps[0].urn.endswith("::bad")


def test_a_resource_that_did_not_become_ready_is_kept_and_updated_by_the_next_run(stack: Stack) -> None:
    odd_provider.calls.clear()
    stack.provider = "tests.engine.odd_provider:UnreadyProvider"
    stack.write(ODD_SDK + "Odd('o', size=1)")
    result = stack.run("up")
    assert not result.ok
    assert "did not become ready" in stack.output
    held = stack.resources()["odd:index:Odd::o"]
    assert (held.id, held.init_errors) == ("odd-1", ["its pods do not start"])
    stack.provider = ODD
    assert stack.run("up").changes == {"same": 1, "update": 1}
    assert stack.resources()["odd:index:Odd::o"].init_errors == []
    assert [call[0] for call in odd_provider.calls] == ["create", "update"]


def test_a_provider_s_bug_is_shown_with_its_place_and_no_traceback(stack: Stack) -> None:
    result = stack.run("up", "Thing('a', 'v', fail='delete')")
    assert result.ok
    assert not stack.run("destroy").ok
    assert "probe refuses to delete a-1\n  (RuntimeError at probe.py:" in stack.output
    assert "Traceback" not in stack.output


# -- calls ------------------------------------------------------------------------------------------------------------


def test_time_outs_reach_the_provider_in_seconds(stack: Stack) -> None:
    odd_provider.calls.clear()
    stack.provider = ODD
    opts = "opts=ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create='1h30m', update='45s', delete='1.5m'))"
    assert stack.run("up", ODD_SDK + f"Odd('o', {opts}, size=1)").ok
    assert stack.run("up", ODD_SDK + f"Odd('o', {opts}, size=2)").ok
    assert stack.run("destroy").ok
    assert odd_provider.calls == [("create", "o", 5400.0), ("update", "o", 45.0), ("delete", "o", 90.0)]


def test_a_diff_left_to_the_engine_is_made_from_the_inputs(stack: Stack) -> None:
    stack.provider = ODD
    text = ODD_SDK + "Odd('o', settings={'a': 1, 'b': %s}, file=pulumi.StringAsset(%r))"
    assert stack.run("up", text % ("[1, 2]", "text")).ok
    assert stack.run("up").changes == {"same": 2}
    result = stack.run("preview", text % ("[1, 3]", "other"))
    detailed = next(step.detailed for step in result.steps if step.op == "update")
    assert {path: change.kind for path, change in detailed.items()} == {
        "settings.b[1]": "update",
        "file.text": "update",
        "file.hash": "update",
    }


def test_a_provider_without_previews_is_not_called_in_one(stack: Stack) -> None:
    odd_provider.calls.clear()
    stack.provider = "tests.engine.odd_provider:NoPreviewProvider"
    result = stack.run("preview", ODD_SDK + "o = Odd('o', size=1)\npulumi.export('id', o.id)")
    assert result.outputs == {"id": UNKNOWN}
    assert odd_provider.calls == []


def test_a_program_can_catch_a_function_that_fails(stack: Stack) -> None:
    stack.provider = ODD
    text = """
try:
    pulumi.runtime.invoke("odd:index:raise", {"text": "x"})
    pulumi.export("caught", "no")
except Exception as error:
    pulumi.export("caught", str(error))
"""
    result = stack.run("up", text)
    assert "the function fails" in result.outputs.get("caught", "") or "the function fails" in stack.output


def test_transforms_of_function_calls_change_their_arguments(stack: Stack) -> None:
    stack.provider = ODD
    text = """
def shout(args):
    return pulumi.InvokeTransformResult({**args.args, "text": args.args["text"].upper()}, args.opts)

pulumi.runtime.register_invoke_transform(shout)

async def main():
    found = await pulumi.runtime.invoke_async("odd:index:echo", {"text": "quiet"})
    return {"echo": found["echo"]}

pulumi.run(main)
"""
    assert stack.run("up", text).outputs == {"echo": "QUIET"}, stack.output


def test_a_provider_that_takes_no_secrets_gets_none_and_they_stay_secret(stack: Stack) -> None:
    text = "p = Provider('p', accept_secrets='false')\n"
    text += (
        "a = Thing('a', 'v', secret_value=Output.secret('hush-hush'), tags={'x': Output.secret('hidden'), 'y': '1'}, "
    )
    text += "opts=ResourceOptions(provider=p))"
    assert stack.run("up", text).ok
    assert stack.run("refresh").changes == {"same": 3}
    held = stack.thing("a")
    for found in (held.inputs, held.outputs):
        assert found["secretValue"] == Secret("hush-hush")
        assert found["tags"] == {"x": Secret("hidden"), "y": "1"}


def test_a_provider_configured_by_an_unknown_says_so_and_is_replaced_at_preview(stack: Stack) -> None:
    text = "a = Thing('a', 'v', shape={!r})\np = Provider('p', region=a.arn)\nb = Thing('b', 'v', opts=ResourceOptions(provider=p))"
    first = stack.run("preview", text.format("x"))
    assert first.changes == {"create": 4}
    assert stack.run("up").ok
    assert stack.run("up").changes == {"same": 4}
    assert stack.run("preview", text.format("y")).changes == {"replace": 3, "same": 1}
    assert stack.run("up").changes == {"replace": 3, "same": 1}
    assert [thing["region"] for thing in stack.cloud["things"].values()] == ["moon", "arn:probe:moon:a-2"]


# -- reading ----------------------------------------------------------------------------------------------------------


def test_a_managed_thing_that_is_only_read_from_now_on_is_let_go(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v')\nb = Thing('b', 'w')")
    assert ops(stack.run("up", "Thing.get('a', 'a-1')\nb = Thing('b', 'w')")) == [("read", "a")]
    assert ops(stack.run("up", "a = Thing('a', 'v')\nb = Thing('b', 'w')")) == [
        ("create-replacement", "a"),
        ("replace", "a"),
        ("discard-replaced", "a"),
    ]
    assert ops(stack.run("up", "Thing.get('a', 'b-1')\nb = Thing('b', 'w')")) == [
        ("read-replacement", "a"),
        ("replace", "a"),
        ("delete-replaced", "a"),
    ]
    assert set(stack.cloud["things"]) == {"a-1", "b-1"}


@pytest.mark.parametrize(
    "text", ["Thing.get('a', 'none-1')", "Thing('a', 'v', opts=ResourceOptions(import_='none-1'))"]
)
def test_reading_or_importing_what_is_not_there_names_the_id(stack: Stack, text: str) -> None:
    assert not stack.run("up", text).ok
    assert "none-1" in stack.output
    assert "probe:index:Thing::a" not in stack.resources()


# -- what is refused --------------------------------------------------------------------------------------------------


def refused(result: Result, stack: Stack, *texts: str) -> None:
    assert not result.ok
    for text in texts:
        assert text in stack.output


def test_what_is_not_supported_is_named(stack: Stack) -> None:
    remote = "class R(pulumi.ComponentResource):\n    pass\nR('x:y:Z', 'r', {}, None, True)"
    refused(stack.run("up", remote), stack, "remote=true", "'r'")
    refused(stack.run("up", "pulumi.StackReference('organization/app/prod')"), stack, "organization/app/prod")
    dynamic = "pulumi.CustomResource('pulumi:pulumi:Other', 'o', {})"
    refused(stack.run("up", dynamic), stack, "pulumi:pulumi:Other")
    assert stack.cloud["things"] == {}
