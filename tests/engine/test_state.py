"""The state file: Pulumi's deployment, and what is refused; values on their ways through it."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.engine import StateError
from sandbox.engine.state import Codec, Resource, Snapshot, dump, in_order, load
from sandbox.engine.values import (
    UNKNOWN,
    Redactor,
    Secret,
    copy_secrets,
    from_properties,
    from_struct,
    shown,
    to_properties,
    to_struct,
    unwrap,
)
from tests.engine.stack import Stack, crypter

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
values = st.recursive(
    plain | plain.map(Secret),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
properties = st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=4)


@settings(deadline=None)
@given(properties)
def test_values_come_back_from_the_wire_from_providers_and_from_the_state(given_: dict[str, Any]) -> None:
    assert from_struct(to_struct(given_)) == given_
    assert from_properties(to_properties(given_)) == given_
    assert unwrap(from_properties(to_properties(given_, secrets=False))) == unwrap(given_)


CODEC = Codec(crypter())


@settings(deadline=None)
@given(properties)
def test_the_state_keeps_values_and_holds_no_secret_text(given_: dict[str, Any]) -> None:
    urn = "urn:pulumi:dev::app::t:i:T::name"
    hidden = {**given_, "token": Secret({"deep": ["kept-secret-text"]})}
    document = dump(Snapshot([Resource(urn, "t:i:T", True, id="1", inputs=hidden)]), CODEC)
    text = json.dumps(document)
    assert "kept-secret-text" not in text
    assert unwrap(load(json.loads(text), CODEC).resources[0].inputs) == unwrap(hidden)


def test_the_file_is_one_that_pulumi_imports(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v', secret_value=Output.secret('hush-hush'))\nb = Thing('b', a.arn)")
    document = json.loads(stack.state.read_text())
    assert document["version"] == 3
    deployment = document["deployment"]
    manifest = deployment["manifest"]
    assert manifest["magic"] == hashlib.sha256(manifest["version"].encode()).hexdigest()
    assert deployment["secrets_providers"]["type"] == "passphrase"
    assert deployment["secrets_providers"]["state"]["salt"].startswith("v1:")
    by_name = {item["urn"].rpartition("::")[2]: item for item in deployment["resources"]}
    assert set(by_name["a"]["inputs"]["secretValue"]) == {"4dabf18193072939515e22adb298388d", "ciphertext"}
    assert by_name["b"]["propertyDependencies"] == {"value": [by_name["a"]["urn"]]}
    assert by_name["b"]["provider"] == f"{by_name['default_1_0_0']['urn']}::{by_name['default_1_0_0']['id']}"
    assert stat.S_IMODE(stack.state.stat().st_mode) == 0o600
    assert sorted(path.name for path in stack.folder.glob("state*")) == ["state.json"]


def test_what_only_newer_engines_know_is_kept(stack: Stack) -> None:
    stack.run("up", "a = Thing('a', 'v')")
    document = json.loads(stack.state.read_text())
    document["deployment"]["resources"][-1]["ofTheFuture"] = {"x": 1}
    stack.state.write_text(json.dumps(document))
    assert stack.run("up").changes == {"same": 2}
    assert json.loads(stack.state.read_text())["deployment"]["resources"][-1]["ofTheFuture"] == {"x": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a state"),
        ('{"version": 2, "deployment": {}}', "version 2"),
        ('{"version": 3, "deployment": {"resources": "x"}}', "resources: expected a list"),
        ('{"version": 3, "deployment": {"resources": [{"urn": 5}]}}', r"resources\[0\]: expected an object with a urn"),
        ('{"version": 3, "deployment": {"pending_operations": [7]}}', r"pending_operations\[0\]"),
        (
            '{"version": 3, "deployment": {"resources": [{"urn": "urn:pulumi:d::p::a:b:C::n", "inputs": 5}]}}',
            "inputs: expected an object",
        ),
        ('{"version": 3, "deployment": {"secrets_providers": {"type": "cloud"}}}', "secrets provider is 'cloud'"),
    ],
)
def test_what_is_no_state_is_refused_by_name(stack: Stack, text: str, message: str) -> None:
    stack.state.write_text(text)
    with pytest.raises(StateError, match=message):
        stack.run("up", "")
    assert stack.state.read_text() == text


def test_an_empty_file_is_an_empty_stack(stack: Stack) -> None:
    stack.state.write_text("")
    assert stack.run("up", "Thing('a', 'v')").ok


def test_resources_come_after_what_they_need() -> None:
    def one(name: str, *needs: str) -> Resource:
        return Resource(
            f"urn:pulumi:s::p::t:i:T::{name}",
            "t:i:T",
            True,
            dependencies=[f"urn:pulumi:s::p::t:i:T::{n}" for n in needs],
        )

    found = in_order([one("c", "b"), one("b", "a"), one("x"), one("a"), one("loop", "loop2"), one("loop2", "loop")])
    names = [item.urn.rpartition("::")[2] for item in found]
    assert names.index("a") < names.index("b") < names.index("c")
    assert sorted(names) == ["a", "b", "c", "loop", "loop2", "x"]


def test_secret_marks_are_copied_to_where_the_values_went() -> None:
    outputs = {"a": 1, "map": {"x": "1", "y": "2"}, "list": [1, 2], "other": 3}
    copy_secrets(outputs, {"a": Secret(1), "map": {"x": Secret("1"), "y": "2"}, "list": [Secret(1)], "gone": Secret(0)})
    assert outputs == {"a": Secret(1), "map": {"x": Secret("1"), "y": "2"}, "list": Secret([1, 2]), "other": 3}


def test_every_text_of_a_secret_is_blotted_out_but_the_shortest() -> None:
    redact = Redactor()
    redact.learn(
        {"a": Secret({"user": "administrator", "password": "administrator-pass", "port": "1"}), "b": [Secret(UNKNOWN)]}
    )
    assert redact("administrator-pass of administrator, 1") == "[secret] of [secret], 1"
    assert shown({"x": Secret("s"), "y": ["administrator"]}, redact) == {"x": "[secret]", "y": ["[secret]"]}
    assert "s3cret" not in repr(Secret("s3cret"))


def test_state_files_in_a_folder_that_is_missing_are_made(stack: Stack, tmp_path: Path) -> None:
    stack.state = tmp_path / "new" / "folder" / "state.json"
    assert stack.run("up", "Thing('a', 'v')").ok
    assert stack.state.exists()
