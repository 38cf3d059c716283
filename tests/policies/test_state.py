"""The rules over an exported state: formats, exit codes, what is no state, and that secrets stay what they are."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policies import report, state
from policies.data import SECRET_SIGNATURE, SIGNATURE
from policies.registry import BY_NAME, RULES
from sandbox import offline, policy
from sandbox.engine import run
from sandbox.engine.values import has_unknown
from sandbox.stack import ROOT

ROLE = "urn:pulumi:dev::p::aws:iam/role:Role::eso"
SECRET = "urn:pulumi:dev::p::aws:secretsmanager/secret:Secret::partner"
CANARY = "canary-4711"
TRUST = {
    "Statement": {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.example.com"},
        "Condition": {"StringEquals": {"oidc.example.com:sub": "system:serviceaccount:a:b"}},
    }
}


def entry(urn: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"urn": urn, "type": urn.split("::")[2], "custom": True, "inputs": inputs, "outputs": inputs, **more}


def document(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"manifest": {}, "resources": list(entries)}}


ADVISORY = document(entry(SECRET, {"kmsKeyId": "arn", "recoveryWindowInDays": 0, "tags": {"owner": "a"}}))
MANDATORY = document(entry(ROLE, {"assumeRolePolicy": json.dumps(TRUST)}), *ADVISORY["deployment"]["resources"])
EXCEPTION = """\
exceptions:
  - rule: irsa-trust-audience
    resource: {resource}
    reason: it moves to pod identity
    until: {until}
"""


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def call(content: Any, *arguments: str) -> tuple[int, str, str]:
        text = content if isinstance(content, str) else json.dumps(content)
        Path("state.json").write_text(text)
        code = state.main(["state.json", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


# -- exit codes -----------------------------------------------------------------------------------------------------


def test_a_state_that_complies_passes(cli: Any) -> None:
    code, out, _ = cli(document(entry("urn:pulumi:dev::p::test:index:Box::box", {})))
    assert code == 0
    assert out == "state.json: passed (1 resources: 0 mandatory, 0 advisory, 0 accepted, 0 undecided)\n"


def test_an_advisory_violation_is_shown_and_passes(cli: Any) -> None:
    code, out, _ = cli(ADVISORY)
    assert code == 0
    assert "secret-recovery-window" in out


def test_a_mandatory_violation_fails(cli: Any) -> None:
    code, out, _ = cli(MANDATORY)
    assert code == 1
    assert "irsa-trust-audience" in out
    assert "aws:iam/role:Role eso" in out
    assert "1 mandatory" in out


def test_configuration_changes_levels_and_settings(cli: Any) -> None:
    off = write("off.json", '{"irsa-trust-audience": "disabled", "secret-recovery-window": "mandatory"}')
    code, out, _ = cli(MANDATORY, "--config", off)
    assert code == 1
    assert "irsa-trust-audience" not in out
    assert cli(MANDATORY, "--config", write("all.json", '{"all": "disabled"}'))[0] == 0


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "state.json: expected JSON (line 1)"),
        ("{", "state.json: expected JSON"),
        ('{"password": "canary-4711"', "state.json: expected JSON"),
        ("[" * 100_000, "state.json: expected JSON (nested too deeply)"),
        ([], "state.json: expected a stack's state"),
        ({"version": 3}, "state.json: expected a stack's state"),
        (document({"type": "x"}), "state.json: resources[0]: urn: expected a resource's URN"),
        ({"deployment": {"resources": ["x"]}}, "state.json: resources[0]: urn: expected a resource's URN"),
    ],
)
def test_what_is_no_state_is_refused(cli: Any, content: Any, expected: str) -> None:
    code, out, err = cli(content)
    assert (code, out) == (2, "")
    assert expected in err
    assert CANARY not in err


def test_a_file_that_is_missing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert state.main(["nowhere.json"]) == 2
    assert "nowhere.json: cannot be read: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--format", "xml"], ["--nothing"], []])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert state.main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_wrong_configuration_and_exceptions_are_refused(cli: Any) -> None:
    code, _, err = cli(MANDATORY, "--config", write("c.json", '{"nothing": "mandatory"}'))
    assert code == 2
    assert "c.json: nothing: there is no such rule" in err
    code, _, err = cli(MANDATORY, "--exceptions", write("e.yaml", "exceptions: [{}]"))
    assert code == 2
    assert "e.yaml: exceptions[0]: rule: missing" in err


def test_it_reads_standard_input_without_an_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "policies.state", "-", "--format", "json"],
        input=json.dumps(MANDATORY),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["state"] == "stdin"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"pulumi", "grpc", "sandbox", "components"} & imported


# -- what is read ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_and_a_bare_deployment_are_read_too(cli: Any) -> None:
    bare = MANDATORY["deployment"]
    assert cli(bare)[0] == 1
    assert cli({"version": 3, "checkpoint": {"stack": "dev", "latest": bare}})[0] == 1


def test_a_byte_order_mark_is_no_hindrance(cli: Any) -> None:
    assert cli("\ufeff" + json.dumps(ADVISORY))[0] == 0


def test_an_empty_stack_passes(cli: Any) -> None:
    assert cli({"version": 3, "deployment": {"manifest": {}, "secrets_providers": {}}})[0] == 0
    assert cli({"version": 3, "deployment": {"manifest": {}, "resources": None}})[0] == 0


def test_what_waits_to_be_deleted_or_is_only_read_is_not_this_stacks(cli: Any) -> None:
    role = MANDATORY["deployment"]["resources"][0]
    assert cli(document({**role, "delete": True}))[0] == 0
    assert cli(document({**role, "pendingReplacement": True}))[0] == 0
    assert cli(document({**role, "external": True}))[0] == 0
    _, out, _ = cli(document({**ADVISORY["deployment"]["resources"][0], "external": True}))
    assert "secret-rotation" not in out, "a secret that another stack manages is rotated there"


def test_stack_rules_see_inputs_outputs_and_what_properties_are_made_of() -> None:
    urn = "urn:pulumi:dev::p::aws:secretsmanager/secretRotation:SecretRotation::partner"
    ((found, managed),) = state.resources(document(entry(urn, {"a": 1}, propertyDependencies={"secretId": [SECRET]})))
    assert managed
    assert (found.inputs, found.props, found.depends) == ({"a": 1}, {"a": 1}, {"secretId": [SECRET]})


def test_a_secret_stays_a_ciphertext_and_leaves_its_rule_undecided(cli: Any) -> None:
    ciphertext = {SIGNATURE: SECRET_SIGNATURE, "ciphertext": f"v1:{CANARY}"}
    code, out, _ = cli(document(entry(ROLE, {"assumeRolePolicy": ciphertext})), "--format", "json")
    assert code == 0
    findings = json.loads(out)["findings"]
    assert {"irsa-trust-audience", "trust-anyone"} <= {item["rule"] for item in findings}
    assert {item["state"] for item in findings} == {"undecided"}
    assert CANARY not in out


@pytest.mark.parametrize("form", ["table", "json", "sarif"])
def test_no_format_shows_a_value(cli: Any, form: str) -> None:
    value = {SIGNATURE: SECRET_SIGNATURE, "plaintext": json.dumps(CANARY)}
    version = "urn:pulumi:dev::p::aws:secretsmanager/secretVersion:SecretVersion::partner"
    settings = "urn:pulumi:dev::p::kubernetes:core/v1:ConfigMap::settings"
    content = document(
        entry(version, {"secretString": value}), entry(settings, {"data": {"DB_PASSWORD": f"{CANARY}-Xy7#"}})
    )
    code, out, _ = cli(content, "--format", form)
    assert code == 1
    assert "secret-value-in-state" in out
    assert CANARY not in out


# -- formats --------------------------------------------------------------------------------------------------------


def test_json_tells_all_of_a_finding(cli: Any) -> None:
    _, out, _ = cli(MANDATORY, "--format", "json")
    found = json.loads(out)
    assert (found["passed"], found["resources"]) == (False, 2)
    first = found["findings"][0]
    rule = BY_NAME["irsa-trust-audience"]
    assert first.pop("message").startswith("assumeRolePolicy")
    assert first == {
        "rule": rule.name,
        "severity": "critical",
        "state": "mandatory",
        "resource": ROLE,
        "remediation": rule.remediation,
        "link": rule.link,
        "exception": None,
    }


def test_sarif_has_the_rules_and_where_they_are_broken(cli: Any) -> None:
    _, out, _ = cli(MANDATORY, "--format", "sarif")
    (log,) = json.loads(out)["runs"]
    rules = log["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules[:-1]] == [rule.name for rule in RULES]
    for result in log["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    levels = {result["ruleId"]: result["level"] for result in log["results"]}
    assert levels["irsa-trust-audience"] == "error"
    assert levels["secret-recovery-window"] == "warning"
    (place,) = log["results"][0]["locations"]
    assert place["logicalLocations"] == [{"fullyQualifiedName": ROLE, "kind": "resource"}]
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "state.json"}


def test_sarif_tells_results_apart_that_are_in_one_line(cli: Any) -> None:
    (first,) = (item for item in MANDATORY["deployment"]["resources"] if item["urn"] == ROLE)
    _, out, _ = cli(document(first, {**first, "urn": f"{ROLE}-2"}), "--format", "sarif")
    prints = [item["partialFingerprints"]["primaryLocationLineHash"] for item in json.loads(out)["runs"][0]["results"]]
    assert len(prints) == len(set(prints)) == 2


def test_sarif_names_the_file_by_a_uri() -> None:
    found = state.check(MANDATORY, state.Evaluation(RULES, state.Configuration(RULES)))
    log = json.loads(report.sarif(found, "a folder/state#1.json"))
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20folder/state%231.json"


def test_sarif_marks_undecided_and_accepted_results(cli: Any) -> None:
    accepted = write("e.yaml", EXCEPTION.format(resource=ROLE, until="2999-01-01"))
    unread = {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:x"}
    other = entry(f"{ROLE}-2", {"assumeRolePolicy": unread})
    content = document(*MANDATORY["deployment"]["resources"], other)
    _, out, _ = cli(content, "--format", "sarif", "--exceptions", accepted)
    (log,) = json.loads(out)["runs"]
    kinds = {(item["ruleId"], item.get("kind", "fail")): item for item in log["results"]}
    assert kinds["irsa-trust-audience", "review"]["level"] == "none"
    (suppression,) = kinds["irsa-trust-audience", "fail"]["suppressions"]
    assert suppression["status"] == "accepted"
    assert "pod identity" in suppression["justification"]


# -- exceptions -----------------------------------------------------------------------------------------------------


def test_an_accepted_violation_is_reported_and_passes(cli: Any) -> None:
    accepted = write("e.yaml", EXCEPTION.format(resource=ROLE, until="2999-01-01"))
    code, out, _ = cli(MANDATORY, "--exceptions", accepted)
    assert code == 0
    assert "it moves to pod identity" in " ".join(out.replace("|", " ").split())
    assert "1 accepted" in out


def test_an_exception_that_has_ended_fails_even_where_nothing_needs_it(cli: Any) -> None:
    ended = write("e.yaml", EXCEPTION.format(resource=ROLE, until="2020-01-31"))
    code, out, _ = cli(ADVISORY, "--exceptions", ended)
    assert code == 1
    assert f"exception has ended: irsa-trust-audience on {ROLE}, until 2020-01-31" in " ".join(out.split())
    _, out, _ = cli(ADVISORY, "--exceptions", ended, "--format", "sarif")
    assert json.loads(out)["runs"][0]["results"][-1]["ruleId"] == "exception-ended"


def test_what_is_said_of_the_whole_stack_can_be_accepted_for_its_root(cli: Any) -> None:
    content = document(entry("urn:pulumi:dev::p::vault:index/mount:Mount::kv", {"path": "kv"}))
    assert cli(content)[0] == 1
    text = EXCEPTION.format(resource="urn:pulumi:dev::p::pulumi:pulumi:Stack::p-dev", until="2999-01-01")
    accepted = write("e.yaml", text.replace("irsa-trust-audience", "vault-audit"))
    assert cli(content, "--exceptions", accepted)[0] == 0


def test_an_exception_of_another_stack_is_of_no_concern(cli: Any) -> None:
    other = write("e.yaml", EXCEPTION.format(resource=ROLE.replace(":dev::", ":production::"), until="2999-01-01"))
    assert "exception is not needed" not in cli(ADVISORY, "--exceptions", other)[1]


def test_an_exception_that_is_not_needed_is_told(cli: Any) -> None:
    unused = write("e.yaml", EXCEPTION.format(resource=ROLE, until="2999-01-01"))
    code, out, _ = cli(ADVISORY, "--exceptions", unused)
    assert code == 0
    assert "exception is not needed: irsa-trust-audience" in out


# -- and the other ways ---------------------------------------------------------------------------------------------


def test_a_state_is_judged_as_the_engine_judges_the_program(tmp_path: Path) -> None:
    program = ROOT / "examples" / "bad_stack"
    checked = policy.check("dev", program)
    result = run(
        "preview",
        program=program,
        stack="dev",
        state=tmp_path / "state.json",
        providers=offline.PROVIDERS,
        environment=policy.bare_environment(tmp_path),
    )
    entries = [
        entry(step.new.urn, _exported(step.new.inputs), propertyDependencies=step.new.property_dependencies)
        for step in result.steps
        if step.new is not None
    ]
    configuration = state.Configuration.load(RULES, ROOT / "policies" / "config" / "dev.json")
    found = state.check(document(*entries), state.Evaluation(RULES, configuration))
    by_engine = {(item.policy, item.urn) for item in checked.violations if not item.undecided}
    by_state = {(item.rule.name, item.urn) for item in found.findings if not item.undecided}
    root = next(step.urn for step in result.steps if step.urn.endswith("::bad-stack-dev"))
    assert {(rule, urn or root) for rule, urn in by_state} == by_engine


def _exported(value: Any) -> Any:
    """As a state holds it: a secret as ciphertext, and no property that was unknown."""
    if isinstance(value, dict):
        return {key: _exported(item) for key, item in value.items() if not has_unknown(item)}
    if isinstance(value, list):
        return [_exported(item) for item in value]
    return {SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:x"} if type(value).__name__ == "Secret" else value


def test_colour_is_for_terminals(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" not in cli(MANDATORY)[1]
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        state.main(["state.json"])
    assert "\x1b[" in terminal.getvalue()
