"""The random provider: drawn once, drawn anew when a keeper changes, secret where it must be."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest

from sandbox.providers.random import RandomProvider
from sandbox.providers.values import plain
from tests.providers.driver import CheckFailed, Driven, Unknown

PASSWORD, STRING = "random:index/randomPassword:RandomPassword", "random:index/randomString:RandomString"
ID, BYTES, PET = (
    "random:index/randomId:RandomId",
    "random:index/randomBytes:RandomBytes",
    "random:index/randomPet:RandomPet",
)
UUID, INTEGER = "random:index/randomUuid:RandomUuid", "random:index/randomInteger:RandomInteger"


@pytest.fixture
def provider() -> Iterator[RandomProvider]:
    return RandomProvider()


def made(provider: RandomProvider, kind: str, **inputs: Any) -> Driven:
    found = Driven(provider, kind)
    assert found.up(**inputs) == "create"
    return found


def test_a_password_is_secret_and_its_id_is_not_it(provider: RandomProvider) -> None:
    found = made(provider, PASSWORD, length=24, special=False)
    result = found.values["result"]
    assert re.fullmatch(r"[A-Za-z0-9]{24}", result)
    assert found.state["result"].is_secret
    assert found.state["bcryptHash"].is_secret
    assert bcrypt.checkpw(result.encode(), found.values["bcryptHash"].encode())
    assert found.id == "none"


def test_it_is_drawn_once_and_anew_when_a_keeper_changes(provider: RandomProvider) -> None:
    found = made(provider, PASSWORD, length=16, keepers={"for": "a"})
    first = found.values["result"]
    assert found.up(length=16, keepers={"for": "a"}) == "same"
    assert found.read()
    assert found.values["result"] == first
    assert found.diff(length=16, keepers={"for": "b"}).replaces == ["keepers"]
    assert found.up(length=16, keepers={"for": "b"}) == "replace"
    assert found.values["result"] != first


@pytest.mark.parametrize(
    ("inputs", "pattern"),
    [
        ({"length": 8, "upper": False, "numeric": False, "special": False}, r"[a-z]{8}"),
        ({"length": 8, "lower": False, "upper": False, "numeric": False, "overrideSpecial": "_-"}, r"[_-]{8}"),
        ({"length": 4, "minLower": 1, "minUpper": 1, "minNumeric": 1, "minSpecial": 1}, r".{4}"),
    ],
)
def test_classes_and_minima_hold(provider: RandomProvider, inputs: dict[str, Any], pattern: str) -> None:
    for _ in range(20):
        result = made(provider, STRING, **inputs).values["result"]
        assert re.fullmatch(pattern, result)
        if "minLower" in inputs:
            assert all(re.search(kind, result) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))


def test_ids_bytes_uuids_pets_and_integers(provider: RandomProvider) -> None:
    drawn = made(provider, ID, byteLength=8, prefix="p-").values
    assert drawn["hex"].startswith("p-")
    assert len(drawn["hex"]) == 2 + 16
    assert int(drawn["dec"].removeprefix("p-")) == int(drawn["hex"].removeprefix("p-"), 16)
    assert made(provider, BYTES, length=16).state["base64"].is_secret
    found = made(provider, UUID)
    assert uuid.UUID(found.values["result"]).version == 4
    assert re.fullmatch(r"x-[a-z]+-[a-z]+-[a-z]+", str(made(provider, PET, length=3, prefix="x").id))
    assert 5 <= made(provider, INTEGER, min=5, max=7).values["result"] <= 7


def test_imports_take_the_value_itself(provider: RandomProvider) -> None:
    value = uuid.uuid4().hex
    found = Driven(provider, PASSWORD)
    assert found.imported(value)
    assert found.values["result"] == value
    assert found.state["result"].is_secret
    assert found.id is not None
    assert found.up(length=len(value)) == "same"
    integer = Driven(provider, INTEGER)
    assert integer.imported("6,5,7")
    assert integer.values["result"] == 6
    with pytest.raises(ValueError, match="RESULT,MIN,MAX"):
        integer.imported("6")


def test_a_preview_draws_nothing(provider: RandomProvider) -> None:
    shown = Driven(provider, PASSWORD).preview(length=16)
    assert plain(shown["result"]) == Unknown.value
    assert shown["result"].is_secret


def test_inputs_that_make_no_value_are_named(provider: RandomProvider) -> None:
    for inputs, text in (
        ({}, "needs length"),
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"length": 3, "minLower": 2, "minUpper": 2}, "must hold all minima"),
        ({"length": 3, "lower": False, "upper": False, "numeric": False, "special": False}, "leave at least one"),
        ({"length": "ten"}, "length must be a whole number, not this string"),
        ({"length": 8, "seed": "x"}, "has no property 'seed'"),
    ):
        with pytest.raises(CheckFailed, match=text):
            Driven(provider, PASSWORD).check(**inputs)
    with pytest.raises(CheckFailed, match=r"min \(7\) must not be above max \(5\)"):
        Driven(provider, INTEGER).check(min=7, max=5)
