"""Sealed Secrets: what is in git, and in this stack's state, only the controller of one cluster can open.

The commands for files in a repository are in docs/sealed-secrets.md.
"""

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.kubernetes.sealed_secret import SealedSecret
from components.kubernetes.sealed_secrets_controller import SealedSecretsController

config = pulumi.Config()
controller = SealedSecretsController("sealed-secrets", {"key_period": "720h"})
namespace = k8s.core.v1.Namespace("production", metadata={"name": "production"})
api_key = random.RandomPassword("api-key", length=32, special=False)

secret = SealedSecret(
    "my-secret",
    {
        "namespace": "production",
        "secret_name": "my-secret",
        "data": {"API_KEY": api_key.result},
        "certificate": config.require("sealingCertificate"),
    },
    pulumi.ResourceOptions(depends_on=[controller, namespace]),
)
pulumi.export("secrets", [secret.secret_name])
