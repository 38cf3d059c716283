"""What SopsFile refuses before anything is made, and that what it hands on is secret from the first line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.sops.decrypt import SopsError, decrypt
from components.sops.sops_file import SopsFile, content_version
from gitops.sops import files
from tests.gitops.contents import write_encrypted

SIGNATURE = "4dabf18193072939515e22adb298388d"  # how Pulumi's protocol marks a special value
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # the mark of a secret
KUBERNETES = {"namespace": "prod", "name": "app"}


def program(path: Path, **targets: Any) -> Callable[[], object]:
    return lambda: SopsFile("app", {"path": str(path), **targets})  # type: ignore[typeddict-item]


def test_every_target_gets_secrets_alone(registered: Any, repository: Path) -> None:
    path = write_encrypted(repository, {"password": "value", "port": 5432})
    found = registered(
        program(
            path,
            vault_kv={"mount": "secret", "path": "prod/app"},
            secrets_manager={"secret_id": "prod/app"},
            kubernetes=KUBERNETES,
        )
    )
    handed_on = {
        "kv": found["app-kv"]["dataJson"],
        "version": found["app-version"]["secretStringWo"],
        "number": found["app-version"]["secretStringWoVersion"],
        "secret": found["app-secret"]["data"],
    }
    assert all(value[SIGNATURE] == SECRET for value in handed_on.values())
    assert json.loads(handed_on["kv"]["value"]) == {"password": "value", "port": 5432}


@pytest.mark.parametrize(
    ("content", "targets", "words"),
    [
        ({"a": "hunter2"}, {}, r"app: nowhere to deliver .*app\.yaml to; give vault_kv, secrets_manager or kubernetes"),
        ({"a b": "hunter2"}, {"kubernetes": KUBERNETES}, "a Kubernetes Secret cannot have the keys 'a b'"),
        ({"..": "hunter2"}, {"kubernetes": KUBERNETES}, r"cannot have the keys '\.\.'"),
    ],
)
def test_what_cannot_be_delivered_is_refused_before_anything_is_made(
    registered: Any, repository: Path, content: Any, targets: Any, words: str
) -> None:
    path = write_encrypted(repository, content)
    with pytest.raises(SopsError, match=words) as caught:
        registered(program(path, **targets))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("plain.yaml", "a: hunter2\n", "not encrypted"), ("absent.yaml", None, "no such file; give the path")],
)
def test_a_file_that_is_not_there_or_plain_is_refused(
    registered: Any, repository: Path, name: str, text: str | None, words: str
) -> None:
    path = repository / name
    if text:
        path.write_text(text)
    with pytest.raises(SopsError, match=words) as caught:
        registered(program(path, kubernetes=KUBERNETES))
    assert "hunter2" not in str(caught.value)


def test_a_new_data_key_is_no_change_and_a_new_value_is(repository: Path) -> None:
    path = write_encrypted(repository, {"password": "value", "port": 5432})
    text, version = path.read_text(), content_version(decrypt(path))
    files.rotate([path])
    assert path.read_text() != text
    assert content_version(decrypt(path)) == version
    assert content_version({"port": 5432, "password": "value"}) == version
    assert content_version({"password": "other", "port": 5432}) != version
