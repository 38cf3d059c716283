"""Secret rotation without downtime: a database user that lives for a short time, and what its application logs in with.

``application.py`` is the application: its pool replaces connections as its user is replaced, and no request fails.
"""

import pulumi
import pulumi_kubernetes as k8s

from components.vault.database_engine import VaultDatabaseEngine
from components.vault.kubernetes_auth import VaultKubernetesAuth
from components.vault.kubernetes_role import VaultKubernetesRole
from components.vault.policies import VaultPolicy

config = pulumi.Config()
database = config.require("databaseName")

auth = VaultKubernetesAuth(
    "auth",
    {
        "kubernetes_host": config.require("kubernetesHost"),
        "ca_certificate": config.get("kubernetesCaCertificate") or "",
        "reviewer": config.require("vaultReviewer"),
    },
)
engine = VaultDatabaseEngine(
    "database",
    {
        "connection_name": database,
        "host": config.require("databaseHost"),
        "port": config.require_int("databasePort"),
        "database": database,
        "username": config.require("databaseUser"),
        "password": config.require_secret("databasePassword"),
        "ssl_mode": config.require("databaseSslMode"),
        "allow_unencrypted": config.require_bool("allowUnencryptedDatabase"),
        "roles": [{"name": "app-readwrite", "default_ttl": "6s", "max_ttl": "12s"}],  # an hour in real life
    },
)
namespace = k8s.core.v1.Namespace("production", metadata={"name": "production"})
k8s.core.v1.ServiceAccount("payment-api", metadata={"name": "payment-api", "namespace": namespace.metadata["name"]})
policy = VaultPolicy("payment-api", {"policy_name": "payment-api", "rules": [engine.reader("app-readwrite")]})
login = VaultKubernetesRole(
    "payment-api",
    {
        "auth_mount": auth.ready,
        "role_name": "payment-api",
        "namespace": "production",
        "service_account": "payment-api",
        "policies": [policy.policy_name],
        "audience": "vault",
    },
)
pulumi.export("role", login.role_name)
