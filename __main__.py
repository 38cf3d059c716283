"""The stack: configuration, platform, workloads, outputs."""

import pulumi

from components import config
from components.platform import SecretPlatform
from components.workload import Workload

settings = config.load()

platform = SecretPlatform(
    "platform", settings.platform(database_password=pulumi.Config().require_secret("databasePassword"))
)

workloads = [
    Workload(
        entry.component_name,
        {
            "platform": platform,
            "workload_name": entry.name,
            "namespace": entry.namespace,
            "secrets": entry.secret_args(),
            "token_ttl": settings.vault_token_ttl,
            **({"image": entry.image} if entry.image else {}),
        },
        entry.options(),
    )
    for entry in settings.workloads
]

pulumi.export("deliveries", [delivery for workload in workloads for delivery in workload.deliveries])
pulumi.export("roles", {"database": platform.database.mount, "kv": platform.kv.mount, "login": platform.auth.mount})
