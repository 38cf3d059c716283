"""Sealing against upstream's own kubeseal: what we seal it opens, what it seals we open and verify."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.sealing import Scope, SealingError, load_certificate, open_sealed, seal
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
    done = subprocess.run([binary, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=30)
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
    ],
)
def test_bad_input_is_named(certificate: x509.Certificate, manifest: dict[str, object], words: str) -> None:
    with pytest.raises((GitOpsError, SealingError)) as caught:
        seal_manifest(manifest, certificate)
    assert words in str(caught.value)
