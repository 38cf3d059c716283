"""Drawing the values. All randomness is ``secrets``: the operating system's generator."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import bcrypt

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
# bcrypt reads no further than this; the real provider cuts there too.
BCRYPT_BYTES = 72

_ADVERBS = (
    "barely boldly calmly deeply fairly freely gently gladly kindly lately mildly neatly openly partly "
    "purely quietly rarely safely surely truly warmly wholly wisely "
)
_ADJECTIVES = (
    "able apt brave bright calm clear clever cosmic eager exact fair famous fleet fond gentle glad grand "
    "handy honest ideal keen kind light lucky major merry neat noble polite proud quick ready sharp smart "
    "solid stable sunny sure tidy warm wise "
)
_ANIMALS = (
    "ant badger bear bee bison bobcat buck calf cat cobra condor cow crab crane crow deer dog dove duck "
    "eagle eel elk falcon finch fox frog gecko goat goose hare hawk heron hornet horse ibex koala lark "
    "lemur lion lynx mole moose moth newt otter owl panda perch pony puma quail rabbit ram raven robin "
    "seal shark sheep shrew skunk snail spider squid stork swan tiger toad trout viper vole walrus wasp "
    "whale wolf wombat yak zebra "
)


def text(inputs: Mapping[str, Any]) -> str:
    """A string of ``length`` characters of the chosen classes, with at least ``minX`` of each class X."""
    classes = {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": inputs.get("overrideSpecial") or SPECIAL,
    }
    minimum = {"lower": "minLower", "upper": "minUpper", "numeric": "minNumeric", "special": "minSpecial"}
    chosen: list[str] = []
    alphabet = ""
    for name, characters in classes.items():
        if inputs.get(name, True):
            alphabet += characters
        chosen += [secrets.choice(characters) for _ in range(inputs.get(minimum[name]) or 0)]
    chosen += [secrets.choice(alphabet) for _ in range(inputs["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


def string_(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    result = text(inputs)
    return result, {"result": result}


def password(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    result = text(inputs)
    # The id is no secret, so it is not the password.
    return "none", password_outputs(result)


def password_outputs(result: str) -> dict[str, Any]:
    hashed = bcrypt.hashpw(result.encode()[:BCRYPT_BYTES], bcrypt.gensalt(10)).decode()
    return {"result": result, "bcryptHash": hashed}


def id_(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return id_outputs(secrets.token_bytes(inputs["byteLength"]), inputs.get("prefix") or "")


def id_outputs(drawn: bytes, prefix: str) -> tuple[str, dict[str, Any]]:
    plain = base64.urlsafe_b64encode(drawn).decode().rstrip("=")
    return plain, {
        "b64Url": prefix + plain,
        "b64Std": prefix + base64.b64encode(drawn).decode(),
        "hex": prefix + drawn.hex(),
        "dec": prefix + str(int.from_bytes(drawn)),
    }


def bytes_(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return "none", bytes_outputs(secrets.token_bytes(inputs["length"]))


def bytes_outputs(drawn: bytes) -> dict[str, Any]:
    return {"base64": base64.b64encode(drawn).decode(), "hex": drawn.hex()}


def pet(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    length, separator = inputs["length"], inputs["separator"]
    words = [secrets.choice(_ADVERBS.split()) for _ in range(max(length - 2, 0))]
    words += [secrets.choice(_ADJECTIVES.split())] if length > 1 else []
    words.append(secrets.choice(_ANIMALS.split()))
    if prefix := inputs.get("prefix"):
        words.insert(0, prefix)
    return separator.join(words), {}


def uuid_(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    del inputs
    result = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    return result, {"result": result}


def integer(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    low, high = inputs["min"], inputs["max"]
    result = low + secrets.randbelow(high - low + 1)
    return str(result), {"result": result}


Generator = Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]
