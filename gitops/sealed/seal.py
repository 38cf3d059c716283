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

from components.sealing import CLUSTER_WIDE, NAMESPACE_WIDE, Scope, SealingError, check_key, open_sealed, seal
from gitops import manifests
from gitops.errors import ControllerError, GitOpsError
from gitops.manifests import Document, mapping
from gitops.sealed.cluster import Controller
from gitops.writing import write_all

_NOISE = ("kubectl.kubernetes.io/last-applied-configuration", "kubecfg.ksonnet.io/last-applied-configuration")
_SCOPES = (NAMESPACE_WIDE, CLUSTER_WIDE)


def seal_manifest(
    secret: dict[str, Any], certificate: x509.Certificate, scope: Scope | None = None, namespace: str | None = None
) -> dict[str, Any]:
    """The SealedSecret of a core Secret. ``scope``: what the Secret's annotations say, else strict.

    Annotations that hold a copy of the plain object are dropped. Raises GitOpsError or SealingError.
    """
    if not isinstance(secret, dict):
        raise GitOpsError(f"kind: expected a v1 Secret, got a {type(secret).__name__}")
    if secret.get("kind") != "Secret" or secret.get("apiVersion") != "v1":
        raise GitOpsError(f"kind: expected a v1 Secret, got {secret.get('apiVersion')} {secret.get('kind')}")
    metadata = mapping(secret.get("metadata"))
    name = str(metadata.get("name") or "")
    if not name:
        raise GitOpsError("name: the Secret has none; give metadata.name, which the sealed values are bound to")
    place = namespace or str(metadata.get("namespace") or "")
    annotations = {key: value for key, value in mapping(metadata.get("annotations")).items() if key not in _NOISE}
    chosen = scope or Scope.of(annotations)
    annotations = {key: value for key, value in annotations.items() if key not in _SCOPES} | chosen.annotations()
    values = _values(name, secret)
    if not values:
        raise GitOpsError(f"data: Secret {name!r} holds nothing to seal; give data or stringData")
    where = {"name": name, **({"namespace": place} if place else {})}
    template: dict[str, Any] = {"metadata": dict(where)}
    if annotations:
        template["metadata"]["annotations"] = annotations
    if labels := metadata.get("labels"):
        template["metadata"]["labels"] = labels
    for key in ("type", "immutable"):
        if key in secret:
            template[key] = secret[key]
    sealed = {
        key: seal(certificate, value, namespace=place, name=name, scope=chosen) for key, value in sorted(values.items())
    }
    return {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {**where, **({"annotations": chosen.annotations()} if chosen is not Scope.STRICT else {})},
        "spec": {"encryptedData": sealed, "template": template},
    }


def _values(name: str, secret: dict[str, Any]) -> dict[str, bytes]:
    """Its values as Kubernetes would read them: ``stringData`` wins over ``data``, and both hold texts only."""
    values: dict[str, bytes] = {}
    for part in ("data", "stringData"):
        for key, value in mapping(secret.get(part)).items():
            if not isinstance(value, str):
                kind = "nothing" if value is None else f"a {type(value).__name__}"
                raise GitOpsError(f"{part}.{key}: expected a text in Secret {name!r}, got {kind}; put it in quotes")
            try:
                values[check_key(key)] = value.encode() if part == "stringData" else _decoded(value)
            except binascii.Error as error:
                raise GitOpsError(
                    f"{part}.{key}: not Base64 in Secret {name!r}; use stringData for plain text"
                ) from error
    return values


def _decoded(value: str) -> bytes:
    return base64.b64decode("".join(value.split()), validate=True)


def to_yaml(manifest: dict[str, Any]) -> str:
    return yaml.safe_dump(manifest, sort_keys=False, width=1_000_000)


def sealed_values(document: Document) -> dict[str, Any]:
    """Key -> ciphertext of a SealedSecret; empty where it holds none, as in its oldest form."""
    return mapping(document.spec.get("encryptedData"))


def opens_with(document: Document, keys: Sequence[rsa.RSAPrivateKey]) -> bool:
    """Whether every value of a sealed file opens with these keys, without a cluster; False where it holds none."""
    sealed = sealed_values(document)
    scope = Scope.of(mapping(document.metadata.get("annotations")))
    try:
        for value in sealed.values():
            open_sealed(keys, str(value), namespace=document.namespace, name=document.name, scope=scope)
    except SealingError:
        return False
    return bool(sealed)


def reencrypt(paths: Sequence[Path], controller: Controller) -> list[Path]:
    """Bring every sealed file below ``paths`` under the controller's newest key; the files that changed.

    All are resealed before the first is written, so a file that cannot be opened leaves the repository as it was.
    Only ciphertexts change: comments, order and other documents stay. Raises PlaintextFound or ControllerError.
    """
    renewed: dict[Path, dict[str, str]] = {}
    for document in manifests.sealed_documents(paths):
        try:
            answer = controller.reseal(document.content)
        except ControllerError as error:
            raise ControllerError(f"{document.where}: {error}") from error
        old = sealed_values(document)
        new = mapping(mapping(answer.get("spec")).get("encryptedData"))
        if set(old) != set(new):
            raise ControllerError(f"{document.where}: the controller gave other keys back; nothing was changed")
        if old:
            renewed.setdefault(document.path, {}).update((str(old[key]), str(new[key])) for key in old)
    texts: dict[Path, str | bytes] = {}
    for path, ciphertexts in renewed.items():
        text = path.read_bytes().decode()
        for old_value, new_value in ciphertexts.items():
            if old_value not in text:
                raise GitOpsError(
                    f"{path}: a value under encryptedData is folded over several lines; write it on one line to re-encrypt it"
                )
            text = text.replace(old_value, new_value)
        texts[path] = text
    write_all(texts)
    return sorted(texts)
