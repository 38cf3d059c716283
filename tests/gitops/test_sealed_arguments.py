"""What SealedSecret refuses before anything is made, and what of its arguments reaches the manifest."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from components.kubernetes.sealed_secret import SealedSecret
from components.sealing import CLUSTER_WIDE, Scope
from gitops.sealed.seal import seal_manifest, to_yaml

PLAIN = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "app", "namespace": "prod"},
    "stringData": {"K": "hunter2"},
}


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = rsa.generate_private_key(65537, 2048)
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(now)
    return builder.not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())


@pytest.fixture
def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def sealed(name: str = "app", **more: Any) -> Any:
    return lambda: SealedSecret("it", {"namespace": "prod", "secret_name": name, **more})  # type: ignore[typeddict-item]


def test_type_labels_and_annotations_are_the_secrets(registered: Any, pem: str) -> None:
    found = registered(
        sealed(
            data={".dockerconfigjson": "{}"},
            certificate=pem,
            secret_type="kubernetes.io/dockerconfigjson",
            labels={"team": "pay"},
            annotations={"note": "x"},
            scope="namespace-wide",
        )
    )["it-manifest"]
    template = found["spec"]["template"]
    wide = {"sealedsecrets.bitnami.com/namespace-wide": "true"}
    assert template["type"] == "kubernetes.io/dockerconfigjson"
    assert template["metadata"]["labels"] == {"team": "pay"}
    assert template["metadata"]["annotations"] == {"note": "x", **wide}
    assert found["metadata"]["annotations"].items() >= wide.items()


def test_a_wide_file_may_take_another_name_where_its_scope_allows_it(
    registered: Any, certificate: x509.Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "sealed.yaml"
    path.write_text(to_yaml(seal_manifest(PLAIN, certificate, Scope.NAMESPACE_WIDE)))
    found = registered(sealed("other", file=str(path), scope=Scope.NAMESPACE_WIDE))["it-manifest"]
    assert found["metadata"]["name"] == "other"
    with pytest.raises(ValueError, match="is sealed for prod/app, not for stage/app; a namespace-wide one"):
        registered(
            lambda: SealedSecret(
                "it", {"namespace": "stage", "secret_name": "app", "file": str(path), "scope": Scope.NAMESPACE_WIDE}
            )
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "data: 'it' has no value to seal"),
        ({"data": {"K": "v"}}, "certificate: 'it' needs the sealing certificate"),
        ({"data": {"K": "v"}, "certificate": "x"}, "certificate: expected one PEM certificate"),
        ({"data": {"a b": "v"}, "certificate": "x"}, "key: a Secret cannot have 'a b'"),
        ({"data": {"K": "v"}, "file": "a.yaml"}, "file, data: 'it' has both"),
        ({"file": "a.yaml", "labels": {"a": "b"}}, "labels: 'it' is a committed file, which has its own"),
        ({"file": "absent.yaml"}, r"file: absent\.yaml cannot be read"),
        ({"data": {"K": "v"}, "scope": "wide"}, "scope: 'it' has 'wide'; expected one of strict, "),
        ({"data": {"K": "v"}, "scope": "cluster-wide"}, "scope: 'it' asks for cluster-wide"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(registered: Any, arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registered(sealed(**arguments))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (to_yaml(PLAIN), "holds a plaintext Secret"),
        ("a: *hunter2\n", "is not YAML"),
        ("- a list\n", "expected exactly one SealedSecret"),
        ("", "expected exactly one SealedSecret"),
        ("kind: SealedSecret\n", "expected exactly one SealedSecret"),
        (
            "kind: SealedSecret\nmetadata: {name: app, namespace: stage}\nspec: {}\n",
            "is sealed for stage/app, not for prod/app",
        ),
        ("kind: SealedSecret\nmetadata: {name: other, namespace: prod}\nspec: {}\n", "is sealed for prod/other"),
        (
            f"kind: SealedSecret\nmetadata: {{name: app, namespace: prod, annotations: {{{CLUSTER_WIDE}: 'true'}}}}\nspec: {{}}\n",
            "scope: .* is sealed with another scope than strict",
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(
    registered: Any, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        registered(sealed(file=str(path)))
    assert "hunter2" not in str(caught.value)
