"""A few rules of the tests' own, so that what is around the rules is tested apart from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.data import Undecided, number, opaque
from policies.rule import Options, Props, Resource, Rule, Severity, amount, names

TYPE = "test:index:Box"
URN = f"urn:pulumi:dev::tests::{TYPE}::box"
_ABOUT: dict[str, Any] = {"source": ("NEW",), "tags": ("test",), "types": (TYPE,), "link": "https://example.com/rule"}


def too_big(props: Props, options: Options) -> Iterator[str]:
    size = props.get("size")
    if opaque(size):
        yield Undecided("size")
    elif (number(size) or 0) > options.number("limit"):
        yield f"size: over {options.number('limit'):g}"


def open_lid(props: Props, options: Options) -> Iterator[str]:
    del options
    if props.get("open"):
        yield "open: anyone can look in"


def close(props: Props, options: Options) -> Mapping[str, Any]:
    del options
    return {"open": False} if props.get("open") else {}


def alone(resources: Sequence[Resource], options: Options) -> Iterator[tuple[str, str]]:
    boxes = [resource for resource in resources if resource.type == TYPE]
    for box in boxes:
        if box.asked.get("lonely"):
            yield box.urn, "lonely: it has no lid"
    if len(boxes) > options.number("most"):
        yield "", f"more than {options.number('most'):g} boxes"


def broken(props: Props, options: Options) -> Iterator[str]:
    del options
    raise KeyError(props["value"])


SIZE = Rule(
    number=1, name="box-size", title="A box is small", severity=Severity.MEDIUM, remediation="Make it smaller.",
    check=too_big, options={"limit": amount(10, "centimetres"), "colours": names(("red",), "colours")}, **_ABOUT,
)  # fmt: skip
LID = Rule(
    number=2, name="box-lid", title="A box is closed", severity=Severity.HIGH, remediation="Close it.",
    check=open_lid, remedy=close, **_ABOUT,
)  # fmt: skip
ALONE = Rule(
    number=3, name="box-company", title="A box has company", severity=Severity.CRITICAL, remediation="Add a lid.",
    check_stack=alone, options={"most": amount(100, "boxes")}, **_ABOUT,
)  # fmt: skip
BROKEN = Rule(
    number=4, name="box-broken", title="A rule that breaks", severity=Severity.LOW, remediation="Mend the rule.",
    check=broken, **_ABOUT,
)  # fmt: skip
RULES = (SIZE, LID, ALONE)
