"""The rules are one catalogue: each can be named, configured and looked up."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator

from policies.registry import AREAS, BY_NAME, RULES
from policies.rule import Level, Rule, Severity

each = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
AROUND = {
    "all",
    "exception-ended",
    "exception-used",
    "exception-used-stack",
    "exception-unused",
}  # taken by Pulumi and by the pack itself


def test_every_number_of_the_catalogue_has_a_rule() -> None:
    assert set(range(1, 54)) <= {rule.number for rule in RULES}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(RULES) == sum(len(rules) for rules in AREAS.values())


@each
def test_a_rule_says_all_that_its_reader_needs(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", rule.name)
    assert rule.name not in AROUND
    assert rule.title
    assert not rule.title.endswith(".")
    assert rule.remediation.endswith(".")
    assert rule.link.startswith("https://")
    assert rule.source
    assert rule.tags
    assert rule.types
    assert all(":" in kind for kind in rule.types)


@each
def test_a_settings_default_is_of_its_schema(rule: Rule) -> None:
    for name, option in rule.options.items():
        assert re.fullmatch(r"[a-z][a-zA-Z]*", name), "as Pulumi's own, enforcementLevel"
        assert name != "enforcementLevel"
        Draft202012Validator.check_schema(option.json_schema())
        assert Draft202012Validator(option.json_schema()).is_valid(option.default)
        assert option.meaning


@each
def test_what_opens_a_secret_to_others_stops_a_deployment(rule: Rule) -> None:
    severe = rule.severity in (Severity.CRITICAL, Severity.HIGH)
    assert rule.level is (Level.MANDATORY if severe else Level.ADVISORY)


def test_a_rule_is_about_resources_or_about_the_stack() -> None:
    with pytest.raises(ValueError, match="give check or check_stack"):
        Rule(
            number=1, name="neither", title="T", severity=Severity.LOW, source=("NEW",), tags=("t",), types=("a:b:c",),
            remediation="R.", link="https://example.com",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("iam-administrator", "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"),
        ("iam-administrator", "aws:iam/groupPolicyAttachmentsExclusive:GroupPolicyAttachmentsExclusive"),
        ("secret-in-environment", "kubernetes:apps/v1:DeploymentPatch"),
        ("secret-in-environment", "kubernetes:apps/v1beta2:StatefulSet"),
        ("secret-in-environment", "kubernetes:batch/v1:CronJobPatch"),
        ("secret-in-environment", "kubernetes:core/v1:PodPatch"),
        ("secret-in-environment", "kubernetes:argoproj.io/v1alpha1:Rollout"),
        ("secret-in-environment", "kubernetes:serving.knative.dev/v1:Service"),
        ("rbac-every-secret", "kubernetes:rbac.authorization.k8s.io/v1:ClusterRolePatch"),
        ("rbac-every-secret", "kubernetes:rbac.authorization.k8s.io/v1beta1:Role"),
    ],
)
def test_a_rule_is_about_every_kind_that_can_have_the_mistake(rule: str, kind: str) -> None:
    assert BY_NAME[rule].applies(kind)
