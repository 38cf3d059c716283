"""Pulumi's passphrase secrets provider: AES-256-GCM under a key that PBKDF2-SHA256 makes from the passphrase.

    ciphertext   v1:<base64 nonce, 12 bytes>:<base64 ciphertext and tag>
    salt         v1:<base64 salt, 8 bytes>:<ciphertext of the word "pulumi">

The salt is kept in the state (``secrets_providers.state.salt``) and in a stack's configuration (``encryptionsalt``).
The passphrase comes from PULUMI_CONFIG_PASSPHRASE or from the file that PULUMI_CONFIG_PASSPHRASE_FILE names.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox.engine.errors import SecretsError

VARIABLE = "PULUMI_CONFIG_PASSPHRASE"
FILE_VARIABLE = "PULUMI_CONFIG_PASSPHRASE_FILE"
ITERATIONS = 1_000_000
_KEY_BYTES = 32
_SALT_BYTES = 8
_NONCE_BYTES = 12
_WORD = "pulumi"


def find_passphrase(environment: Mapping[str, str] | None = None) -> str | None:
    """The passphrase that the environment gives; None where it gives none (an empty one is one).

    Raises SecretsError where the file that is named cannot be read.
    """
    variables = os.environ if environment is None else environment
    if VARIABLE in variables:
        return variables[VARIABLE]
    if path := variables.get(FILE_VARIABLE):
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise SecretsError(f"{FILE_VARIABLE}: cannot read {path}: {error.strerror}") from error
    return None


@lru_cache(maxsize=64)
def _key(passphrase: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ITERATIONS, _KEY_BYTES)


class Crypter:
    """Encrypts and decrypts with one passphrase and one salt. The key is made (0.3 s) when it is first needed."""

    def __init__(self, passphrase: str | None, salt: str | None = None, *, where: str = "the state") -> None:
        """``salt`` in the form above; without one a new one is made. ``where`` names its place in messages."""
        self._passphrase = passphrase
        self._where = where
        self._aead: AESGCM | None = None
        self._salt_text = salt or None
        self._salt = _parse_salt(salt, where)[0] if salt else secrets.token_bytes(_SALT_BYTES)

    def __repr__(self) -> str:
        return f"Crypter(where={self._where!r})"

    @property
    def has_passphrase(self) -> bool:
        return self._passphrase is not None

    @property
    def used(self) -> bool:
        """Whether there is anything that was encrypted with it."""
        return self._salt_text is not None

    @property
    def salt(self) -> str:
        """The salt in the form above, to be stored beside what was encrypted."""
        self._cipher()
        assert self._salt_text is not None
        return self._salt_text

    def _cipher(self) -> AESGCM:
        if self._aead is not None:
            return self._aead
        if self._passphrase is None:
            raise SecretsError(
                f"no passphrase for the secrets of {self._where}: set {VARIABLE}, or {FILE_VARIABLE} to the path of a "
                "file that holds it"
            )
        cipher = AESGCM(_key(self._passphrase, self._salt))
        if self._salt_text is None:
            encoded = base64.b64encode(self._salt).decode()
            self._salt_text = f"v1:{encoded}:{_encrypt(cipher, _WORD)}"
        else:
            check = _parse_salt(self._salt_text, self._where)[1]
            if _decrypt(cipher, check) != _WORD:
                raise SecretsError(
                    f"incorrect passphrase: {VARIABLE} is not the one that the secrets of {self._where} were "
                    "encrypted with"
                )
        self._aead = cipher
        return cipher

    def verify(self) -> None:
        """Raises SecretsError where the passphrase is missing or is not the right one."""
        self._cipher()

    def encrypt(self, plaintext: str) -> str:
        return _encrypt(self._cipher(), plaintext)

    def decrypt(self, ciphertext: str) -> str:
        """Raises SecretsError for what was not encrypted with this passphrase and salt."""
        plaintext = _decrypt(self._cipher(), ciphertext)
        if plaintext is None:
            raise SecretsError(
                f"a secret of {self._where} cannot be decrypted: it was made with another key, or damaged"
            )
        return plaintext


def encrypt(plaintext: str, passphrase: str, salt: str) -> str:
    """A ``secure:`` value for a stack's configuration; ``salt`` is its ``encryptionsalt``."""
    return Crypter(passphrase, salt, where="the configuration").encrypt(plaintext)


def decrypt(ciphertext: str, passphrase: str, salt: str) -> str:
    """The text of a ``secure:`` value of a stack's configuration."""
    return Crypter(passphrase, salt, where="the configuration").decrypt(ciphertext)


def new_salt(passphrase: str) -> str:
    """A new ``encryptionsalt`` for a stack's configuration."""
    return Crypter(passphrase).salt


def _parse_salt(text: str, where: str) -> tuple[bytes, str]:
    version, _, rest = text.partition(":")
    encoded, _, check = rest.partition(":")
    try:
        salt = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        salt = b""
    if version != "v1" or not salt or not check:
        raise SecretsError(f"the salt of {where} is not in the form v1:<base64>:v1:<base64>:<base64>")
    return salt, check


def _encrypt(cipher: AESGCM, plaintext: str) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = cipher.encrypt(nonce, plaintext.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def _decrypt(cipher: AESGCM, ciphertext: str) -> str | None:
    parts = ciphertext.split(":")
    if len(parts) != 3 or parts[0] != "v1":
        return None
    try:
        nonce, sealed = (base64.b64decode(part, validate=True) for part in parts[1:])
        return cipher.decrypt(nonce, sealed, None).decode()
    except (binascii.Error, InvalidTag, ValueError):
        return None
