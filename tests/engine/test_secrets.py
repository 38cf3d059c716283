"""The passphrase provider, as Pulumi's."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox.engine import SecretsError
from sandbox.engine.secrets import Crypter, decrypt, encrypt, find_passphrase, new_salt
from tests.engine.stack import PASSPHRASE, Stack


def by_hand(passphrase: str, salt: bytes, nonce: bytes, text: str) -> str:
    """Pulumi's format, made from its description alone."""
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, 1_000_000, 32)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def test_what_pulumi_s_format_describes_is_read() -> None:
    salt, nonce = bytes(range(8)), bytes(range(12))
    state = f"v1:{base64.b64encode(salt).decode()}:{by_hand('correct horse', salt, nonce, 'pulumi')}"
    assert state == "v1:AAECAwQFBgc=:v1:AAECAwQFBgcICQoL:" + state.rpartition(":")[2]
    crypter = Crypter("correct horse", state)
    crypter.verify()
    assert crypter.decrypt(by_hand("correct horse", salt, bytes(12), '"s3cret"')) == '"s3cret"'


def test_a_wrong_passphrase_is_refused_before_anything_is_decrypted() -> None:
    salt = new_salt("right")
    with pytest.raises(SecretsError, match="incorrect passphrase"):
        Crypter("wrong", salt).verify()


def test_round_trip() -> None:
    salt = new_salt(PASSPHRASE)
    first, second = encrypt("grüße", PASSPHRASE, salt), encrypt("grüße", PASSPHRASE, salt)
    assert first != second, "every ciphertext has a nonce of its own"
    assert decrypt(first, PASSPHRASE, salt) == "grüße"


def test_a_changed_ciphertext_is_refused() -> None:
    crypter = Crypter(PASSPHRASE)
    version, nonce, sealed = crypter.encrypt("text").split(":")
    raw = bytearray(base64.b64decode(sealed))
    raw[0] ^= 1
    for changed in (f"{version}:{nonce}:{base64.b64encode(raw).decode()}", "v1:zz", "v2:AAAA:AAAA", ""):
        with pytest.raises(SecretsError, match="cannot be decrypted"):
            crypter.decrypt(changed)


@pytest.mark.parametrize("salt", ["v2:AAAA:v1:AA:AA", "v1:!!:v1:AA:AA", "v1"])
def test_a_salt_of_another_form_is_refused(salt: str) -> None:
    with pytest.raises(SecretsError, match="salt"):
        Crypter(PASSPHRASE, salt)


def test_the_passphrase_comes_from_the_variable_or_the_file(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from file\n")
    assert find_passphrase({"PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}) == "from file"
    both = {"PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_CONFIG_PASSPHRASE_FILE": str(file)}
    assert find_passphrase(both) == "", "an empty one is one"
    assert find_passphrase({}) is None
    with pytest.raises(SecretsError, match="PULUMI_CONFIG_PASSPHRASE_FILE"):
        find_passphrase({"PULUMI_CONFIG_PASSPHRASE_FILE": str(tmp_path / "absent")})


def test_nothing_of_it_is_in_its_repr() -> None:
    assert PASSPHRASE not in repr(Crypter(PASSPHRASE))


def test_another_passphrase_does_not_open_the_state(stack: Stack) -> None:
    assert stack.run("up", "a = Thing('a', 'v', secret_value=Output.secret('hush-hush'))").ok
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = "another"
    with pytest.raises(SecretsError, match="incorrect passphrase"):
        stack.run("up")
    del stack.environment["PULUMI_CONFIG_PASSPHRASE"]
    with pytest.raises(SecretsError, match="no passphrase"):
        stack.run("up")


def test_an_unchanged_secret_keeps_its_ciphertext(stack: Stack) -> None:
    text = "a = Thing('a', 'v', secret_value=Output.secret('hush-hush'))"
    stack.run("up", text)
    before = json.loads(stack.state.read_text())["deployment"]["resources"]
    stack.run("up")
    assert json.loads(stack.state.read_text())["deployment"]["resources"] == before


def test_the_program_does_not_get_the_passphrase(stack: Stack) -> None:
    stack.run("up", "import os\npulumi.export('found', 'PULUMI_CONFIG_PASSPHRASE' in os.environ)")
    assert stack.resources()["pulumi:pulumi:Stack::conformance-dev"].outputs == {"found": False}
