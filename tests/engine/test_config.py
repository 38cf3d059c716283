"""Configuration is checked before anything runs, with one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox.engine import ConfigError, SecretsError, run
from sandbox.engine.config import load_project, load_stack_config
from sandbox.engine.secrets import encrypt, new_salt
from tests.engine.stack import PASSPHRASE, Stack

SCHEMA = {
    "ttl": {"type": "string", "default": "1h"},
    "replicas": {"type": "integer", "description": "how many"},
    "ratio": {"type": "number", "default": 0.5},
    "debug": {"type": "boolean", "default": False},
    "zones": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
    "limits": {"type": "object", "default": {}},
    "token": {"type": "string", "secret": True, "default": ""},
    "probe:region": "mars",
}
PROGRAM = """
import pulumi
config = pulumi.Config()
pulumi.export("ttl", config.require("ttl"))
pulumi.export("replicas", config.require_int("replicas"))
pulumi.export("debug", config.require_bool("debug"))
pulumi.export("zones", config.require_object("zones"))
pulumi.export("region", pulumi.Config("probe").require("region"))
pulumi.export("token", config.get_secret("token"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "app", "runtime": "python", "config": SCHEMA}))
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


def load(folder: Path, **given: object) -> dict[str, str]:
    options = {"files": [], "config": {}, "secrets": {}, "passphrase": PASSPHRASE, **given}
    return load_stack_config(load_project(folder, None), "dev", **options).values  # type: ignore[arg-type]


def test_a_program_gets_its_typed_settings(project: Path, tmp_path: Path) -> None:
    salt = new_salt(PASSPHRASE)
    stack_file = {
        "encryptionsalt": salt,
        "config": {
            "app:replicas": 3,
            "app:zones": ["x", "y"],
            "app:token": {"secure": encrypt("t0k3n!", PASSPHRASE, salt)},
        },
    }
    (project / "Pulumi.dev.yaml").write_text(yaml.safe_dump(stack_file))
    environment = {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    result = run(
        "up", program=project, stack="dev", state=tmp_path / "s.json", environment=environment, config={"debug": "true"}
    )
    assert result.ok, result.diagnostics
    token = result.outputs.pop("token")
    assert token.value == "t0k3n!"
    assert result.outputs == {"ttl": "1h", "replicas": 3, "debug": True, "zones": ["x", "y"], "region": "mars"}
    assert "t0k3n!" not in (tmp_path / "s.json").read_text()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"config key 'replicas' is missing \(how many\): expected a value of type integer"),
        ({"replicas": "many"}, r"--config: config key 'replicas': expected an integer, found 'many'"),
        ({"replicas": "1.5"}, "expected an integer, found '1.5'"),
        ({"replicas": "3", "debug": "yes"}, "config key 'debug': expected a boolean"),
        ({"replicas": "3", "ratio": "x"}, "expected a number"),
        ({"replicas": "3", "zones": '["a", 1]'}, "'zones': item 1: expected a string"),
        ({"replicas": "3", "zones": "a"}, "expected an array of strings"),
        ({"replicas": "3", "limits": "[]"}, "expected an object"),
        ({"replicas": "3", "replica": "3"}, "unknown config key 'replica'; did you mean 'replicas'"),
        ({"replicas": "3", ":x": "3"}, "expected NAME or NAMESPACE:NAME"),
    ],
)
def test_each_mistake_names_the_key_and_what_was_expected(project: Path, config: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(project, config=config)


def test_all_mistakes_are_told_at_once(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(project, config={"debug": "yes", "nothing": "1"})
    assert len(str(caught.value).splitlines()) == 3


def test_a_secret_of_a_wrong_type_is_not_shown(project: Path) -> None:
    document = yaml.safe_load((project / "Pulumi.yaml").read_text())
    document["config"]["pin"] = {"type": "integer", "secret": True}
    (project / "Pulumi.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError) as caught:
        load(project, config={"replicas": "1"}, secrets={"pin": "hush-hush"})
    assert "pin" in str(caught.value)
    assert "hush-hush" not in str(caught.value)


def test_the_later_setting_wins(project: Path) -> None:
    file = project / "other.yaml"
    file.write_text(yaml.safe_dump({"config": {"app:replicas": 1, "app:ttl": "2h", "probe:region": "venus"}}))
    last = project / "last.yaml"
    last.write_text(yaml.safe_dump({"config": {"app:ttl": "3h"}}))
    values = load(project, files=[file], config={"replicas": "5"})
    assert (values["app:replicas"], values["app:ttl"], values["probe:region"]) == ("5", "2h", "venus")
    assert load(project, files=[file, last])["app:ttl"] == "3h"


def test_a_mistake_in_one_of_several_files_is_told_of_that_one(project: Path) -> None:
    first, second = project / "first.yaml", project / "second.yaml"
    first.write_text(yaml.safe_dump({"config": {"app:replicas": "many"}}))
    second.write_text(yaml.safe_dump({"config": {"app:ttl": "3h", "app:debgu": True}}))
    with pytest.raises(ConfigError) as caught:
        load(project, files=[first, second])
    assert sorted(line.partition(": ")[0] for line in str(caught.value).splitlines()) == [str(first), str(second)]


def test_a_key_that_is_there_twice_is_refused(project: Path) -> None:
    file = project / "Pulumi.dev.yaml"
    file.write_text("config:\n  app:replicas: 1\n  app:zones: [x]\n  app:replicas: 2\n")
    with pytest.raises(ConfigError, match=r"Pulumi\.dev\.yaml: line 4: the key 'app:replicas' is there twice"):
        load(project)
    file.write_text(
        "base: &base {a: 1}\nmore: &more\n  <<: *base\n  a: 2\nmost: {<<: *more}\nconfig: {app:replicas: 1}\n"
    )
    assert load(project)["app:replicas"] == "1"


def test_wrong_files_are_named(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text("config: [")
    with pytest.raises(ConfigError, match=r"Pulumi\.dev\.yaml: not YAML"):
        load(project)
    (project / "Pulumi.dev.yaml").write_text("config: {'app:token': {secure: 'v1:AA:AA'}}")
    with pytest.raises(ConfigError, match="no encryptionsalt"):
        load(project)
    (project / "Pulumi.yaml").write_text("name: app\nruntime: nodejs\n")
    with pytest.raises(ConfigError, match="python programs only"):
        load(project)
    (project / "Pulumi.yaml").write_text("name: app\nruntime: python\nconfig: {x: {type: text}}\n")
    with pytest.raises(ConfigError, match="type 'text' is none of string, boolean"):
        load(project)


def test_a_secure_value_of_another_passphrase_is_refused(project: Path) -> None:
    salt = new_salt("another")
    secure = {"secure": encrypt("x", "another", salt)}
    (project / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"encryptionsalt": salt, "config": {"app:token": secure}}))
    with pytest.raises(SecretsError, match=r"Pulumi\.dev\.yaml"):
        load(project)


def test_nothing_runs_on_a_wrong_configuration(project: Path, tmp_path: Path) -> None:
    state = tmp_path / "s.json"
    (project / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ConfigError):
        run("up", program=project, stack="dev", state=state, environment={})
    assert not (tmp_path / "ran").exists()
    assert not state.exists()


def test_settings_of_a_package_configure_its_default_provider_secretly(stack: Stack) -> None:
    result = stack.run(
        "up", "a = Thing('a', 'v')\npulumi.export('arn', a.arn)", secrets={"probe:region": "hidden-place"}
    )
    assert result.ok, stack.output
    provider = stack.resources()["pulumi:providers:probe::default_1_0_0"]
    assert provider.inputs["region"].value == "hidden-place"
    assert "hidden-place" not in stack.output
