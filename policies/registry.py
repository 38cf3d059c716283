"""All rules: by area for the catalogue, in the order of their numbers, and by name."""

from __future__ import annotations

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

VERSION = "0.1.0"  # of the rules, as in PulumiPolicy.yaml
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
