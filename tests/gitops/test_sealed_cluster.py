"""The commands as people run them: through the cluster's own service, and on the files that repositories really hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyrage
import pytest
import yaml

from gitops import manifests
from gitops.__main__ import main
from gitops.sealed import backup as backups
from gitops.sealed.seal import opens_with
from sandbox.endpoints import Kubernetes
from tests.gitops.controller import Cluster, Controller, manifest

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def controller(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """One that takes two requests a second, as installed, behind the chart's service."""
    cluster = Cluster(kubernetes, tmp_path_factory.mktemp("cluster"))
    cluster.install()
    with cluster.controller("--rate-limit=2", "--rate-limit-burst=2") as running:
        port = urlsplit(running.url).port
        assert port is not None
        with cluster.service(port):
            yield running


@pytest.fixture(autouse=True)
def environment(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEALED_SECRETS_URL", raising=False)
    for name, value in controller.cluster.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "cert.pem"
    assert main(["sealed", "fetch-cert", "--output", str(path)]) == 0
    return path


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, str]:
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity.txt"
    path.write_text(f"{made}\n")
    return path, str(made.to_public())


def seal(certificate: Path, folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    plain = certificate.with_name("plain.yaml")
    plain.write_text(manifest(name, "prod", K="value"))
    target = folder / f"{name}.yaml"
    assert main(["sealed", "seal", str(plain), "--cert", str(certificate), "--output", str(target)]) == 0
    return target


def test_every_command_reaches_the_controller_through_the_cluster(
    controller: Controller, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certificate.read_text() == controller.certificate()
    repository = tmp_path / "repository"
    for number in range(6):  # more at once than the controller takes
        seal(certificate, repository, f"app-{number}")
    assert main(["sealed", "verify", str(repository)]) == 0
    assert "6 of 6 sealed secrets open" in capsys.readouterr().out
    assert main(["sealed", "re-encrypt", str(repository)]) == 0
    moved = repository / "app-0.yaml"
    moved.write_text(moved.read_text().replace("name: app-0", "name: elsewhere"))
    capsys.readouterr()
    assert main(["sealed", "verify", str(repository)]) == 1
    assert f"{moved}: prod/elsewhere does not open\n5 of 6" in capsys.readouterr().out
    assert main(["sealed", "re-encrypt", str(repository)]) == 1
    said = capsys.readouterr()
    assert "(prod/elsewhere): not resealed" in said.err
    assert not said.out


@pytest.mark.parametrize("spec", ["{}", "text", "{encryptedData: {K: 1}}", "{encryptedData: {K: AQ==}}"])
def test_a_sealed_secret_that_holds_nothing_that_opens_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: str
) -> None:
    path = tmp_path / "odd.yaml"
    head = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: odd, namespace: prod}\n"
    path.write_text(f"{head}spec: {spec}\n")
    assert main(["sealed", "verify", str(path)]) == 1
    assert f"{path}: prod/odd does not open" in capsys.readouterr().out
    assert main(["sealed", "re-encrypt", str(path)]) == (0 if spec == "{}" else 1)
    said = capsys.readouterr()
    assert not said.out
    assert spec == "{}" or f"{path} (prod/odd): not resealed" in said.err
    assert path.read_text() == f"{head}spec: {spec}\n"


def test_another_name_and_an_unreachable_cluster_are_told(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = {"ports": [{"name": "http", "port": 8080}]}
    controller.cluster.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "idle", "namespace": "default"}, "spec": spec}
    )
    assert main(["sealed", "--controller-namespace", "default", "--controller-name", "idle", "fetch-cert"]) == 1
    assert "no pod answers behind the service 'idle' in namespace 'default'" in capsys.readouterr().err
    assert main(["sealed", "--controller-name", "absent", "fetch-cert"]) == 1
    assert "no service 'absent' in namespace 'kube-system'" in capsys.readouterr().err
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert main(["sealed", "fetch-cert"]) == 1
    said = capsys.readouterr().err
    assert "kubectl get failed" in said
    assert said.count("\n") == 1


def test_files_in_every_form_are_re_encrypted_and_nothing_else_of_them_changes(
    controller: Controller, certificate: Path, tmp_path: Path, identity: tuple[Path, str]
) -> None:
    repository = tmp_path / "repository"
    crlf = seal(certificate, repository, "crlf")
    crlf.write_bytes(("# by hand\n" + crlf.read_text() + "---\nnote: ☃\n").replace("\n", "\r\n").encode())
    as_json = seal(certificate, repository, "as-json")
    content: Any = yaml.safe_load(as_json.read_text())
    content["metadata"]["creationTimestamp"] = None
    as_json.write_text(json.dumps(content, indent=1))
    twice = seal(certificate, repository, "twice")
    twice.write_text(twice.read_text() + "---\n" + twice.read_text())
    dated = seal(certificate, repository, "dated")
    dated.write_text(dated.read_text().replace("metadata:\n", "metadata:\n  annotations: {since: 2026-11-25}\n", 1))
    outside = seal(certificate, tmp_path / "outside", "linked")
    (repository / "linked.yaml").symlink_to(outside)
    before = {path: path.read_bytes() for path in (crlf, as_json, twice, dated, outside)}
    controller.renew_key()

    paths = [str(repository), str(crlf), str(repository / "linked.yaml")]
    assert main(["sealed", "re-encrypt", *paths]) == 0
    file, recipient = identity
    backup = tmp_path / "keys.age"
    assert main(["sealed", "backup", str(backup), "--recipient", recipient]) == 0
    newest = backups.private_keys(backups.read(backup, file))[-1:]
    for path, raw in before.items():
        documents = manifests.sealed_documents([path])
        assert documents
        assert all(opens_with(document, newest) for document in documents)
        new = path.read_bytes()
        for document in yaml.safe_load_all(raw.decode()):
            for value in ((document or {}).get("spec") or {}).get("encryptedData", {}).values():
                raw = raw.replace(value.encode(), b"")
        for document in documents:
            for value in document.spec["encryptedData"].values():
                new = new.replace(value.encode(), b"")
        assert new == raw
    assert (repository / "linked.yaml").is_symlink()


def test_a_backup_is_never_lost_to_a_cluster_that_has_other_keys(
    controller: Controller, tmp_path: Path, identity: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, recipient = identity
    backup = tmp_path / "keys.age"
    command = ["sealed", "backup", str(backup), "--recipient", recipient]
    assert main(command) == 0
    assert main(command) == 0  # the same keys: a newer backup of them
    held = backup.read_bytes()
    assert main(["sealed", "backup-check", str(backup)]) == 0
    capsys.readouterr()
    backup.write_bytes(held[:-40])
    assert main(["sealed", "backup-check", str(backup)]) == 1
    assert "damaged, or another backup" in capsys.readouterr().err
    backup.unlink()
    assert main(["sealed", "backup-check", str(backup)]) == 1
    assert f"{backup}: No such file" in capsys.readouterr().err
    backup.write_bytes(held)
    index = backup.with_name("keys.age.json")
    listed = json.loads(index.read_text())
    index.write_text(json.dumps({**listed, "keys": [*listed["keys"], "sealed-secrets-key-of-the-lost-cluster"]}))
    assert main(command) == 1
    assert "holds keys that this cluster does not have: sealed-secrets-key-of-the-lost" in capsys.readouterr().err
    index.unlink()
    assert main(command) == 1
    assert "no index of a backup there" in capsys.readouterr().err
    assert backup.read_bytes() == held
    assert (
        main(["sealed", "--controller-namespace", "default", "backup", str(tmp_path / "b"), "--recipient", recipient])
        == 1
    )
    assert "no sealing key in namespace 'default'" in capsys.readouterr().err


def test_a_backup_of_something_else_is_refused(
    tmp_path: Path, identity: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file, recipient = identity
    target = tmp_path / "keys.age"
    key = pyrage.x25519.Recipient.from_str(recipient)
    damaged = {"items": [{"data": {"tls.key": "bm8ga2V5"}}]}
    for content in (b"not json", b"[]", json.dumps(damaged).encode()):
        target.write_bytes(pyrage.encrypt(content, [key], armored=True))
        command = ["sealed", "verify", str(tmp_path), "--backup", str(target), "--identity", str(file)]
        assert main(command) == 1
        assert "damaged" in capsys.readouterr().err
    target.write_bytes(b"no age file")
    assert main(["sealed", "restore", str(target), "--identity", str(file)]) == 1
    assert "no identity in" in capsys.readouterr().err
    assert main(["sealed", "restore", str(target), "--identity", str(tmp_path / "absent")]) == 1
    assert f"{tmp_path / 'absent'}: No such file" in capsys.readouterr().err
