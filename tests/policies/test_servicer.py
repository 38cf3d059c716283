"""The pack's servicer asks only the rules that concern a type, and answers as the SDK's does with all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import EnforcementLevel
from pulumi_policy.policy import _PolicyAnalyzerServicer

from policies.data import UNKNOWN, plain
from policies.pack import NAME, VERSION, policies, servicer
from policies.registry import BY_NAME, RULES
from policies.rule import Resource
from policies.servicer import ByType
from tests.policies.kit import Case
from tests.policies.test_rules import CASES

TEXT_OF_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # how the protocol carries an unknown string


def wire(value: Any) -> Any:
    if value is UNKNOWN:
        return TEXT_OF_UNKNOWN
    if isinstance(value, Mapping):
        return {key: wire(member) for key, member in value.items()}
    return [wire(member) for member in value] if isinstance(value, list | tuple) else value


def struct(props: Mapping[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(wire(props))
    return made


def concrete(pattern: str) -> str:
    """A type that the pattern matches."""
    return pattern.replace("/*:", "/v1:").replace("*", "x")


def request(kind: str, props: Mapping[str, Any]) -> proto.AnalyzeRequest:
    return proto.AnalyzeRequest(type=kind, urn=f"urn:pulumi:t::t::{kind}::x", name="x", properties=struct(props))


def stack(resources: list[Resource]) -> proto.AnalyzeStackRequest:
    return proto.AnalyzeStackRequest(
        resources=[
            proto.AnalyzerResource(type=found.type, urn=found.urn, name=found.name, properties=struct(found.props))
            for found in resources
        ]
    )


def said(answer: Any) -> list[tuple[str, str, str, int]]:
    return sorted((item.policyName, item.message, item.urn, item.enforcementLevel) for item in answer.diagnostics)


@pytest.fixture(scope="module")
def ours() -> ByType:
    return servicer(policies(RULES))


@pytest.fixture(scope="module")
def whole() -> Any:
    return _PolicyAnalyzerServicer(NAME, VERSION, policies(RULES), EnforcementLevel.ADVISORY)


@pytest.mark.parametrize("case", CASES, ids=[case.rule for case in CASES])
def test_it_answers_as_the_sdks_own(case: Case, ours: ByType, whole: Any) -> None:
    rule = BY_NAME[case.rule]
    subjects = [case.bad, *case.more_bad, case.wild, case.good, *([case.unknown] if case.unknown is not None else [])]
    for subject in subjects:
        if rule.check is None:
            asked = stack(subject)
            for one in subject:  # the rules remember what was asked for
                both = request(one.type, one.props)
                both.urn = one.urn
                assert said(ours.Analyze(both, None)) == said(whole.Analyze(both, None))
            assert said(ours.AnalyzeStack(asked, None)) == said(whole.AnalyzeStack(asked, None))
        else:
            asked = request(concrete(rule.types[0]), subject)
            assert said(ours.Analyze(asked, None)) == said(whole.Analyze(asked, None))
    first = request(concrete(rule.types[0]), case.bad) if rule.check else None
    if first is not None:
        assert rule.name in {name for name, *_ in said(ours.Analyze(first, None))}


def test_a_type_without_rules_is_not_unpacked(ours: ByType) -> None:
    assert ours._for("strongroom:index:Workload") is None
    answer = ours.Analyze(request("strongroom:index:Workload", {"secretString": "x"}), None)
    assert not answer.diagnostics
    assert not ours.Remediate(request("strongroom:index:Workload", {}), None).remediations


def test_a_configuration_reaches_parts_made_before_and_after() -> None:
    pack = servicer(policies(RULES))
    key = request("aws:kms/key:Key", {"enableKeyRotation": False})
    policy = request("aws:secretsmanager/secretPolicy:SecretPolicy", {"policy": "{}"})
    assert {name for name, *_ in said(pack.Analyze(key, None))} == {"kms-key-rotation"}
    configured = {
        "kms-key-rotation": proto.PolicyConfig(enforcementLevel=proto.DISABLED),
        "secret-policy-block-public": proto.PolicyConfig(enforcementLevel=proto.REMEDIATE),
    }
    pack.Configure(proto.ConfigureAnalyzerRequest(policyConfig=configured), None)
    pack.ConfigureStack(proto.AnalyzerStackConfigureRequest(stack="dev", project="p"), None)
    assert said(pack.Analyze(key, None)) == []
    mended = pack.Remediate(policy, None).remediations
    assert [item.policyName for item in mended] == ["secret-policy-block-public"]
    assert mended[0].properties["blockPublicPolicy"] is True


def test_it_tells_of_every_rule(ours: ByType) -> None:
    told = {policy.name for policy in ours.GetAnalyzerInfo(empty_pb2.Empty(), None).policies}
    assert {rule.name for rule in RULES} <= told


MENDED: dict[str, Mapping[str, Any]] = {
    "secret-policy-block-public": {"policy": "{}"},
    "secret-recovery-window": {"recoveryWindowInDays": 0},
    "kms-key-rotation": {"description": "x"},
    "kms-deletion-window": {"deletionWindowInDays": 7},
    "kms-lockout-check": {"bypassPolicyLockoutSafetyCheck": True},
    "vault-kubernetes-token-ttl": {"tokenTtl": 2764800},
}


def test_every_remedy_is_tested() -> None:
    assert {rule.name for rule in RULES if rule.remedy} == set(MENDED)


@pytest.mark.parametrize("name", MENDED)
def test_a_remedy_mends_what_the_rule_finds_and_leaves_the_rest(name: str) -> None:
    rule = BY_NAME[name]
    options = rule.with_options()
    assert rule.check is not None
    assert rule.remedy is not None
    props = plain(MENDED[name])
    assert list(rule.check(props, options))
    mended = {**props, **rule.remedy(props, options)}
    assert list(rule.check(mended, options)) == []
    assert rule.remedy(mended, options) == {}
