"""Sealed Secrets against the upstream controller: interop, renewals, re-encryption, backup, and a new cluster."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
import yaml

from gitops import manifests
from gitops.__main__ import main
from gitops.errors import ControllerError
from gitops.sealed import backup as backups
from gitops.sealed.cluster import Controller as Client
from gitops.sealed.seal import opens_with
from sandbox.endpoints import Kubernetes
from sandbox.toolchain import go
from tests.gitops.controller import Cluster, Controller, manifest
from tests.waiting import until

pytestmark = pytest.mark.sandbox
UNLIMITED = ("--rate-limit=1000", "--rate-limit-burst=1000")
NAMESPACE = "sealed-tests"


@pytest.fixture(scope="module")
def cluster(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    made = Cluster(kubernetes, tmp_path_factory.mktemp("cluster"))
    made.install()
    made.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    return made


@pytest.fixture(scope="module")
def controller(cluster: Cluster) -> Iterator[Controller]:
    with cluster.controller(*UNLIMITED) as running:
        yield running


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, str]:
    """An age identity file and its recipient."""
    made = pyrage.x25519.Identity.generate()
    path = tmp_path / "identity.txt"
    path.write_text(f"{made}\n")
    return path, str(made.to_public())


@pytest.fixture(autouse=True)
def environment(controller: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in controller.cluster.environment(controller.url).items():
        monkeypatch.setenv(name, value)


def seal(repository: Path, name: str, **values: str) -> Path:
    """Seal with our command against the controller's certificate of this moment."""
    certificate = repository / "sealed-secrets-cert.pem"
    assert main(["sealed", "fetch-cert", "--output", str(certificate)]) == 0
    plain = repository.parent / f"{name}.plain.yaml"
    plain.write_text(manifest(name, NAMESPACE, **values))
    target = repository / f"{name}-sealed.yaml"
    assert main(["sealed", "seal", str(plain), "--cert", str(certificate), "--output", str(target)]) == 0
    plain.unlink()
    return target


def opened(cluster: Cluster, names: list[str]) -> dict[str, dict[str, str]]:
    """What the cluster's Secrets of these names hold; only those that are there."""
    items = json.loads(cluster.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "json"))["items"]
    return {
        item["metadata"]["name"]: {key: base64.b64decode(value).decode() for key, value in item["data"].items()}
        for item in items
        if item["metadata"]["name"] in names
    }


def test_what_we_seal_becomes_a_secret(controller: Controller, repository: Path) -> None:
    target = seal(repository, "ours", API_KEY="värde-4711", EMPTY="")
    assert "rde-4711" not in target.read_text()
    controller.cluster.kubectl("apply", "-f", str(target))
    until("the Secret appears", lambda: opened(controller.cluster, ["ours"]))
    assert opened(controller.cluster, ["ours"])["ours"] == {"API_KEY": "värde-4711", "EMPTY": ""}


def test_what_upstream_seals_we_verify_with_the_controller_and_without(
    controller: Controller, repository: Path, identity: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = repository / "cert.pem"
    certificate.write_text(controller.certificate())
    done = subprocess.run(
        [str(go.binary("kubeseal")), "--cert", str(certificate), "--format", "yaml"],
        input=manifest("theirs", NAMESPACE, K="v"),
        capture_output=True,
        text=True,
        check=True,
    )
    (repository / "theirs.yaml").write_text(done.stdout)
    assert main(["sealed", "verify", str(repository)]) == 0
    file, recipient = identity
    assert main(["sealed", "backup", str(repository.parent / "keys.age"), "--recipient", recipient]) == 0
    with_backup = ["sealed", "verify", str(repository), "--backup", str(repository.parent / "keys.age")]
    assert main([*with_backup, "--identity", str(file)]) == 0
    assert capsys.readouterr().out.count("1 of 1 sealed secrets open") == 2


def test_a_file_that_does_not_open_is_named(
    controller: Controller, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = seal(repository, "moved", K="v")
    target.write_text(target.read_text().replace("name: moved", "name: elsewhere"))
    assert main(["sealed", "verify", str(repository)]) == 1
    assert f"{target}: {NAMESPACE}/elsewhere does not open" in capsys.readouterr().out
    before = target.read_text()
    assert main(["sealed", "re-encrypt", str(repository)]) == 1
    assert target.read_text() == before


def test_a_whole_repository_comes_under_the_newest_key_and_only_ciphertexts_change(
    controller: Controller, repository: Path, identity: tuple[Path, str]
) -> None:
    first = seal(repository, "first", A="one", B="two")
    first.write_text("# kept by hand\n" + first.read_text() + "---\napiVersion: v1\nkind: ConfigMap\n")
    nested = repository / "deploy" / "production"
    nested.mkdir(parents=True)
    seal(repository, "second", C="three").rename(nested / "second.yaml")
    before = {path: path.read_text() for path in repository.rglob("*.yaml")}
    controller.renew_key()
    assert main(["sealed", "re-encrypt", str(repository)]) == 0
    file, recipient = identity
    backup = repository.parent / "keys.age"
    assert main(["sealed", "backup", str(backup), "--recipient", recipient]) == 0
    newest = backups.private_keys(backups.read(backup, file))[-1:]
    assert newest
    for path, text in before.items():
        (document,) = manifests.sealed_documents([path])
        assert opens_with(document, newest)
        assert path.read_text() != text
        assert blanked(path) == blanked_text(text)
    assert first.read_text().startswith("# kept by hand\n")


def blanked(path: Path) -> str:
    return blanked_text(path.read_text())


def blanked_text(text: str) -> str:
    """The text without its ciphertexts."""
    for document in yaml.safe_load_all(text):
        for value in ((document or {}).get("spec") or {}).get("encryptedData", {}).values():
            text = text.replace(value, "")
    return text


def test_the_verify_command_waits_where_the_controller_limits_it(cluster: Cluster, repository: Path) -> None:
    for index in range(4):
        seal(repository, f"limited-{index}", K="v")
    with cluster.controller("--rate-limit=2", "--rate-limit-burst=1") as limited:
        client = Client(url=limited.url)
        assert all(client.opens(document.content) for document in manifests.sealed_documents([repository]))


def test_fifty_files_open_after_three_renewals_and_in_a_new_cluster(
    controller: Controller,
    repository: Path,
    identity: tuple[Path, str],
    new_cluster: Callable[[], Kubernetes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The disaster drill: the cluster is lost; the repository, the backup and its identity are all that is left."""
    file, recipient = identity
    keys_before = len(controller.keys())
    expected: dict[str, dict[str, str]] = {}
    for generation in range(4):  # a quarter before each of three renewals, the rest after the last
        if generation:
            controller.renew_key()
        for index in range(12 if generation < 3 else 14):
            name = f"drill-{generation}-{index}"
            expected[name] = {"value": secrets.token_urlsafe(12), "text": f"line one\nline {index} ☃\n"}
            seal(repository, name, **expected[name])
    assert len(expected) == 50
    assert len(controller.keys()) == keys_before + 3

    names = list(expected)
    controller.cluster.kubectl("apply", "-f", str(repository))
    until("all fifty Secrets are there", lambda: len(opened(controller.cluster, names)) == 50, seconds=120)
    assert opened(controller.cluster, names) == expected

    backup = tmp_path / "keys.age"
    assert main(["sealed", "backup", str(backup), "--recipient", recipient]) == 0
    assert backup.read_text().startswith("-----BEGIN AGE ENCRYPTED FILE-----")
    assert "PRIVATE KEY" not in backup.read_text()
    assert "PRIVATE" not in backup.with_name("keys.age.json").read_text()
    assert backup.stat().st_mode & 0o777 == 0o600
    assert main(["sealed", "backup-check", str(backup)]) == 0

    other = Cluster(new_cluster(), tmp_path)
    other.install()
    other.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for name, value in other.environment().items():
        monkeypatch.setenv(name, value)
    with other.controller(*UNLIMITED) as empty:  # without the keys nothing opens, or the rest would prove nothing
        monkeypatch.setenv("SEALED_SECRETS_URL", empty.url)
        capsys.readouterr()
        assert main(["sealed", "verify", str(repository)]) == 1
        assert "0 of 50 sealed secrets open" in capsys.readouterr().out
    assert main(["sealed", "restore", str(backup), "--identity", str(file)]) == 0
    keys = other.kubectl("get", "secrets", "-n", "kube-system", "-o", "json")
    assert "last-applied-configuration" not in keys
    with other.controller(*UNLIMITED) as restored:
        monkeypatch.setenv("SEALED_SECRETS_URL", restored.url)
        assert main(["sealed", "verify", str(repository)]) == 0
        other.kubectl("apply", "-f", str(repository))
        until("all fifty Secrets are there again", lambda: len(opened(other, names)) == 50, seconds=120)
        assert opened(other, names) == expected
        # Now that they open again, they come under this cluster's newest key.
        assert main(["sealed", "re-encrypt", str(repository)]) == 0
        assert main(["sealed", "verify", str(repository)]) == 0


def test_a_backup_that_misses_a_key_says_so_and_another_identity_does_not_open_it(
    controller: Controller, identity: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, recipient = identity
    backup = tmp_path / "keys.age"
    assert main(["sealed", "backup", str(backup), "--recipient", recipient]) == 0
    controller.renew_key()
    assert main(["sealed", "backup-check", str(backup)]) == 1
    assert "is not in the backup" in capsys.readouterr().out
    stranger = tmp_path / "stranger.txt"
    stranger.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    assert main(["sealed", "restore", str(backup), "--identity", str(stranger)]) == 1
    assert "no identity in" in capsys.readouterr().err
    assert main(["sealed", "backup", str(backup), "--recipient", "not-a-key"]) == 1
    assert "recipients: expected age recipients" in capsys.readouterr().err


def test_a_controller_that_is_not_there_is_named() -> None:
    with pytest.raises(ControllerError, match=r"the controller at http://127\.0\.0\.1:1 cannot be reached"):
        Client(url="http://127.0.0.1:1").certificate()
