"""Rules are total: whatever the properties are, a check ends, raises nothing and shows no value."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pulumi_policy.proxy import unknown_checking_proxy

from policies.data import (
    OUTPUT_SIGNATURE,
    SECRET,
    SECRET_SIGNATURE,
    SIGNATURE,
    UNKNOWN,
    UNKNOWN_TEXTS,
    mapping,
    plain,
    violations,
)
from policies.registry import RULES
from policies.rule import Resource, Rule

CANARY = "canary-7f3a9c"  # in every text value, so that a message with it has shown a value
# The names that rules look for; random ones would never lead a check anywhere.
KEYS = sorted(
    """
    AWS Action Condition Effect Federated ForAllValues:StringEquals ForAnyValue:StringLikeIfExists NotAction
    NotPrincipal NotResource Principal Resource Service Statement StringEquals StringLike address allowedRoles
    annotations apiGroups apiVersion args assumeRolePolicy audience audiences auth automaticallyAfterDays aws
    aws:PrincipalArn backend binaryData blockPublicPolicy boundServiceAccountNames boundServiceAccountNamespaces
    bypassPolicyLockoutSafetyCheck chart conditions connectionUrl containers create creationStatements
    customerMasterKeySpec data dataFrom defaultTtl deletionWindowInDays enableKeyRotation env envFrom explicitMaxTtl
    extract find generatorRef initContainers inlinePolicies jobTemplate jwt key keyUsage keyrenewperiod kind
    kms:ViaService kmsKeyId kubernetes log_raw managedPolicyArns maxTtl metadata mysqls name namespace
    namespaceRegexes namespaces options password path period policies policy postgresql property provider rbac
    recoveryWindowInDays refreshInterval refreshPolicy remoteRef repo repositoryOpts resourceNames resources
    rotationPeriod rotationRules rules scheduleExpression sealedsecrets.bitnami.com/cluster-wide secretBinary secretId
    secretKeyRef secretRef secretString server serviceAccountRef serviceAccountTokenCreate skipTlsVerify sourceRef
    spec stringData sts:ExternalId tags tagsAll template tokenMaxTtl tokenPeriod tokenSecretRef tokenTtl ttl type url
    valueFrom valueYamlFiles values vault verbs version NotAction commandArgs fetchOpts keyrenewperiod policyArns policyNames
    postgresqls roleName scheduleExpression scopedNamespace scopedRBAC stringData tokenExplicitMaxTtl value
    """.split()  # noqa: SIM905 as a list it is a page long
)
WORDS = (
    "Allow", "Deny", "*", "sts:AssumeRoleWithWebIdentity", "sts:*", "kms:Decrypt", "secretsmanager:GetSecretValue", "iam:PassRole",
    "arn:aws:secretsmanager:eu-central-1:111122223333:secret:app*", "arn:aws:iam::111122223333:oidc-provider/oidc.example.com",
    "arn:aws:iam::111122223333:root", "true", "0", "1h", "1h30m", "9" * 400 + "h", "-1", "nan", "inf", "1e999", "rate(30 days)",
    "cron(0 0 1 */0 ? *)", "cron(0 0 1 1,7 ? *)", 'path "*" { capabilities = ["sudo"] }', 'path "x" {', "{", "[[[[", '{"path": []}',
    '{"Statement": 3}', '{"Statement": [null, [], {"Action": {}}]}', "database/creds/app", "http://", "http://127.0.0.1:x",
    "http://[::1", "external-secrets", "sealed-secrets", "secrets", "", "get", "external-secrets.io/v1beta1", "{namespace}",
    "kubernetes.io/service-account-token", "root", "CREATE ROLE x", "://a:b@c", "--key-renew-period=0", "((((", "\\", "\x00",
)  # fmt: skip

texts = st.one_of(st.sampled_from(WORDS), st.text(string.printable, max_size=12).map(lambda text: f"{text}{CANARY}"))
scalars = st.one_of(
    texts,
    texts,
    st.sampled_from(sorted(UNKNOWN_TEXTS)),
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(10**400), 10**400),
)
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=6)), inner, max_size=4),
        inner.map(lambda tree: {SIGNATURE: SECRET_SIGNATURE, "value": tree}),
        st.just({SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:"}),
        inner.map(lambda tree: json.dumps(tree, default=str)),
    ),
    max_leaves=25,
)


@st.composite
def properties(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = draw(st.dictionaries(st.sampled_from(KEYS), trees, min_size=1, max_size=6))
    return found


quick = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


def messages(rule: Rule, props: Mapping[str, Any], other: Mapping[str, Any], config: Any) -> list[str]:
    options = rule.with_options(dict.fromkeys(rule.options, config) if config is not None else None)
    if rule.check is not None:
        if rule.remedy is not None:
            assert isinstance(rule.remedy(props, options), Mapping)
        return list(rule.check(props, options))
    assert rule.check_stack is not None
    types = [kind.replace("*", "v1", 1).replace(":v1", ":ExternalSecret") for kind in rule.types]
    stack = [
        Resource(urn=f"urn:{kind}", type=kind, props=each, inputs=each) for kind in types for each in (props, other)
    ]
    return [str(message) for _, message in rule.check_stack(stack, options)]


def shows_no_value(rule: Rule, found: list[str]) -> None:
    assert all(isinstance(message, str) for message in found)
    assert CANARY not in "\n".join(found), rule.name


@quick
@given(properties(), properties(), trees)
@example({"roles": ["a"]}, {"name": []}, None)
def test_every_rule_ends_without_raising_and_shows_no_value(
    props: dict[str, Any], other: dict[str, Any], config: Any
) -> None:
    for rule in RULES:
        shows_no_value(rule, messages(rule, mapping(plain(props)), mapping(plain(other)), config))


@quick
@given(properties())
def test_what_a_remedy_mends_is_no_violation_any_more(props: dict[str, Any]) -> None:
    for rule in RULES:
        if rule.check is None or rule.remedy is None:
            continue
        options = rule.with_options()
        given = mapping(plain(props))
        changes = rule.remedy(given, options)
        left = list(violations(rule.check({**given, **changes}, options)))
        assert not [message for message in left if message.partition(":")[0] in changes], rule.name
        assert bool(changes) or rule.name == "vault-kubernetes-token-ttl" or not left, rule.name


@quick
@given(properties())
def test_the_sdks_proxy_and_plain_data_read_alike(props: dict[str, Any]) -> None:
    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(member) for key, member in value.items() if key != SIGNATURE}
        return [strip(member) for member in value] if isinstance(value, list) else value

    stripped = strip(props)
    assert repr(plain(unknown_checking_proxy(stripped))) == repr(plain(stripped))


class Foreign(Mapping[str, Any]):
    """A mapping that refuses everything."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Any:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


def test_what_cannot_be_read_is_unknown_and_not_an_error() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert plain(Foreign()) is UNKNOWN
    assert plain(object()) is UNKNOWN
    assert "unknown" in repr(plain(endless))
    assert plain({SIGNATURE: SECRET_SIGNATURE, "ciphertext": "v1:abc"}) is SECRET
    assert plain({SIGNATURE: OUTPUT_SIGNATURE, "dependencies": []}) is UNKNOWN
    assert plain({SIGNATURE: OUTPUT_SIGNATURE, "value": [1], "secret": True}) == [1]
    assert plain({SIGNATURE: SECRET_SIGNATURE, "plaintext": '"shown"'}) == "shown"


def test_a_deep_document_ends() -> None:
    deep = "[" * 100_000
    for rule in RULES:
        messages(rule, {"policy": deep, "assumeRolePolicy": deep, "creationStatements": deep}, {}, None)
