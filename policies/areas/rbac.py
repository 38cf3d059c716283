"""Kubernetes' own access control."""

from __future__ import annotations

from collections.abc import Iterator

from policies.data import Undecided, dig, items, opaque, texts
from policies.rule import Options, Props, Rule, Severity

_GROUP = "kubernetes:rbac.authorization.k8s.io/*:"
TYPES = (f"{_GROUP}Role", f"{_GROUP}ClusterRole", f"{_GROUP}RolePatch", f"{_GROUP}ClusterRolePatch")
# Reading; changing, which answers with the object; and removing.
_VERBS = frozenset({"get", "list", "watch", "update", "patch", "delete", "deletecollection", "*"})


def every_secret(props: Props, _: Options) -> Iterator[str]:
    rules = props.get("rules")
    if opaque(rules):
        yield Undecided("rules")
    for index, rule in enumerate(items(rules)):
        parts = {name: dig(rule, name) for name in ("apiGroups", "resources", "verbs", "resourceNames")}
        groups, resources, verbs, named = (texts(part) for part in parts.values())
        if named:
            continue  # the names of the others do not matter
        found = ({"", "*"} & set(groups), {"secrets", "*"} & set(resources), _VERBS & set(verbs))
        unread = [any(opaque(item) for item in items(part)) for part in parts.values()]
        if all(found) and not unread[-1]:
            yield f"rules[{index}]: it reads or changes every secret of its scope"
        elif all(known or open_ for known, open_ in zip(found, unread[:3], strict=True)):
            yield Undecided(f"rules[{index}]")


RULES = (
    Rule(
        number=52, name="rbac-every-secret", title="Nobody reads or changes every secret", severity=Severity.CRITICAL,
        source=("KSV-0041", "CKV2_K8S_5"), tags=("kubernetes", "rbac"), types=TYPES,
        remediation="Name the secrets in resourceNames, or leave secrets to the operator that delivers them.",
        link="https://kubernetes.io/docs/concepts/security/rbac-good-practices/#listing-secrets", check=every_secret,
    ),
)  # fmt: skip
