"""SOPS on the real binary: what goes in comes out, and every failure has its own clear error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyrage
import pytest
import yaml

from components.sops import decrypt as sops
from gitops.__main__ import main
from gitops.errors import GitOpsError, SopsCommandError
from gitops.sops import files
from gitops.sops.rules import check


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a creation rule for production and the key that opens it."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "key.txt").write_text(f"{identity}\n")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "key.txt"))
    root = tmp_path / "repository"
    root.mkdir()
    files.init(root, {"production": [str(identity.to_public())]})
    (root / "secrets" / "production").mkdir(parents=True)
    return root


def write_encrypted(root: Path, content: Mapping[str, object], name: str = "app.yaml") -> Path:
    path = root / "secrets" / "production" / name
    path.write_text(yaml.safe_dump(dict(content)))
    files.encrypt(root, [path])
    return path


def test_what_was_encrypted_is_delivered_unchanged(repository: Path) -> None:
    content = {"text": "line one\nline two\n", "empty": "", "nested": {"ünicode": "☃", "list": [1, "two"]}}
    path = write_encrypted(repository, content)
    assert "line one" not in path.read_text()
    assert sops.decrypt(path) == content


def test_a_missing_key_is_named_with_the_fix(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_encrypted(repository, {"password": "s3cr3t-value"})
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(repository / "nowhere.txt"))
    with pytest.raises(sops.SopsKeyMissing, match="SOPS_AGE_KEY_FILE") as caught:
        sops.decrypt(path)
    assert "s3cr3t-value" not in str(caught.value)


def test_another_recipients_key_does_not_open_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    (tmp_path / "other.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "other.txt"))
    with pytest.raises(sops.SopsKeyMissing, match="recipient"):
        sops.decrypt(path)


def test_a_file_changed_outside_of_sops_is_refused(repository: Path) -> None:
    path = write_encrypted(repository, {"one": "first", "two": "second"})
    content = yaml.safe_load(path.read_text())
    content["one"], content["two"] = content["two"], content["one"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(sops.SopsTampered, match="changed outside of sops"):
        sops.decrypt(path)


def test_a_plain_file_is_refused_without_its_values(repository: Path) -> None:
    path = repository / "plain.yaml"
    path.write_text("password: hunter2-value\n")
    with pytest.raises(sops.SopsNotEncrypted, match="not encrypted") as caught:
        sops.decrypt(path)
    assert "hunter2" not in str(caught.value)


def test_a_missing_binary_and_a_missing_file_are_named(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_encrypted(repository, {"a": "b"})
    monkeypatch.setattr("sys.prefix", str(repository))
    with pytest.raises(sops.SopsBinaryMissing, match="sops is not on the PATH"):
        sops.decrypt(path, environment={"PATH": str(repository)})
    with pytest.raises(sops.SopsFileError, match="no such file"):
        sops.decrypt(repository / "absent.yaml")


def test_check_finds_plaintext_where_a_rule_wants_ciphertext(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_encrypted(repository, {"password": "value", "empty": ""})
    plain = repository / "secrets" / "production" / "plain.yaml"
    plain.write_text("password: hunter2-value\n")
    half = write_encrypted(repository, {"password": "value"}, "half.yaml")
    half.write_text(half.read_text().replace("sops:", "added: hunter3-value\nsops:", 1))
    (repository / "README.md").write_text("covered by no rule\n")
    assert main(["sops", "--root", str(repository), "check"]) == 1
    output = capsys.readouterr().out
    assert "plain.yaml: not encrypted" in output
    assert "half.yaml at added: in clear" in output
    assert "hunter" not in output
    assert not check(repository, [good])


def test_rotating_renews_every_ciphertext_and_keeps_the_values(repository: Path) -> None:
    path = write_encrypted(repository, {"password": "value"})
    before = yaml.safe_load(path.read_text())["password"]
    files.rotate([path])
    assert yaml.safe_load(path.read_text())["password"] != before
    assert sops.decrypt(path) == {"password": "value"}


def test_a_recipient_that_was_removed_opens_the_file_no_longer(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    mate = pyrage.x25519.Identity.generate()
    (tmp_path / "mate.txt").write_text(f"{mate}\n")
    mates_environment = {**os.environ, "SOPS_AGE_KEY_FILE": str(tmp_path / "mate.txt")}
    files.add_recipient([path], str(mate.to_public()))
    assert sops.decrypt(path, environment=mates_environment) == {"password": "value"}
    files.remove_recipient([path], str(mate.to_public()))
    with pytest.raises(sops.SopsKeyMissing):
        sops.decrypt(path, environment=mates_environment)
    assert sops.decrypt(path) == {"password": "value"}


def test_editing_encrypts_again(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_encrypted(repository, {"password": "value"})
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i s/value/other-value/ "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("SOPS_EDITOR", str(editor))
    assert files.edit(repository, path) == 0
    assert "other-value" not in path.read_text()
    assert sops.decrypt(path) == {"password": "other-value"}


def test_bad_input_is_refused_with_its_name(repository: Path) -> None:
    with pytest.raises(GitOpsError, match="it is there already"):
        files.init(repository, {"production": ["age1x"]})
    with pytest.raises(GitOpsError, match="recipient: 'nonsense'"):
        files.add_recipient([repository / "a.yaml"], "nonsense")
    outside = repository.parent / "outside.yaml"
    outside.write_text("a: b\n")
    with pytest.raises(GitOpsError, match="outside of the repository"):
        files.encrypt(repository, [outside])
    uncovered = repository / "uncovered.yaml"
    uncovered.write_text("a: b\n")
    with pytest.raises(SopsCommandError, match=r"creation rule|no matching"):
        files.encrypt(repository, [uncovered])
    assert uncovered.read_text() == "a: b\n"


def test_files_follow_what_the_creation_rules_say_now(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    mate = pyrage.x25519.Identity.generate()
    (tmp_path / "mate.txt").write_text(f"{mate}\n")
    config = yaml.safe_load((repository / ".sops.yaml").read_text())
    config["creation_rules"][0]["age"] += f",{mate.to_public()}"
    (repository / ".sops.yaml").write_text(yaml.safe_dump(config))
    assert main(["sops", "--root", str(repository), "update-keys", str(path)]) == 0
    environment = {**os.environ, "SOPS_AGE_KEY_FILE": str(tmp_path / "mate.txt")}
    assert sops.decrypt(path, environment=environment) == {"password": "value"}
    assert "value" not in capsys.readouterr().out


def test_the_editors_plain_file_is_in_memory_and_gone_afterwards(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    editor = tmp_path / "editor.sh"
    editor.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/edited\nstat -c %a "$(dirname "$(dirname "$1")")" >> {tmp_path}/edited\n'
    )
    editor.chmod(0o700)
    monkeypatch.setenv("SOPS_EDITOR", str(editor))
    files.edit(repository, path)
    plain, mode = (tmp_path / "edited").read_text().split()
    assert plain.startswith("/dev/shm/")
    assert mode == "700"
    assert not Path(plain).exists()


def test_every_format_is_read(repository: Path) -> None:
    production = repository / "secrets" / "production"
    texts = {"a.json": '{"k": "v"}', "a.env": "K=v\nL=w x\n", "a.ini": "[part]\nk = v\n", "a.txt": "two\nlines\n"}
    for name, text in texts.items():
        (production / name).write_text(text)
        files.encrypt(repository, [production / name])
    assert sops.decrypt(production / "a.json") == {"k": "v"}
    assert sops.decrypt(production / "a.env") == {"K": "v", "L": "w x"}
    assert sops.decrypt(production / "a.ini")["part"] == {"k": "v"}
    assert sops.decrypt(production / "a.txt") == {"data": "two\nlines\n"}
    assert not check(repository, sorted(production.iterdir()))


def test_bytes_that_are_no_text_are_refused_with_a_way_out(repository: Path) -> None:
    path = repository / "secrets" / "production" / "key.bin"
    path.write_bytes(b"\xff\xfe\x00\x01")
    files.encrypt(repository, [path])
    with pytest.raises(sops.SopsFileError, match="Base64"):
        sops.decrypt(path)


def test_what_sops_refuses_is_told_in_its_own_words_with_its_command(repository: Path) -> None:
    path = repository / "secrets" / "production" / "numbers.yaml"
    path.write_text("0E0: hunter2-value\n")
    with pytest.raises(SopsCommandError, match=r"sops encrypt failed: .*non-string key") as caught:
        files.encrypt(repository, [path])
    assert "hunter2" not in str(caught.value)
