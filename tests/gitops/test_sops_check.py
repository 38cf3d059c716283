"""What `check` finds: plaintext where a creation rule wants ciphertext, in every format, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pyrage
import pytest
import yaml

from gitops.__main__ import main
from gitops.sops import files
from gitops.sops.rules import check
from tests.gitops.contents import write_encrypted


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


def test_a_folder_with_special_letters_means_itself(tmp_path: Path) -> None:
    files.init(tmp_path, {"dev+eu": [str(pyrage.x25519.Identity.generate().to_public())]}, folder="my.secrets")
    (tmp_path / "my.secrets" / "dev+eu").mkdir(parents=True)
    path = tmp_path / "my.secrets" / "dev+eu" / "a.yaml"
    path.write_text("k: v\n")
    assert len(check(tmp_path, [path])) == 1
    files.encrypt(tmp_path, [path])
    assert not check(tmp_path, [path])


@pytest.mark.parametrize(
    ("name", "text", "clear"),
    [
        ("a.ini", "[part]\nk = v\nempty =\n", ("[part]\n", "[part]\nadded = hunter2-value\n")),
        ("a.env", "K=v\nEMPTY=\n", ("K=", "ADDED=hunter2-value\nK=")),
        ("b.env", "K=v\n", ("K=", "hunter2-value\nK=")),
        ("a.yaml", "k: {n: [x, 1]}\n", ("sops:\n", "list:\n- ENC[hunter2-value\nsops:\n")),
    ],
)
def test_what_was_added_in_clear_is_found_in_every_format(
    repository: Path, name: str, text: str, clear: tuple[str, str]
) -> None:
    path = repository / "secrets" / "production" / name
    path.write_text(text)
    files.encrypt(repository, [path])
    assert not check(repository, [path])
    path.write_text(path.read_text().replace(*clear, 1))
    (finding,) = check(repository, [path])
    assert "in clear in an encrypted file" in str(finding)
    assert finding.where
    assert "hunter2" not in str(finding)


def test_a_rule_decides_by_its_keys_as_sops_does(repository: Path) -> None:
    config = yaml.safe_load((repository / ".sops.yaml").read_text())
    rule = config["creation_rules"][0]
    path = repository / "secrets" / "production" / "app.yaml"
    text = "name: public\ndata: {password: value}\nmore: {data: [value]}\n"
    for choice, plain in (
        ({"encrypted_regex": "^data$"}, "name: public"),
        ({"unencrypted_regex": "^name$"}, "name: public"),
        ({"encrypted_suffix": "ta"}, "name: public"),
        ({"unencrypted_suffix": "me"}, "name: public"),
        ({"encrypted_comment_regex": "sops:enc"}, "name: public"),
    ):
        (repository / ".sops.yaml").write_text(yaml.safe_dump({"creation_rules": [{**rule, **choice}]}))
        path.write_text(text if "comment" not in str(choice) else text.replace("data:", "# sops:enc\ndata:", 1))
        assert len(check(repository, [path])) == 1
        files.encrypt(repository, [path])
        assert plain in path.read_text()
        assert "password: value" not in path.read_text()
        assert not check(repository, [path]), choice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"\.sops\.yaml: no creation rules there"),
        ("a: b: c", "not YAML"),
        ("stores: {}", "creation_rules: expected a list of rules"),
        ("creation_rules: [text]", "creation_rules: expected a list of rules"),
        ("creation_rules: [{path_regex: '('}]", r"path_regex: '\(' is not a regular expression"),
        ("creation_rules: [{encrypted_regex: [a]}]", "encrypted_regex: .* is not a regular expression"),
    ],
)
def test_rules_that_cannot_be_read_are_told(
    tmp_path: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / ".sops.yaml").write_text(text)
    assert main(["sops", "--root", str(tmp_path), "check"]) == 1
    assert re.search(words, capsys.readouterr().err)
