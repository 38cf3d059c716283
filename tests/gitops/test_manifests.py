"""Manifests in a repository: plaintext Secrets are found in whatever form, and files are changed whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitops import manifests
from gitops.errors import GitOpsError, PlaintextFound
from gitops.writing import write as write_whole
from gitops.writing import write_all

VALUE = "hunter2-value"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: app, namespace: prod}}\nstringData: {{PASSWORD: {VALUE}}}\n"
SEALED = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: s}\nspec: {encryptedData: {K: AQ}}\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("after-a-comment.yaml", f"kind: ConfigMap\napiVersion: v1\n--- # next\n{SECRET}"),
        ("crlf.yaml", f"kind: ConfigMap\napiVersion: v1\n---\n{SECRET}".replace("\n", "\r\n")),
        ("bom.yaml", f"\ufeff{SECRET}"),
        (
            "inline.yml",
            f"a: b\n--- {{apiVersion: v1, kind: Secret, metadata: {{name: app}}, stringData: {{P: {VALUE}}}}}\n",
        ),
        (
            "secret.json",
            json.dumps(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "data": {"P": "aHVudGVyMg=="}}
            ),
        ),
        ("list.yaml", "apiVersion: v1\nkind: List\nitems:\n- " + SECRET.replace("\n", "\n  ").rstrip() + "\n"),
        (
            "typed-list.yaml",
            f"apiVersion: v1\nkind: SecretList\nitems:\n- {{metadata: {{name: app}}, stringData: {{P: {VALUE}}}}}\n",
        ),
        ("said-to-be-encrypted.yaml", f"{SECRET}sops: {{mac: none}}\n"),
        ("dated.yaml", SECRET.replace("name: app", "name: app, creationTimestamp: 2024-99-99T00:00:00Z")),
        ("kustomization.yaml", f"secretGenerator:\n- name: app\n  literals: [PASSWORD={VALUE}]\n"),
    ],
)
def test_a_plaintext_secret_is_found_in_every_form(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(PlaintextFound, match="app") as caught:
        manifests.sealed_documents([tmp_path])
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("encrypted.yaml", SECRET.replace(VALUE, "'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'") + "sops: {mac: x}\n"),
        ("empty.yaml", SECRET.replace(VALUE, '""')),
        ("template.yaml", SECRET.replace(VALUE, "{{ .Values.password | quote }}") + "{{- if .Values.more }}\n"),
        ("generator.yaml", "secretGenerator:\n- name: app\n  files: [password.enc]\n"),
        ("odd.yaml", "apiVersion: v1\nkind: Secret\nmetadata: text\ndata: [a, list]\nspec: 1\n"),
        ("notes.yaml", "- only\n- a list\n"),
        ("binary.yaml", "\x00\x01"),
    ],
)
def test_what_holds_no_value_in_clear_is_passed_over(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path, name, text)
    write(tmp_path, "sealed.yaml", SEALED)
    (document,) = manifests.sealed_documents([tmp_path])
    assert document.name == "s"


def test_a_secret_that_is_not_yaml_is_an_error_without_its_text(tmp_path: Path) -> None:
    path = write(tmp_path, "broken.yaml", SECRET + f"  more: {VALUE}: x\n")
    with pytest.raises(GitOpsError, match="holds a Secret that is not YAML") as caught:
        manifests.sealed_documents([tmp_path])
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_each_file_is_seen_once_and_hidden_folders_are_not(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    (deploy / ".cache").mkdir(parents=True)
    write(deploy / ".cache", "seen-not.yaml", SECRET)
    path = write(deploy, "sealed.yaml", SEALED)
    (tmp_path / "link.yaml").symlink_to(path)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    assert list(manifests.files([deploy, path, tmp_path])) == [path]
    with pytest.raises(GitOpsError, match="no such file or folder"):
        list(manifests.files([tmp_path / "absent"]))


def test_a_date_is_a_text_as_kubernetes_reads_it(tmp_path: Path) -> None:
    path = write(tmp_path, "dated.yaml", SEALED.replace("name: s", "name: s, annotations: {until: 2026-11-25}"))
    (document,) = manifests.documents(path)
    assert document.metadata["annotations"] == {"until": "2026-11-25"}


def test_files_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    first = write(tmp_path, "first.yaml", "old")
    first.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(first)
    with pytest.raises(GitOpsError, match="there is no folder"):
        write_all({first: "new", tmp_path / "absent" / "second.yaml": "new"})
    assert first.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.yaml", "link.yaml"]

    write_whole(link, "through the link\r\n")
    assert link.is_symlink()
    assert first.read_bytes() == b"through the link\r\n"
    assert first.stat().st_mode & 0o777 == 0o600
