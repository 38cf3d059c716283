"""Seal Secret manifests offline, verify sealed files, and bring a whole repository under the newest key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from components.sealing import Scope, SealingError, open_sealed, seal
from gitops import manifests
from gitops.errors import ControllerError, GitOpsError
from gitops.sealed.cluster import Controller

_NOISE = ("kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration")


def seal_manifest(
    secret: dict[str, Any], certificate: x509.Certificate, scope: Scope | None = None, namespace: str | None = None
) -> dict[str, Any]:
    """The SealedSecret of a core Secret. ``scope``: what the Secret's annotations say, else strict.

    Annotations that hold a copy of the plain object are dropped. Raises GitOpsError or SealingError.
    """
    if secret.get("kind") != "Secret" or secret.get("apiVersion") != "v1":
        raise GitOpsError(f"kind: expected a v1 Secret, got {secret.get('apiVersion')} {secret.get('kind')}")
    metadata = dict(secret.get("metadata") or {})
    name = str(metadata.get("name") or "")
    place = namespace or str(metadata.get("namespace") or "")
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in _NOISE}
    chosen = scope or Scope.of(annotations)
    annotations = {k: v for k, v in annotations.items() if not k.startswith("sealedsecrets.bitnami.com/")}
    annotations |= chosen.annotations()
    values = {key: _decoded(name, key, value) for key, value in (secret.get("data") or {}).items()}
    values |= {key: str(value).encode() for key, value in (secret.get("stringData") or {}).items()}
    if not values:
        raise GitOpsError(f"data: Secret {name!r} holds nothing to seal; give data or stringData")
    template: dict[str, Any] = {"metadata": {"name": name, "namespace": place}}
    if annotations:
        template["metadata"]["annotations"] = annotations
    if labels := metadata.get("labels"):
        template["metadata"]["labels"] = labels
    for key in ("type", "immutable"):
        if key in secret:
            template[key] = secret[key]
    result_metadata: dict[str, Any] = {"name": name, "namespace": place}
    if chosen is not Scope.STRICT:
        result_metadata["annotations"] = chosen.annotations()
    sealed = {
        key: seal(certificate, value, namespace=place, name=name, scope=chosen) for key, value in sorted(values.items())
    }
    return {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": result_metadata,
        "spec": {"encryptedData": sealed, "template": template},
    }


def _decoded(name: str, key: str, value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error as error:
        raise GitOpsError(f"data.{key}: not Base64 in Secret {name!r}; use stringData for plain text") from error


def to_yaml(manifest: dict[str, Any]) -> str:
    return yaml.safe_dump(manifest, sort_keys=False, width=1_000_000)


def opens_with(document: manifests.Document, keys: Sequence[rsa.RSAPrivateKey]) -> bool:
    """Whether every value of a sealed file opens with these keys, without a cluster."""
    content = document.content
    template = (content.get("spec") or {}).get("template") or {}
    scope = Scope.of((template.get("metadata") or {}).get("annotations") or content["metadata"].get("annotations"))
    try:
        for value in (content.get("spec") or {}).get("encryptedData", {}).values():
            open_sealed(keys, value, namespace=document.namespace, name=document.name, scope=scope)
    except SealingError:
        return False
    return True


def reencrypt(paths: Sequence[Path], controller: Controller) -> list[Path]:
    """Bring every sealed file below ``paths`` under the controller's newest key; the files that changed.

    All are resealed before the first is written, so a file that cannot be opened leaves the repository as it was.
    Only ciphertexts change: comments, order and other documents stay. Raises PlaintextFound or ControllerError.
    """
    texts: dict[Path, str] = {}
    for document in manifests.sealed_documents(paths):
        try:
            renewed = controller.reseal(document.content)
        except ControllerError as error:
            raise ControllerError(f"{document.path} ({document.namespace}/{document.name}): {error}") from error
        text = texts.setdefault(document.path, document.path.read_text(encoding="utf-8"))
        old = document.content["spec"]["encryptedData"]
        new = renewed["spec"]["encryptedData"]
        if set(old) != set(new):
            raise ControllerError(f"{document.path}: the controller gave other keys back; nothing was changed")
        for key, value in old.items():
            if value not in text:
                raise GitOpsError(
                    f"{document.path}: encryptedData.{key} is folded over several lines; write it on one line to re-encrypt it"
                )
            text = text.replace(value, new[key])
        texts[document.path] = text
    for path, text in texts.items():
        manifests.write(path, text, mode=path.stat().st_mode & 0o777)
    return sorted(texts)
