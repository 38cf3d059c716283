"""Sealing against upstream's own kubeseal: what we seal it opens, what it seals we open and verify."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.sealing import CLUSTER_WIDE, NAMESPACE_WIDE, Scope, SealingError, load_certificate, open_sealed, seal
from gitops import manifests
from gitops.__main__ import main as command
from gitops.errors import GitOpsError, PlaintextFound
from gitops.sealed.seal import opens_with, seal_manifest, to_yaml
from sandbox.toolchain import go


def make_certificate(key: rsa.RSAPrivateKey, *, days: int = 1) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=10 + days))
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    return make_certificate(key)


@pytest.fixture
def files(tmp_path: Path, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> Path:
    """A folder with the controller's certificate and private key."""
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    return tmp_path


def secret(**values: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "app", "namespace": "prod"},
        "stringData": values,
    }


def kubeseal(*arguments: str, stdin: str) -> str:
    binary = str(go.binary("kubeseal"))
    done = subprocess.run([binary, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("scope", list(Scope))
def test_upstream_opens_what_we_seal(files: Path, certificate: x509.Certificate, scope: Scope) -> None:
    sealed = seal_manifest(secret(API_KEY="värde\nline two", EMPTY=""), certificate, scope)
    opened = kubeseal("--recovery-unseal", "--recovery-private-key", str(files / "key.pem"), stdin=json.dumps(sealed))
    data = json.loads(opened)["data"]
    assert base64.b64decode(data["API_KEY"]).decode() == "värde\nline two"
    assert not data.get("EMPTY")


@pytest.mark.parametrize("scope", list(Scope))
def test_we_open_what_upstream_seals(files: Path, key: rsa.RSAPrivateKey, scope: Scope) -> None:
    sealed = kubeseal(
        "--cert",
        str(files / "cert.pem"),
        "--scope",
        scope.value,
        "--format",
        "yaml",
        stdin=json.dumps(secret(K="value")),
    )
    path = files / "sealed.yaml"
    path.write_text(sealed)
    (document,) = manifests.sealed_documents([path])
    assert opens_with(document, [key])
    ciphertext = document.content["spec"]["encryptedData"]["K"]
    assert open_sealed([key], ciphertext, namespace="prod", name="app", scope=scope) == b"value"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.binary(max_size=5000))
def test_any_value_survives_sealing(key: rsa.RSAPrivateKey, certificate: x509.Certificate, value: bytes) -> None:
    sealed = seal(certificate, value, namespace="n", name="s")
    assert open_sealed([key], sealed, namespace="n", name="s") == value


def test_a_strict_value_opens_nowhere_else(key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
    sealed = seal(certificate, b"value", namespace="prod", name="app")
    for namespace, name in (("prod", "other"), ("stage", "app")):
        with pytest.raises(SealingError, match="no key opens it"):
            open_sealed([key], sealed, namespace=namespace, name=name)
    with pytest.raises(SealingError, match="no key opens it"):
        open_sealed([key], sealed, namespace="prod", name="app", scope=Scope.CLUSTER_WIDE)


def test_a_copy_of_the_plain_object_in_an_annotation_is_not_carried_along(certificate: x509.Certificate) -> None:
    plain = secret(K="hunter2-value")
    plain["metadata"] = {
        "name": "app",
        "namespace": "prod",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(plain), "team": "pay"},
    }
    text = to_yaml(seal_manifest(plain, certificate))
    assert "hunter2" not in text
    assert yaml.safe_load(text)["spec"]["template"]["metadata"]["annotations"] == {"team": "pay"}


def test_an_expired_certificate_and_a_wrong_one_are_refused(key: rsa.RSAPrivateKey) -> None:
    expired = make_certificate(key, days=-5).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(SealingError, match="it ended on"):
        load_certificate(expired)
    assert load_certificate(expired, allow_expired=True)
    with pytest.raises(SealingError, match="expected one PEM certificate"):
        load_certificate("not a certificate")


def test_a_plaintext_secret_among_the_files_is_found_and_refused(
    files: Path, certificate: x509.Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files / "deploy"
    folder.mkdir()
    (folder / "sealed.yaml").write_text(to_yaml(seal_manifest(secret(K="v"), certificate)))
    (folder / "plain.yaml").write_text("kind: ConfigMap\napiVersion: v1\n---\n" + to_yaml(secret(K="hunter2-value")))
    with pytest.raises(PlaintextFound, match=r"plain\.yaml \(prod/app\)"):
        manifests.sealed_documents([folder])
    assert command(["sealed", "re-encrypt", str(folder)]) == 1
    printed = capsys.readouterr()
    assert "plaintext Secret manifests found" in printed.err
    assert "hunter2" not in printed.err + printed.out


def test_the_seal_command_writes_what_upstream_opens(files: Path) -> None:
    manifest = files / "secret.yaml"
    manifest.write_text(to_yaml(secret(API_KEY="value")))
    target = files / "sealed.yaml"
    assert command(["sealed", "seal", str(manifest), "--cert", str(files / "cert.pem"), "--output", str(target)]) == 0
    assert "value" not in target.read_text()
    opened = kubeseal("--recovery-unseal", "--recovery-private-key", str(files / "key.pem"), stdin=target.read_text())
    assert base64.b64decode(json.loads(opened)["data"]["API_KEY"]) == b"value"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "kind: expected a v1 Secret"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "b"}}, "data: Secret 'a'"),
        (
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "a", "namespace": "b"},
                "data": {"K": "no base64!"},
            },
            "data.K: not Base64",
        ),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "stringData": {"K": "v"}}, "namespace: "),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a"}, "stringData": {"K": "v"}}, "name: "),
        (
            {**secret(), "stringData": {"K": 83}},
            "stringData.K: expected a text in Secret 'app', got a int; put it in quotes",
        ),
        ({**secret(), "stringData": {"K": None}}, "stringData.K: expected a text in Secret 'app', got nothing"),
        ({**secret(), "data": {"K": None}}, "data.K: expected a text"),
        ({**secret(), "stringData": {"a b": "v"}}, "key: a Secret cannot have 'a b'"),
        ({**secret(), "stringData": {"..": "v"}}, "key: a Secret cannot have '..'"),
        (["apiVersion"], "kind: expected a v1 Secret, got a list"),
    ],
)
def test_bad_input_is_named(certificate: x509.Certificate, manifest: Any, words: str) -> None:
    with pytest.raises((GitOpsError, SealingError)) as caught:
        seal_manifest(manifest, certificate)
    assert words in str(caught.value)


def test_values_are_read_as_kubernetes_reads_them(
    files: Path, key: rsa.RSAPrivateKey, certificate: x509.Certificate
) -> None:
    """Base64 may be folded, bytes may be anything, keys may have dots, and upstream gives all of it back."""
    binary = bytes(range(256)) * 20
    folded = base64.encodebytes(binary).decode()
    plain = {
        **secret(**{"tls.key": "a\nb", "_": "☃", "E": "", "large": "☃" * 300_000}),
        "data": {"bin": folded, "E": "b2xk"},
        "immutable": True,
    }
    sealed = seal_manifest({**plain, "type": "example.com/odd"}, certificate)
    opened = kubeseal("--recovery-unseal", "--recovery-private-key", str(files / "key.pem"), stdin=json.dumps(sealed))
    found = json.loads(opened)
    assert {name: base64.b64decode(value or "") for name, value in found["data"].items()} == {
        "tls.key": b"a\nb",
        "_": "☃".encode(),
        "E": b"",  # stringData wins over data
        "bin": binary,
        "large": ("☃" * 300_000).encode(),
    }
    assert (found["type"], found["immutable"]) == ("example.com/odd", True)


def test_what_annotations_say_to_the_controller_stays_and_the_scope_is_the_one_that_was_chosen(
    certificate: x509.Certificate,
) -> None:
    managed = "sealedsecrets.bitnami.com/managed"
    plain = secret(K="v")
    plain["metadata"] = {"name": "app", "namespace": "prod", "annotations": {managed: "true", CLUSTER_WIDE: "true"}}
    sealed = seal_manifest(plain, certificate, Scope.NAMESPACE_WIDE)
    assert sealed["metadata"]["annotations"] == {NAMESPACE_WIDE: "true"}
    assert sealed["spec"]["template"]["metadata"]["annotations"] == {managed: "true", NAMESPACE_WIDE: "true"}


def test_the_scope_is_the_sealed_secrets_own_and_not_its_templates(
    certificate: x509.Certificate, key: rsa.RSAPrivateKey
) -> None:
    sealed = seal_manifest(secret(K="v"), certificate, Scope.CLUSTER_WIDE)
    sealed["spec"]["template"]["metadata"]["annotations"] = {"team": "pay"}
    assert opens_with(manifests.Document(Path("a.yaml"), sealed), [key])
    del sealed["metadata"]["annotations"]
    assert not opens_with(manifests.Document(Path("a.yaml"), sealed), [key])


@pytest.mark.parametrize("spec", [{}, {"encryptedData": {}}, {"encryptedData": {"K": 1}}, {"data": "AQ=="}, "odd"])
def test_what_holds_no_sealed_value_does_not_count_as_open(key: rsa.RSAPrivateKey, spec: Any) -> None:
    content = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "a"}, "spec": spec}
    assert not opens_with(manifests.Document(Path("a.yaml"), content), [key])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["seal", "absent.yaml", "--cert", "cert.pem"], "absent.yaml: No such file"),
        (["seal", "secret.yaml", "--cert", "absent.pem"], "absent.pem: No such file"),
        (["seal", "secret.yaml", "--cert", "secret.yaml"], "expected one PEM certificate"),
        (["seal", "secret.yaml", "--cert", "cert.pem", "--output", "absent/out.yaml"], "there is no folder absent"),
        (["seal", "binary.yaml", "--cert", "cert.pem"], "is not YAML; its text is not shown"),
        (["seal", "broken.yaml", "--cert", "cert.pem"], "is not YAML; its text is not shown"),
        (["seal", "empty.yaml", "--cert", "cert.pem"], "nothing to seal"),
        (["verify", ".", "--identity", "id.txt"], "--backup, --identity: give both"),
        (["check", "absent"], "absent: no such file or folder"),
    ],
)
def test_a_command_that_cannot_do_it_says_why_in_one_line(
    files: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(files)
    (files / "secret.yaml").write_text(to_yaml(secret(K="hunter2")))
    (files / "binary.yaml").write_bytes(b"\xff\xfehunter2")
    (files / "broken.yaml").write_text("a: *hunter2\n")
    (files / "empty.yaml").write_text("---\n")
    if arguments[0] == "verify":
        (files / "secret.yaml").unlink()
    assert command(["sealed", *arguments]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err + said.out
