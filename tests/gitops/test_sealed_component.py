"""The SealedSecret component on the embedded engine, a real cluster and the upstream controller."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.sealing import load_certificate
from gitops.sealed.seal import seal_manifest, to_yaml
from sandbox.endpoints import Kubernetes
from tests.gitops.controller import Cluster, Controller, manifest
from tests.gitops.stack import Stack

pytestmark = pytest.mark.sandbox
NAMESPACE = "sealed-component"
PROGRAM = """
import pulumi
from components.kubernetes.sealed_secret import SealedSecret

config = pulumi.Config()
SealedSecret("keys", {
    "namespace": "sealed-component", "secret_name": "keys", "certificate": config.require("certificate"),
    "data": {"ONE": config.require_secret("one"), "TWO": config.require_secret("two")},
    "secret_type": "example.com/keys", "annotations": {"note": "of the Secret"},
})
if config.get("file"):
    SealedSecret("file", {"namespace": "sealed-component", "secret_name": "from-file", "file": config.require("file")})
"""


@pytest.fixture(scope="module")
def controller(kubernetes: Kubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    cluster = Cluster(kubernetes, tmp_path_factory.mktemp("cluster"))
    cluster.install()
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    with cluster.controller() as running:
        yield running


@pytest.fixture
def stack(controller: Controller, tmp_path: Path) -> Stack:
    environment = controller.cluster.environment()
    return Stack(tmp_path / "stack", PROGRAM, environment=environment, providers=("kubernetes", "pulumi-python"))


def sealed(controller: Controller) -> dict[str, str]:
    found = json.loads(controller.cluster.kubectl("get", "sealedsecret", "keys", "-n", NAMESPACE, "-o", "json"))
    result: dict[str, str] = found["spec"]["encryptedData"]
    return result


def opened(controller: Controller, name: str) -> dict[str, str]:
    found = json.loads(controller.cluster.kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "json"))
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_an_unchanged_value_keeps_its_ciphertext_and_a_changed_one_alone_is_sealed_anew(
    controller: Controller, stack: Stack, tmp_path: Path
) -> None:
    certificate = controller.certificate()
    committed = tmp_path / "from-file.yaml"
    plain = yaml.safe_load(manifest("from-file", NAMESPACE, K="kept-in-git-4711"))
    committed.write_text(to_yaml(seal_manifest(plain, load_certificate(certificate))))
    plain_config = {"certificate": certificate, "file": str(committed)}
    stack.configure(plain_config, {"one": "first-value-4711", "two": "second-value-4711"})
    said = stack.up()
    assert opened(controller, "keys") == {"ONE": "first-value-4711", "TWO": "second-value-4711"}
    assert opened(controller, "from-file") == {"K": "kept-in-git-4711"}
    made = json.loads(controller.cluster.kubectl("get", "secret", "keys", "-n", NAMESPACE, "-o", "json"))
    assert made["type"] == "example.com/keys"
    assert made["metadata"]["annotations"]["note"] == "of the Secret"
    assert stack.unchanged()

    before = sealed(controller)
    said += stack.up()
    assert sealed(controller) == before

    stack.configure(plain_config, {"one": "first-value-4711", "two": "other-value-4711"})
    said += stack.run("preview").stdout
    said += stack.up()
    after = sealed(controller)
    assert after["ONE"] == before["ONE"]
    assert after["TWO"] != before["TWO"]
    assert stack.unchanged()
    for text in (said, stack.state.read_text()):
        assert "value-4711" not in text
        assert "in-git-4711" not in text


def test_a_renewed_certificate_reseals_everything(controller: Controller, stack: Stack) -> None:
    values = {"one": "a-value", "two": "b-value"}
    stack.configure({"certificate": controller.certificate()}, values)
    stack.up()
    before = sealed(controller)
    controller.renew_key()
    stack.configure({"certificate": controller.certificate()}, values)
    assert not stack.unchanged()
    stack.up()
    after = sealed(controller)
    assert all(after[key] != before[key] for key in before)
    assert opened(controller, "keys") == {"ONE": "a-value", "TWO": "b-value"}
