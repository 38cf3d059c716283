"""Sealing: the encryption of sealed-secrets, offline, against a certificate that is safe to commit.

A sealed value is what the sealed-secrets controller opens (its ``pkg/crypto/crypto.go``): two bytes with the length of
the RSA part, a random 32-byte session key under RSA-OAEP (SHA-256, the label is the scope), then the value under
AES-256-GCM with that key and a zero nonce (the key is used once), all in standard Base64.
"""

import base64
import binascii
import datetime
import hashlib
import os
import re
import struct
from collections.abc import Iterable, Mapping
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SESSION_KEY_BYTES = 32
ZERO_NONCE = bytes(12)
NAMESPACE_WIDE = "sealedsecrets.bitnami.com/namespace-wide"
CLUSTER_WIDE = "sealedsecrets.bitnami.com/cluster-wide"
SECRET_KEY = re.compile(r"(?!\.\.|\.$)[-._a-zA-Z0-9]{1,253}")  # the whole of a key of a Kubernetes Secret


class SealingError(ValueError):
    """A value cannot be sealed or opened; the message names the argument and the fix, never a value."""


class Scope(StrEnum):
    """Where a sealed value may be opened: under exactly its name, anywhere in its namespace, or anywhere."""

    STRICT = "strict"
    NAMESPACE_WIDE = "namespace-wide"
    CLUSTER_WIDE = "cluster-wide"

    def annotations(self) -> dict[str, str]:
        """The annotations with which a SealedSecret (and its template) declares this scope."""
        return {
            Scope.STRICT: {},
            Scope.NAMESPACE_WIDE: {NAMESPACE_WIDE: "true"},
            Scope.CLUSTER_WIDE: {CLUSTER_WIDE: "true"},
        }[self]

    @classmethod
    def of(cls, annotations: Mapping[str, str] | None) -> "Scope":
        """The scope that annotations declare; cluster-wide wins, as in the controller."""
        found = annotations or {}
        if found.get(CLUSTER_WIDE) == "true":
            return cls.CLUSTER_WIDE
        if found.get(NAMESPACE_WIDE) == "true":
            return cls.NAMESPACE_WIDE
        return cls.STRICT


def load_certificate(pem: str | bytes, *, allow_expired: bool = False) -> x509.Certificate:
    """The sealing certificate of a controller, checked: PEM, an RSA key, not past its end.

    ``allow_expired``: the controller still opens what an expired certificate sealed, but a newer one exists by then.
    Raises SealingError.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
    except ValueError as error:
        raise SealingError("certificate: expected one PEM certificate, as the controller's /v1/cert.pem is") from error
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise SealingError("certificate: expected an RSA key, as the sealed-secrets controller makes them")
    end = certificate.not_valid_after_utc
    if not allow_expired and end < datetime.datetime.now(datetime.UTC):
        raise SealingError(f"certificate: it ended on {end:%Y-%m-%d}; fetch the controller's current one")
    return certificate


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the public key (DER, SubjectPublicKeyInfo), in hex: tells sealing keys apart."""
    public = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(public).hexdigest()


def check_key(key: str) -> str:
    """The key as it is, where a Kubernetes Secret can have it. Raises SealingError."""
    if not isinstance(key, str) or not SECRET_KEY.fullmatch(key):
        raise SealingError(
            f"key: a Secret cannot have {key!r}; expected letters, digits, '-', '_' and '.', at most 253 characters"
        )
    return key


def label(namespace: str, name: str, scope: Scope) -> bytes:
    """What binds a sealed value to its place: ``namespace/name``, ``namespace`` or nothing."""
    if scope is Scope.CLUSTER_WIDE:
        return b""
    if not namespace:
        raise SealingError(f"namespace: a {scope} sealed value needs the namespace in which it will be opened")
    if scope is Scope.NAMESPACE_WIDE:
        return namespace.encode()
    if not name:
        raise SealingError("name: a strict sealed value needs the name of the Secret that it will become")
    return f"{namespace}/{name}".encode()


def _oaep(place: bytes) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=place)


def seal(certificate: x509.Certificate, value: bytes, *, namespace: str, name: str, scope: Scope = Scope.STRICT) -> str:
    """One sealed value, different at each call, in Base64."""
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise SealingError("certificate: expected an RSA key, as the sealed-secrets controller makes them")
    session_key = os.urandom(SESSION_KEY_BYTES)
    wrapped = public.encrypt(session_key, _oaep(label(namespace, name, scope)))
    sealed = struct.pack(">H", len(wrapped)) + wrapped + AESGCM(session_key).encrypt(ZERO_NONCE, value, None)
    return base64.b64encode(sealed).decode()


def open_sealed(
    keys: Iterable[rsa.RSAPrivateKey], sealed: str, *, namespace: str, name: str, scope: Scope = Scope.STRICT
) -> bytes:
    """The value, with whichever of the controller's private keys fits. Raises SealingError where none does."""
    try:
        raw = base64.b64decode(sealed, validate=True)
        (size,) = struct.unpack_from(">H", raw)
    except (binascii.Error, struct.error) as error:
        raise SealingError(
            "sealed value: expected Base64 of at least two bytes; it is damaged or not sealed"
        ) from error
    wrapped, body = raw[2 : 2 + size], raw[2 + size :]
    place = label(namespace, name, scope)
    for key in keys:
        try:
            return AESGCM(key.decrypt(wrapped, _oaep(place))).decrypt(ZERO_NONCE, body, None)
        except (ValueError, InvalidTag):
            continue
    raise SealingError(
        f"sealed value: no key opens it as {scope} for {namespace}/{name}; "
        "it was sealed for another place or cluster, or its key was not restored"
    )
