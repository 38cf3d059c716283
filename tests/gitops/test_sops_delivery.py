"""SopsFile with every kind of key: what was encrypted is what is delivered, and nothing of it is seen on the way."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from components.sops.decrypt import SopsKeyMissing, SopsTampered, decrypt, run_sops
from gitops.errors import SopsCommandError
from gitops.sops import files
from sandbox.servers.openbao import seal, unseal
from tests.gitops.contents import CONTENT, FORMATS, written
from tests.gitops.key_services import KINDS, KeyServices
from tests.gitops.stack import Stack
from tests.waiting import until

pytestmark = pytest.mark.sandbox
COUNT = 100
SECRET = "s3cr3t-value-4711"

MANY = """
import pathlib
import pulumi
import pulumi_vault as vault
from components.sops.sops_file import SopsFile

config = pulumi.Config()
mount = vault.Mount("mount", path=config.require("mount"), type="kv", options={"version": "2"})
for path in sorted(pathlib.Path(config.require("folder")).iterdir()):
    SopsFile(path.stem, {"path": str(path), "vault_kv": {"mount": mount.path, "path": path.stem}})
"""
TARGETS = """
import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_vault as vault
from components.sops.sops_file import SopsFile

config = pulumi.Config()
mount = vault.Mount("mount", path=config.require("mount"), type="kv", options={"version": "2"})
namespace = k8s.core.v1.Namespace("namespace", metadata={"name": config.require("mount")})
secret = aws.secretsmanager.Secret("secret", name=config.require("mount"), recovery_window_in_days=0)
file = SopsFile("file", {
    "path": config.require("file"),
    "vault_kv": {"mount": mount.path, "path": "app"},
    "secrets_manager": {"secret_id": secret.arn},
    "kubernetes": {"namespace": namespace.metadata["name"], "name": "app"},
})
pulumi.export("values", file.values)
"""


@pytest.fixture
def repository(key_services: KeyServices, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A repository whose one creation rule uses the key of the test's kind."""
    root = tmp_path / "repository"
    root.mkdir()
    files.init(root, {"production": [key_services.recipients[request.param]]})
    (root / "secrets" / "production").mkdir(parents=True)
    return root


@pytest.fixture
def environment(key_services: KeyServices, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = request.node.callspec.params["repository"]
    for name, value in key_services.environment(kind).items():
        monkeypatch.setenv(name, value)


def encrypted(root: Path, name: str, text: str) -> Path:
    path = root / "secrets" / "production" / name
    path.write_text(text)
    files.encrypt(root, [path])
    return path


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # would stand in the way of the failure itself
@pytest.mark.parametrize("repository", KINDS, indirect=True)
@pytest.mark.usefixtures("environment")
def test_a_hundred_random_files_are_delivered_unchanged(
    repository: Path, key_services: KeyServices, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["repository"]
    expected: dict[str, dict[str, Any]] = {}

    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(content=CONTENT, file_format=FORMATS)
    def write(content: dict[str, Any], file_format: str) -> None:
        name = f"f{len(expected)}"
        expected[name] = content
        path = encrypted(repository, f"{name}.{file_format}", written(content, file_format))
        assert "ENC[AES256_GCM" in path.read_text() or not any(content.values())

    write()
    assert len(expected) == COUNT
    stack = Stack(tmp_path / "stack", MANY, environment={}, providers=("vault",))
    mount = f"files-{kind}"
    stack.configure({"folder": str(repository / "secrets" / "production"), "mount": mount})
    stack.up()
    assert {name: key_services.kv(mount, name) for name in expected} == expected


@pytest.mark.parametrize("repository", KINDS, indirect=True)
@pytest.mark.usefixtures("environment")
def test_every_target_gets_it_and_no_trace_is_left_on_the_way(
    repository: Path,
    key_services: KeyServices,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = request.node.callspec.params["repository"]
    content = {"password": SECRET, "nested": {"list": [1, SECRET]}, "empty": "", "lines": f"a\n{SECRET}\n"}
    path = encrypted(repository, "app.yaml", written(content, "yaml"))
    log = tmp_path / "argv"
    spy = tmp_path / "bin"
    spy.mkdir()
    (spy / "sops").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >> {log}\nexec {Path(sys.prefix) / "bin" / "sops"} "$@"\n'
    )
    (spy / "sops").chmod(0o700)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"PATH": f"{spy}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)}
    stack = Stack(tmp_path / "stack", TARGETS, environment=environment, providers=("vault", "aws", "kubernetes"))
    name = f"sops-target-{kind}"
    stack.configure({"file": str(path), "mount": name})
    shown = stack.run("preview", "--json").stdout
    shown += stack.up()
    assert stack.unchanged()

    assert key_services.kv(name, "app") == content
    value = key_services.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    assert json.loads(value) == content
    secret = json.loads(key_services.kubectl("get", "secret", "app", "-n", name, "-o", "json"))["data"]
    assert {key: base64.b64decode(text).decode() for key, text in secret.items()} == {
        key: item if isinstance(item, str) else json.dumps(item) for key, item in content.items()
    }

    assert "decrypt" in log.read_text()
    forms = [SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("=")]
    left = [shown, stack.state.read_text(), log.read_text()]
    left += [each.read_text(errors="replace") for each in temporary.rglob("*") if each.is_file()]
    left += [each.read_text(errors="replace") for each in stack.folder.rglob("*") if each.is_file()]
    for text in left:
        assert not any(form in text for form in forms)


def test_reading_opens_no_file_for_writing(key_services: KeyServices, tmp_path: Path) -> None:
    """sops is given a folder for temporary files that is not there: if it wanted one, it would fail."""
    files.init(tmp_path, {"production": [key_services.recipients["age"]]})
    (tmp_path / "secrets" / "production").mkdir(parents=True)
    path = encrypted(tmp_path, "app.yaml", f"password: {SECRET}\n")
    environment = {"PATH": os.environ["PATH"], **key_services.environment("age"), "TMPDIR": "/nowhere"}
    before = set(tmp_path.rglob("*"))
    assert decrypt(path, environment=environment) == {"password": SECRET}
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("repository", KINDS, indirect=True)
@pytest.mark.usefixtures("environment")
def test_without_its_own_key_or_changed_by_hand_no_kind_of_file_opens(
    repository: Path, key_services: KeyServices, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = request.node.callspec.params["repository"]
    path = encrypted(repository, "app.yaml", f"one: {SECRET}\ntwo: other\n")
    bare = {"PATH": os.environ["PATH"], "HOME": str(repository)}
    with pytest.raises(SopsKeyMissing, match="no key at hand opens it") as caught:
        decrypt(path, environment=bare)
    assert SECRET not in str(caught.value)

    wrong = {**bare, **key_services.environment(kind)}
    if kind == "age":
        other = repository / "other.txt"
        other.write_text("AGE-SECRET-KEY-1" + "Q" * 58 + "\n")
        wrong["SOPS_AGE_KEY_FILE"] = str(other)
    elif kind == "transit":
        token = key_services.vault("POST", "auth/token/create", {"policies": ["default"]}).json()
        wrong["VAULT_TOKEN"] = token["auth"]["client_token"]
    else:
        user = f"nobody-{os.getpid()}"
        iam = key_services.client("iam")
        iam.create_user(UserName=user)
        keys = iam.create_access_key(UserName=user)["AccessKey"]
        wrong |= {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
    with pytest.raises(SopsKeyMissing) as caught:
        decrypt(path, environment=wrong)
    assert SECRET not in str(caught.value)

    if kind != "age":  # to encrypt needs no secret of age
        new = path.with_name("new.yaml")
        new.write_text(f"one: {SECRET}\n")
        with monkeypatch.context() as denied:
            for name, value in wrong.items():
                denied.setenv(name, value)
            with pytest.raises(SopsCommandError, match="to every recipient") as caught:
                files.encrypt(repository, [new])
        assert SECRET not in str(caught.value)
        assert new.read_text() == f"one: {SECRET}\n"
    if kind == "transit":
        with pytest.raises(SopsKeyMissing, match=r"no key at hand opens it.*/nowhere\.pem"):
            decrypt(path, environment={**bare, **key_services.environment(kind), "VAULT_CACERT": "/nowhere.pem"})

    lines = path.read_text().splitlines()
    lines[0], lines[1] = lines[1].replace("two:", "one:"), lines[0].replace("one:", "two:")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(SopsTampered, match="changed outside of sops"):
        decrypt(path)


def test_a_vault_that_is_sealed_is_told_and_the_file_opens_once_it_is_not(
    key_services: KeyServices, tmp_path: Path
) -> None:
    environment = {"PATH": os.environ["PATH"], **key_services.environment("transit")}
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    path = tmp_path / "app.yaml"
    path.write_text(f"password: {SECRET}\n")
    recipient = key_services.recipients["transit"]
    path.write_bytes(run_sops(["encrypt", "--hc-vault-transit", recipient, str(path)], environment=environment))
    seal(key_services.endpoint)
    try:
        with pytest.raises(SopsKeyMissing, match="Vault is sealed"):
            decrypt(path, environment=environment)
    finally:
        unseal(key_services.state_dir, key_services.endpoint)
    until("Vault is active again", lambda: key_services._vault.get("sys/health").status_code == 200)
    assert decrypt(path, environment=environment) == {"password": SECRET}


def test_a_file_goes_from_one_kind_of_key_to_another(
    key_services: KeyServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a team does that moves from age to KMS and Vault: add the new key, take the old one away."""
    for name, value in key_services.environment().items():
        monkeypatch.setenv(name, value)
    files.init(tmp_path, {"production": [key_services.recipients["age"]]})
    (tmp_path / "secrets" / "production").mkdir(parents=True)
    path = encrypted(tmp_path, "app.yaml", f"password: {SECRET}\n")
    for kind in ("kms", "transit"):
        files.add_recipient([path], key_services.recipients[kind])
    files.remove_recipient([path], key_services.recipients["age"])
    files.rotate([path])
    for kind in ("kms", "transit"):
        alone = {"PATH": os.environ["PATH"], **key_services.environment(kind)}
        for name in [name for name in alone if name.startswith("VAULT_" if kind == "kms" else "AWS_")]:
            del alone[name]
        assert decrypt(path, environment=alone) == {"password": SECRET}
    age_file = key_services.environment("age")["SOPS_AGE_KEY_FILE"]
    only_age = {"PATH": os.environ["PATH"], "SOPS_AGE_KEY_FILE": age_file}
    with pytest.raises(SopsKeyMissing):
        decrypt(path, environment=only_age)
