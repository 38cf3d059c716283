"""The example of a bad stack: what the embedded engine and the pack's own process say of it is kept beside it.

Written anew by `python -m sandbox policy production --program examples/bad_stack`, without the spaces at the lines' ends.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from sandbox import policy
from sandbox.policy import Report
from sandbox.stack import ROOT

FOLDER = ROOT / "examples" / "bad_stack"
GOLDEN = FOLDER / "report.txt"
VALUE = "not-a-real-password"


@pytest.fixture(scope="module")
def report() -> Report:
    return policy.check("production", FOLDER)


def shown(report: Report) -> str:
    out = io.StringIO()
    policy.print_tables([report], Console(file=out, width=policy.WIDTH, highlight=False))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def rules_of(report: Report, name: str) -> set[str]:
    return {item.policy for item in report.violations if item.urn.endswith(f"::{name}")}


def test_the_report_is_the_golden_one(report: Report) -> None:
    text = shown(report)
    if os.environ.get("STRONGROOM_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_the_bad_stack_is_refused(report: Report) -> None:
    assert not report.ok
    assert not report.errors, "it is refused for what it is, not because it cannot be previewed"


def test_the_report_shows_no_value(report: Report) -> None:
    assert VALUE not in shown(report) + policy.as_json([report])
    assert VALUE in (FOLDER / "__main__.py").read_text(encoding="utf-8"), "it is the program's own"


def test_instructions_taken_at_their_word_are_caught(report: Report) -> None:
    assert "irsa-trust-audience" in rules_of(report, "eso")
    assert {"vault-kubernetes-audience", "external-secrets-api-version"} <= rules_of(report, "vault")
    assert {"external-secret-one-lease", "external-secrets-api-version"} <= rules_of(report, "db-dynamic-creds")


def test_what_production_mends_is_told_and_no_violation(report: Report) -> None:
    assert not {"kms-key-rotation", "secret-policy-block-public"} & {item.policy for item in report.violations}
    assert any("kms-key-rotation set enableKeyRotation" in line for line in report.mended)


def test_the_document_names_every_violation_with_its_fix(report: Report) -> None:
    (document,) = json.loads(policy.as_json([report]))
    assert document["ok"] is False
    assert len(document["violations"]) == len(report.violations)
    assert all(entry["remediation"] and entry["link"] for entry in document["violations"])


def test_a_program_that_cannot_be_previewed_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: broken\nruntime: python\n")
    (tmp_path / "__main__.py").write_text("raise RuntimeError('no stack')\n")
    found = policy.check("dev", tmp_path)
    assert not found.ok
    assert "no stack" in "\n".join(found.errors)
