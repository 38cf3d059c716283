"""All rules, and which of them are about a type."""

from __future__ import annotations

from functools import lru_cache

from policies.areas import (
    external_secrets,
    iam_permissions,
    iam_roles,
    iam_trust,
    kms,
    kubernetes_secrets,
    rbac,
    releases,
    secrets_manager,
    stores,
    vault_database,
    vault_kubernetes,
    vault_server,
)
from policies.rule import Rule

AREAS = {
    "IAM: trust": iam_trust.RULES,
    "IAM: permissions": (*iam_permissions.RULES, *iam_roles.RULES),
    "Secrets Manager": secrets_manager.RULES,
    "KMS": kms.RULES,
    "Vault": vault_server.RULES,
    "Vault: database engine": vault_database.RULES,
    "Vault: Kubernetes auth": vault_kubernetes.RULES,
    "External Secrets: stores": stores.RULES,
    "External Secrets: secrets": external_secrets.RULES,
    "Kubernetes": (*kubernetes_secrets.RULES, *rbac.RULES),
    "Helm": releases.RULES,
}
RULES: tuple[Rule, ...] = tuple(
    sorted((rule for rules in AREAS.values() for rule in rules), key=lambda rule: (rule.number, rule.name))
)
BY_NAME = {rule.name: rule for rule in RULES}
STACK_RULES = tuple(rule for rule in RULES if rule.check_stack is not None)


@lru_cache(maxsize=65536)
def of_type(resource_type: str) -> tuple[Rule, ...]:
    """The resource rules that are about a type."""
    return tuple(rule for rule in RULES if rule.check is not None and rule.applies(resource_type))


class RegistryError(Exception):
    """Two rules contradict each other: one name twice."""


def rules() -> tuple[Rule, ...]:
    """All rules, in the order of their numbers. Raises RegistryError where a name is given twice."""
    if len(BY_NAME) != len(RULES):
        twice = sorted(rule.name for rule in RULES if BY_NAME[rule.name] is not rule)
        raise RegistryError(f"rules: {', '.join(twice)} is given twice; a name is stable and belongs to one rule")
    return RULES
