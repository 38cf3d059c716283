"""The Vault Agent Injector: credentials as files in the pod, renewed while it runs. Nothing of them reaches etcd.

The platform's part is the injector, the engines and one login role. The application team's Deployment is its own code: a
transform adds the annotations.
"""

import pulumi
import pulumi_kubernetes as k8s

from components.vault.agent_injection import inject
from components.vault.agent_injector import VaultAgentInjector
from components.vault.database_engine import VaultDatabaseEngine
from components.vault.inject_transform import inject_transform
from components.vault.kubernetes_auth import VaultKubernetesAuth
from components.vault.kubernetes_role import VaultKubernetesRole
from components.vault.kv import VaultKv, VaultKvSecret
from components.vault.policies import VaultPolicy

config = pulumi.Config()
address = config.require("vaultAddress")
host, port, database = (
    config.require("databaseHost"),
    config.require_int("databasePort"),
    config.require("databaseName"),
)

# -- the platform ------------------------------------------------------------------------------------------------------
injector = VaultAgentInjector(
    "injector",
    {"vault_address": address, "vault_ca": config.get("vaultCaCertificate") or "", "namespaces": ["production"]},
)
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
        "host": host,
        "port": port,
        "database": database,
        "username": config.require("databaseUser"),
        "password": config.require_secret("databasePassword"),
        "ssl_mode": config.require("databaseSslMode"),
        "allow_unencrypted": config.require_bool("allowUnencryptedDatabase"),
        "roles": [{"name": "app-readwrite", "default_ttl": "1h", "max_ttl": "24h"}],
    },
)
kv = VaultKv("kv", {})
settings = VaultKvSecret(
    "settings", {"mount": kv.mount_path, "path": "production/payment-api", "value": {"FEATURE": "on"}}
)
namespace = k8s.core.v1.Namespace("production", metadata={"name": "production"})
account = k8s.core.v1.ServiceAccount(
    "payment-api", metadata={"name": "payment-api", "namespace": namespace.metadata["name"]}
)
policy = VaultPolicy(
    "payment-api",
    {"policy_name": "payment-api", "rules": [engine.reader("app-readwrite"), kv.reader("production/payment-api")]},
)
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

# -- the application team ----------------------------------------------------------------------------------------------
injection = (
    inject("payment-api", audience="vault")
    .database("db-creds", role="app-readwrite", host=host, port=port, database=database, mode="0440")
    .kv("app-config", path="production/payment-api")
)
labels = {"app": "payment-api"}
k8s.apps.v1.Deployment(
    "payment-api",
    metadata={"name": "payment-api", "namespace": namespace.metadata["name"]},
    spec={
        "selector": {"match_labels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "service_account_name": account.metadata["name"],
                "containers": [
                    {
                        "name": "app",
                        "image": "registry.example.com/payment-api:v1.0.0",
                        "command": ["/bin/sh", "-c", ". /vault/secrets/db-creds && exec ./payment-api"],
                    }
                ],
            },
        },
    },
    opts=pulumi.ResourceOptions(
        depends_on=[injector, login, settings], transformations=[inject_transform(injection, match="payment-api")]
    ),
)
pulumi.export("files", ["/vault/secrets/db-creds", "/vault/secrets/app-config"])
