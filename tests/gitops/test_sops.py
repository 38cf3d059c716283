"""SOPS on the real binary: what goes in comes out, and every failure has its own clear error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
import yaml

from components.sops import decrypt as sops
from gitops.__main__ import main
from gitops.errors import GitOpsError, SopsCommandError
from gitops.sops import files
from gitops.sops.rules import check
from tests.gitops.contents import write_encrypted
from tests.waiting import until


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
    files.edit(repository, path)
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.env", "hunter2-value\n"),
        ("a.ini", "[part]\nhunter2-value\n"),
        ("a.yaml", "key: *hunter2-value\n"),
        ("b.yaml", "hunter2-value\n"),
        ("a.json", '{"key": hunter2-value}'),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_without_its_text(repository: Path, name: str, text: str) -> None:
    """sops's parsers quote what they stumble over."""
    path = repository / "secrets" / "production" / name
    path.write_text(text)
    with pytest.raises(SopsCommandError, match=rf"{name}: not a mapping in valid") as caught:
        files.encrypt(repository, [path])
    assert "hunter2" not in str(caught.value)
    assert path.read_text() == text


@pytest.mark.parametrize(("key", "value"), [("added", "hunter2-value"), ("sops", {})])
def test_a_value_put_in_by_hand_is_told_as_a_change_and_never_shown(repository: Path, key: str, value: object) -> None:
    path = write_encrypted(repository, {"password": "value"})
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, key: value} if value else {"password": "hunter2-value"}))
    with pytest.raises((sops.SopsTampered, sops.SopsNotEncrypted)) as caught:
        sops.decrypt(path)
    assert "hunter2" not in str(caught.value)


def test_a_plain_file_of_no_known_format_is_told_as_not_encrypted(repository: Path) -> None:
    path = repository / "secrets" / "production" / "notes.txt"
    path.write_text("hunter2-value\n")
    with pytest.raises(sops.SopsNotEncrypted, match="not encrypted"):
        sops.decrypt(path)


def test_a_file_named_env_alone_is_dotenv(repository: Path) -> None:
    path = repository / "secrets" / "production" / ".env"
    path.write_text("K=v w\n")
    files.encrypt(repository, [path])
    assert sops.decrypt(path) == {"K": "v w"}
    assert not check(repository, [path])


def test_several_documents_are_refused_where_the_first_alone_would_be_read(repository: Path) -> None:
    path = repository / "secrets" / "production" / "two.yaml"
    path.write_text("---\na: b\n---\nc: d\n")
    files.encrypt(repository, [path])
    assert not check(repository, [path])
    with pytest.raises(sops.SopsFileError, match="several YAML documents"):
        sops.decrypt(path)


def test_every_file_changes_or_none(repository: Path, tmp_path: Path) -> None:
    good = write_encrypted(repository, {"password": "value"})
    plain = repository / "secrets" / "production" / "plain.yaml"
    plain.write_text("password: hunter2-value\n")
    before = good.read_text()
    mate = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(SopsCommandError, match=r"plain\.yaml: not encrypted"):
        files.rotate([good, plain])
    with pytest.raises(SopsCommandError, match=r"plain\.yaml: not encrypted"):
        files.add_recipient([good, plain], mate)
    with pytest.raises(SopsCommandError, match=r"app\.yaml: encrypted already"):
        files.encrypt(repository, [plain, good])
    assert good.read_text() == before
    assert plain.read_text() == "password: hunter2-value\n"


def test_a_recipient_is_taken_away_only_where_it_is_one_and_not_the_last(repository: Path) -> None:
    path = write_encrypted(repository, {"password": "value"})
    before = path.read_text()
    (mine,) = [entry["recipient"] for entry in yaml.safe_load(before)["sops"]["age"]]
    with pytest.raises(SopsCommandError, match="its last recipient"):
        files.remove_recipient([path], mine)
    with pytest.raises(GitOpsError, match="not encrypted to age1"):
        files.remove_recipient([path], str(pyrage.x25519.Identity.generate().to_public()))
    assert path.read_text() == before


def test_a_recipient_that_is_there_already_is_not_named_twice(repository: Path) -> None:
    """sops would do so, and crash when it is to be taken away."""
    path = write_encrypted(repository, {"password": "value"})
    mate = str(pyrage.x25519.Identity.generate().to_public())
    files.add_recipient([path], mate)
    once = path.read_text()
    files.add_recipient([path], mate)
    assert path.read_text() == once
    sops.run_sops(["rotate", "--in-place", "--add-age", mate, str(path)])
    with pytest.raises(GitOpsError, match=r"names age1.* 2 times"):
        files.remove_recipient([path], mate)
    files.update_keys(repository, [path])  # as the error says: the rules do not name it
    assert mate not in path.read_text()
    assert sops.decrypt(path) == {"password": "value"}


def test_the_commands_work_from_outside_of_the_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository.parent)
    path = Path("repository/secrets/production/with a space.yaml")
    path.write_text("password: value\n")
    root = ["sops", "--root", "repository"]
    assert main([*root, "check", str(path), "repository/secrets/production/deleted.yaml"]) == 1
    assert main([*root, "encrypt", str(path)]) == 0
    monkeypatch.setenv("SOPS_EDITOR", "sed -i s/value/other/")
    assert main([*root, "edit", str(path)]) == 0
    assert main([*root, "update-keys", str(path)]) == 0
    assert main([*root, "check", str(path), "repository/secrets/production/deleted.yaml"]) == 0
    assert sops.decrypt(path) == {"password": "other"}
    capsys.readouterr()
    assert main([*root, "encrypt", "repository/absent.yaml"]) == 1
    assert "absent.yaml" in capsys.readouterr().err


def test_an_editor_that_changes_nothing_is_fine_and_one_that_fails_leaves_the_file(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    before = path.read_text()
    command = ["sops", "--root", str(repository), "edit", str(path)]
    monkeypatch.setenv("SOPS_EDITOR", "true")
    assert main(command) == 0
    monkeypatch.setenv("SOPS_EDITOR", "false")
    assert main(command) == 1
    assert f"{path}: not changed" in capsys.readouterr().err
    assert path.read_text() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_editors_plain_file_goes_with_a_terminal_that_is_closed(
    repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    path = write_encrypted(repository, {"password": "value"})
    editor = tmp_path / "editor.sh"
    editor.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/edited\nexec sleep 60\n')
    editor.chmod(0o700)
    command = [sys.executable, "-m", "gitops", "sops", "--root", str(repository), "edit", str(path)]
    environment = {**os.environ, "SOPS_EDITOR": str(editor), "PYTHONPATH": str(Path(sops.__file__).parents[2])}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        try:
            edited = tmp_path / "edited"
            until("the editor has its file", lambda: edited.exists() and edited.read_text())
            plain = Path(edited.read_text().strip())
            assert "value" in plain.read_text()
            process.send_signal(number)
            assert process.wait(timeout=60) == 128 + number
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # sops and the editor
    assert not plain.parent.parent.exists()
