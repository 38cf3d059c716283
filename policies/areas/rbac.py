"""Kubernetes' own access control."""

from __future__ import annotations

from collections.abc import Iterator

from policies.data import Undecided, dig, items, opaque, texts
from policies.rule import Options, Props, Rule, Severity

TYPES = ("kubernetes:rbac.authorization.k8s.io/*:Role", "kubernetes:rbac.authorization.k8s.io/*:ClusterRole")
_READS = frozenset({"get", "list", "watch", "*"})


def every_secret(props: Props, _: Options) -> Iterator[str]:
    rules = props.get("rules")
    if opaque(rules):
        yield Undecided("rules")
    for index, rule in enumerate(items(rules)):
        parts = {name: dig(rule, name) for name in ("apiGroups", "resources", "verbs", "resourceNames")}
        if opaque(rule) or any(opaque(item) for part in parts.values() for item in items(part)):
            yield Undecided(f"rules[{index}]")
            continue
        groups, resources, verbs, named = (texts(part) for part in parts.values())
        if {"", "*"} & set(groups) and {"secrets", "*"} & set(resources) and _READS & set(verbs) and not named:
            yield f"rules[{index}]: it reads every secret of its scope"


RULES = (
    Rule(
        number=52, name="rbac-every-secret", title="Nobody reads every secret", severity=Severity.CRITICAL,
        source=("KSV-0041", "CKV2_K8S_5"), tags=("kubernetes", "rbac"), types=TYPES,
        remediation="Name the secrets in resourceNames, or leave secrets to the operator that delivers them.",
        link="https://kubernetes.io/docs/concepts/security/rbac-good-practices/#listing-secrets", check=every_secret,
    ),
)  # fmt: skip
