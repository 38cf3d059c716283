"""External Secrets Operator with Vault: a database user of the workload's own, and a KV secret, as Kubernetes Secrets.

User name and password come from one lease: a VaultDynamicSecret generator reads both at once. It is replaced every 45
minutes of its hour, and the old user works until its lease ends, so the pods have time to follow.
"""

import pulumi

from components.platform import SecretPlatform
from components.workload import Workload

config = pulumi.Config()
database = config.require("databaseName")

platform = SecretPlatform(
    "platform",
    {
        "account": {"account_id": config.require("awsAccountId"), "region": config.require("awsRegion")},
        "cluster": {"issuer": config.require("clusterIssuer")},
        "vault": {
            "address": config.require("vaultAddress"),
            "ca_certificate": config.get("vaultCaCertificate") or "",
        },
        "audit_file": "",  # this Vault's own configuration declares an audit device; leave it out where yours has none
        "namespaces": ["production"],
        "database": {
            "connection_name": database,
            "host": config.require("databaseHost"),
            "port": config.require_int("databasePort"),
            "database": database,
            "username": config.require("databaseUser"),
            "password": config.require_secret("databasePassword"),
            "ssl_mode": config.require("databaseSslMode"),
            "allow_unencrypted": config.require_bool("allowUnencryptedDatabase"),
            "roles": [{"name": "app-readwrite", "default_ttl": "1h", "max_ttl": "24h"}],
        },
        "kubernetes_auth": {
            "kubernetes_host": config.require("kubernetesHost"),
            "ca_certificate": config.get("kubernetesCaCertificate") or "",
            "reviewer": config.require("vaultReviewer"),
        },
    },
)
payment_api = Workload(
    "payment-api",
    {
        "platform": platform,
        "workload_name": "payment-api",
        "namespace": "production",
        "secrets": [
            {"name": "db-creds", "database_role": "app-readwrite", "refresh_interval": "45m"},
            {"name": "app-config", "kv_path": "production/payment-api", "generate": ["API_KEY"]},
        ],
    },
)
pulumi.export("secrets", [delivery["secret"] for delivery in payment_api.deliveries])
