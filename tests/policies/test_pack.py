"""The pack as Pulumi's analyzer service answers: the SDK's own servicer, in this process, over the protocol's messages."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_NUMBER_VALUE

from policies import pack
from policies.registry import RULES as ALL_RULES
from policies.rule import Rule
from policies.suppressions import Suppression
from tests.policies.rules import BROKEN, RULES, TYPE, URN

SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
STACK = ("urn:pulumi:dev::tests::pulumi:pulumi:Stack::tests-dev", "pulumi:pulumi:Stack")
TODAY = datetime.date(2026, 11, 24)


class Pack:
    """The servicer, and requests as the engine sends them."""

    def __init__(self, rules: Sequence[Rule] = RULES, exceptions: Sequence[Suppression] = ()) -> None:
        made = pack.policies(rules, exceptions, TODAY)
        self._service = _PolicyAnalyzerServicer("tests", "0.0.1", made, EnforcementLevel.ADVISORY)

    def info(self) -> Any:
        return self._service.GetAnalyzerInfo(empty_pb2.Empty(), None)

    def configure(self, **levels: tuple[Any, Mapping[str, Any]]) -> None:
        request = proto.ConfigureAnalyzerRequest()
        for name, (level, properties) in levels.items():
            entry = request.policyConfig[name.replace("_", "-")]
            entry.enforcementLevel = level
            entry.properties.update(properties)
        self._service.Configure(request, None)

    def analyze(self, props: Mapping[str, Any], urn: str = URN, kind: str = TYPE) -> list[Any]:
        request = proto.AnalyzeRequest(urn=urn, type=kind, name=urn.rpartition("::")[2])
        request.properties.update(props)
        return list(self._service.Analyze(request, None).diagnostics)

    def analyze_stack(self, *resources: tuple[str, Mapping[str, Any]]) -> list[Any]:
        request = proto.AnalyzeStackRequest()
        for urn, props in resources:
            kind = urn.split("::")[2]
            resource = request.resources.add(urn=urn, type=kind, name=urn.rpartition("::")[2])
            resource.properties.update(props)
        return list(self._service.AnalyzeStack(request, None).diagnostics)

    def remediate(self, props: Mapping[str, Any]) -> list[Any]:
        request = proto.AnalyzeRequest(urn=URN, type=TYPE, name="box")
        request.properties.update(props)
        return list(self._service.Remediate(request, None).remediations)


def said(diagnostics: list[Any]) -> dict[str, str]:
    return {item.policyName: item.message for item in diagnostics}


def test_each_rule_is_a_policy_with_all_that_is_known_of_it() -> None:
    policies = {policy.name: policy for policy in Pack(ALL_RULES).info().policies}
    for rule in ALL_RULES:
        policy = policies[rule.name]
        assert policy.description == rule.title
        assert policy.remediation_steps == rule.remediation
        assert policy.url == rule.link
        assert list(policy.tags) == list(rule.tags)
        assert proto.PolicySeverity.Name(policy.severity) == f"POLICY_SEVERITY_{rule.severity.upper()}"
        assert proto.EnforcementLevel.Name(policy.enforcementLevel) == rule.level.upper()
        assert policy.framework.reference == ", ".join(rule.source)
        wanted = "POLICY_TYPE_RESOURCE" if rule.check else "POLICY_TYPE_STACK"
        assert proto.PolicyType.Name(policy.policy_type) == wanted
        schema = json_format.MessageToDict(policy.configSchema.properties)
        assert schema == json.loads(json.dumps({name: option.json_schema() for name, option in rule.options.items()}))


def test_names_are_free_for_the_policies_about_exceptions() -> None:
    names = [policy.name for policy in Pack(ALL_RULES).info().policies]
    assert len(names) == len(set(names)) == len(ALL_RULES) + 4


def test_a_violation_is_reported_with_its_level() -> None:
    found = Pack().analyze({"size": 20, "open": True})
    assert said(found) == {
        "box-size": "A box is small\nsize: over 10",
        "box-lid": "A box is closed\nopen: anyone can look in",
    }
    assert {item.policyName: item.enforcementLevel for item in found} == {
        "box-size": proto.ADVISORY,
        "box-lid": proto.MANDATORY,
    }


def test_a_rule_looks_at_its_types_only() -> None:
    assert Pack().analyze({"size": 20}, kind="test:index:Barrel") == []


def test_configuration_reaches_the_rule() -> None:
    service = Pack()
    service.configure(box_size=(proto.MANDATORY, {"limit": 30}), box_lid=(proto.DISABLED, {}))
    assert service.analyze({"size": 20, "open": True}) == []
    (found,) = service.analyze({"size": 40})
    assert found.message.endswith("size: over 30")
    assert found.enforcementLevel == proto.MANDATORY


def test_an_unknown_value_leaves_the_rule_open_and_hides_no_violation() -> None:
    found = Pack().analyze({"size": UNKNOWN_NUMBER_VALUE, "open": True})
    texts = said(found)
    assert texts["box-size"].startswith("can't run policy 'box-size'")
    assert "size" in texts["box-size"].rpartition(":")[2]
    assert texts["box-lid"].endswith("anyone can look in")
    assert {item.policyName: item.enforcementLevel for item in found}["box-size"] == proto.ADVISORY


def test_a_secret_is_read_and_not_shown() -> None:
    (found,) = Pack().analyze({"size": {**SECRET, "value": 1234}})
    assert "1234" not in str(found)


def test_a_stack_rule_sees_what_was_asked_for() -> None:
    service = Pack()
    service.analyze({"lonely": True})
    (found,) = service.analyze_stack((URN, {"id": "b-1"}))
    assert (found.urn, found.message) == (URN, "A box has company\nlonely: it has no lid")


def test_a_violation_of_the_stack_names_no_resource() -> None:
    service = Pack()
    service.configure(box_company=(proto.MANDATORY, {"most": 1}))
    (found,) = service.analyze_stack((URN, {}), (f"{URN}2", {}))
    assert (found.urn, found.message) == ("", "A box has company\nmore than 1 boxes")


def test_a_remedy_changes_what_it_says_and_keeps_secrets_and_unknown_values() -> None:
    service = Pack()
    service.configure(box_lid=(proto.REMEDIATE, {}))
    given = {"open": True, "size": UNKNOWN_NUMBER_VALUE, "key": {**SECRET, "value": "hush"}, "in": [{"a": 1}]}
    (found,) = service.remediate(given)
    assert found.policyName == "box-lid"
    assert json_format.MessageToDict(found.properties) == {**given, "open": False}


def test_a_remedy_that_is_not_needed_or_not_asked_for_changes_nothing() -> None:
    service = Pack()
    assert service.remediate({"open": True}) == []
    service.configure(box_lid=(proto.REMEDIATE, {}))
    assert service.remediate({"open": False}) == []


def test_a_rule_that_breaks_fails_without_ending_the_pack_or_showing_the_value() -> None:
    (found,) = Pack((BROKEN,)).analyze({"value": "hush-hush"})
    assert "the rule itself failed" in found.message
    assert "hush-hush" not in found.message


# -- exceptions -----------------------------------------------------------------------------------------------------


def exception(rule: str, until: datetime.date = TODAY, resource: str = URN) -> Suppression:
    return Suppression(rule, resource, "it is empty", until)


def test_an_accepted_violation_is_reported_as_an_advisory() -> None:
    service = Pack(exceptions=[exception("box-lid")])
    (found,) = service.analyze({"open": True})
    assert found.policyName == "exception-used"
    assert found.enforcementLevel == proto.ADVISORY
    assert "box-lid" in found.message
    assert "it is empty" in found.message
    assert service.analyze({"open": False}) == [], "an exception that is not used is not reported"


def test_an_exception_holds_with_the_configured_limit() -> None:
    service = Pack(exceptions=[exception("box-size")])
    service.configure(box_size=(proto.MANDATORY, {"limit": 30}))
    assert service.analyze({"size": 20}) == []
    assert [item.policyName for item in service.analyze({"size": 40})] == ["exception-used"]


def test_an_exception_is_for_its_resource_only() -> None:
    service = Pack(exceptions=[exception("box-lid", resource=f"{URN}-other")])
    assert [item.policyName for item in service.analyze({"open": True})] == ["box-lid"]


def test_an_accepted_resource_is_not_mended() -> None:
    service = Pack(exceptions=[exception("box-lid")])
    service.configure(box_lid=(proto.REMEDIATE, {}))
    assert service.remediate({"open": True}) == []


def test_an_accepted_violation_of_the_stack_is_reported() -> None:
    service = Pack(exceptions=[exception("box-company")])
    service.analyze({"lonely": True})
    (found,) = service.analyze_stack((URN, {}))
    assert found.policyName == "exception-used-stack"


def test_what_is_said_of_the_whole_stack_is_accepted_for_its_root() -> None:
    service = Pack(exceptions=[exception("box-company", resource=STACK[0])])
    service.configure(box_company=(proto.MANDATORY, {"most": 1}))
    found = service.analyze_stack((STACK[0], {}), (URN, {}), (f"{URN}2", {}))
    assert [(item.policyName, item.urn) for item in found] == [("exception-used-stack", STACK[0])]


def test_an_exception_that_nothing_needs_is_told_in_its_own_stack_only() -> None:
    other = exception("box-lid", resource=URN.replace(":dev::", ":production::"))
    service = Pack(exceptions=[exception("box-lid"), other])
    service.analyze({"open": False})
    (found,) = service.analyze_stack((STACK[0], {}), (URN, {}))
    assert (found.policyName, found.enforcementLevel) == ("exception-unused", proto.ADVISORY)
    assert found.message.count(URN) == 1
    service.analyze({"open": True})
    assert service.analyze_stack((STACK[0], {}), (URN, {})) == []


def test_an_exception_that_has_ended_fails_before_anything_is_made_and_accepts_nothing() -> None:
    yesterday = TODAY - datetime.timedelta(days=1)
    service = Pack(exceptions=[exception("box-lid", until=yesterday)])
    (found,) = service.analyze({}, *STACK)
    assert found.policyName == "exception-ended"
    assert found.enforcementLevel == proto.MANDATORY
    assert "2026-11-23" in found.message
    assert [item.policyName for item in service.analyze({"open": True})] == ["box-lid"]


def test_a_mistake_in_the_exceptions_keeps_the_pack_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_text("exceptions: [{rule: nothing}]\n")
    monkeypatch.setenv("STRONGROOM_POLICY_EXCEPTIONS", str(file))
    with pytest.raises(SystemExit, match="there is no such rule"):
        pack.serve()
