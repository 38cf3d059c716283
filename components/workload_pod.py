"""A workload's pod: what the agent renders into it, and the Deployment that runs it where the kit is asked for one."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.durations import parse_duration
from components.errors import ArgumentError
from components.platform import SecretPlatform
from components.vault.agent_injection import SECRETS_FOLDER, Injection, inject
from components.vault.kubernetes_auth import ReviewerMode
from components.workload_secrets import WorkloadSecretArgs

FILES_GROUP = 2000


def check_platform(workload: str, platform: SecretPlatform) -> None:
    """Raises ArgumentError where the delivery `agent` cannot work on this platform."""
    if platform.injector is None:
        raise ArgumentError(
            f"{workload}: delivery: 'agent' needs the Vault Agent Injector; give the platform `injector`"
        )
    if platform.auth.reviewer is ReviewerMode.CLIENT:
        raise ArgumentError(
            f"{workload}: delivery: an agent's token has one audience, Vault's, with which it cannot review itself at the "
            "API server; use the reviewer local or service-account"
        )


def injection_of(platform: SecretPlatform, login_role: str, secrets: Sequence[WorkloadSecretArgs]) -> Injection:
    """What the agent does for these secrets, all of the delivery `agent`. Raises ArgumentError.

    An agent reads all static values at one interval: the shortest of their ``refresh_interval``.
    """
    database = platform.database
    intervals = [secret["refresh_interval"] for secret in secrets if "refresh_interval" in secret]
    injection = inject(
        login_role,
        auth_path=f"auth/{platform.auth.mount}",
        address=platform.vault["address"],
        audience=platform.audiences[0],
        static_interval=min(intervals, key=lambda text: parse_duration(text, "refresh_interval"), default=None),
    )
    for secret in secrets:
        options: dict[str, Any] = {
            "template": secret.get("template"),
            "mode": secret.get("file_mode"),
            "command": secret.get("command"),
        }
        if "database_role" in secret:
            injection = injection.database(
                secret["name"],
                role=secret["database_role"],
                mount=database.mount,
                host=database.host,
                port=database.port,
                database=database.database,
                ssl_mode=database.ssl_mode.value,
                **options,
            )
        else:
            injection = injection.kv(secret["name"], path=secret["kv_path"], mount=platform.kv.mount, **options)
    return injection


def target_of(secret: WorkloadSecretArgs) -> str:
    """Where the application finds the agent's file."""
    return f"{SECRETS_FOLDER}/{secret['name']}"


def deployment(
    name: str,
    *,
    workload: str,
    namespace: pulumi.Input[str],
    service_account: pulumi.Input[str],
    image: str,
    injection: Injection | None,
    secret_names: Sequence[pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> k8s.apps.v1.Deployment:
    """One replica of one container, with the agent's annotations and each Kubernetes Secret as files below /secrets."""
    labels = {"app.kubernetes.io/name": workload}
    mounts: list[Any] = []
    volumes: list[Any] = []
    for at, secret in enumerate(secret_names):
        volumes.append({"name": f"secret-{at}", "secret": {"secret_name": secret}})
        path = pulumi.Output.concat("/secrets/", secret)
        mounts.append({"name": f"secret-{at}", "mount_path": path, "read_only": True})
    annotations = injection.annotations() if injection is not None else {}
    volumes += injection.volumes() if injection is not None else []
    container = {
        "name": "app",
        "image": image,
        "volume_mounts": mounts,
        "security_context": {"allow_privilege_escalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: dict[str, Any] = {"service_account_name": service_account, "containers": [container], "volumes": volumes}
    if injection is not None:  # the agent's files get this group, so its user's and the application's may differ
        spec["security_context"] = {"fs_group": FILES_GROUP}
    return k8s.apps.v1.Deployment(
        name,
        metadata={"name": workload, "namespace": namespace, "labels": labels},
        spec={
            "replicas": 1,
            "selector": {"match_labels": labels},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        },
        opts=opts,
    )
