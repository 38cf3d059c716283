"""The SARIF of a state: what version 2.1.0's schema demands of the parts that are written, over every kind of finding."""

from __future__ import annotations

import datetime
import json
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from policies import report, state
from policies.configuration import Configuration
from policies.data import SECRET_SIGNATURE, SIGNATURE
from policies.evaluate import Evaluation
from policies.registry import RULES
from policies.suppressions import Suppression

SECRET = "urn:pulumi:dev::p::aws:secretsmanager/secret:Secret::partner"
ROLE = "urn:pulumi:dev::p::aws:iam/role:Role::eso"
TODAY = datetime.date(2026, 11, 24)
CIPHERTEXT = {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:x"}


def an_object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": required.split()}


def a_list(item: Any, *, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "items": item, "uniqueItems": unique}


TEXT = {"type": "string"}
URI = {"type": "string", "format": "uri-reference", "pattern": r"^[^\s#]+$"}
MESSAGE = an_object("text", text={"type": "string", "minLength": 1})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
LOCATION = an_object(
    physicalLocation=an_object(
        "artifactLocation",
        artifactLocation=an_object("uri", uri=URI),
        region=an_object(startLine={"type": "integer", "minimum": 1}),
    ),
    logicalLocations=a_list(an_object(fullyQualifiedName=TEXT, kind=TEXT), unique=True),
)
RESULT = an_object(
    "message ruleId",
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
    level=LEVEL,
    message=MESSAGE,
    locations=a_list(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    suppressions=a_list(
        an_object(
            "kind",
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        ),
        unique=True,
    ),
)
RULE = an_object(
    "id",
    id=TEXT,
    shortDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "format": "uri", "pattern": "^https://"},
    defaultConfiguration=an_object(level=LEVEL),
    properties={"type": "object", "properties": {"tags": a_list(TEXT, unique=True), "security-severity": TEXT}},
)
DRIVER = an_object("name", name=TEXT, version=TEXT, rules=a_list(RULE, unique=True))
RUN = an_object(
    "tool",
    tool=an_object("driver", driver=DRIVER),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results=a_list(RESULT),
)
LOG = an_object("version runs", **{"$schema": URI}, version={"const": "2.1.0"}, runs=a_list(RUN))


def test_every_kind_of_finding_is_written_as_the_schema_has_it() -> None:
    entries = [
        {"urn": ROLE, "inputs": {"assumeRolePolicy": CIPHERTEXT}},
        {"urn": SECRET, "inputs": {"recoveryWindowInDays": 0}},
        {"urn": f"{SECRET}-2", "inputs": {"recoveryWindowInDays": 0}},
        {"urn": "urn:pulumi:dev::p::vault:index/mount:Mount::kv", "inputs": {"path": "kv"}},
    ]
    exceptions = (
        Suppression("secret-recovery-window", SECRET, "it is empty", TODAY),
        Suppression("secret-tags", SECRET, "it was new", TODAY - datetime.timedelta(days=1)),
    )
    evaluation = Evaluation(RULES, Configuration(RULES), exceptions, TODAY)
    found = state.check({"deployment": {"resources": entries}}, evaluation)
    assert {report.state_of(finding) for finding in found.findings} == {
        "mandatory",
        "advisory",
        "undecided",
        "accepted",
    }
    log = json.loads(report.sarif(found, "states/dev.json"))
    Draft202012Validator(LOG, format_checker=FormatChecker()).validate(log)
    (run,) = log["runs"]
    assert {item["ruleId"] for item in run["results"]} >= {"exception-ended", "secret-tags", "vault-audit"}
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result.get("kind", "fail") == "fail" or result["level"] == "none", "only what fails has a level"
    assert all(item["locations"][0]["logicalLocations"] for item in run["results"]), (
        "code scanning shows no URN without"
    )
