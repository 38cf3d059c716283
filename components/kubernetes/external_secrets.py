"""ExternalSecrets: a dynamic database credential, a KV secret, a Secrets Manager secret, each as one Kubernetes Secret."""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.durations import go_duration, parse_duration
from components.kubernetes.secret_stores import API_VERSION, VaultLoginArgs, vault_provider, waiting
from components.lifetimes import check_rotation, check_token
from components.names import dns_name, vault_name, vault_path

GENERATORS_API_VERSION = "generators.external-secrets.io/v1alpha1"
RELOADER = {"reloader.stakater.com/match": "true"}
STATIC_REFRESH = "15m"


class DatabaseExternalSecretArgs(TypedDict):
    """Arguments of DatabaseExternalSecret."""

    namespace: pulumi.Input[str]
    """Where the Secret is made."""
    secret_name: str
    """The Secret's name, such as `db-creds`."""
    login: VaultLoginArgs
    """How the operator logs in for the workload."""
    mount: pulumi.Input[str]
    """The database engine's mount."""
    role: str
    """The dynamic role."""
    url: str
    """The template of DATABASE_URL; see `database_url`."""
    lease_ttl: str
    """The role's default TTL."""
    token_ttl: str
    """The TTL of the login's token; at least `lease_ttl`, since the lease ends with the token."""
    refresh_interval: str
    """How often a new credential is taken; with `rollout_time` less than `lease_ttl`."""
    rollout_time: str
    """How long pods may take to use the new credential."""
    restart_on_change: NotRequired[bool]
    """Mark the Secret for Reloader (`reloader.stakater.com/match`), which restarts its pods; default true."""


class DatabaseExternalSecret(pulumi.ComponentResource):
    """A database user of the workload's own, replaced at each refresh: keys `username`, `password`, `DATABASE_URL`.

    One VaultDynamicSecret generator reads both from one lease; two remoteRefs would read two leases, whose user name and
    password do not belong together. Nothing revokes the old lease, so it ends by its own TTL, after the rollout.
    Raises LifetimeError, ArgumentError. Source: https://external-secrets.io/latest/api/generator/vault/
    """

    secret_name: pulumi.Output[str]
    """The Secret's name, once it is there."""

    def __init__(self, name: str, args: DatabaseExternalSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:DatabaseExternalSecret", name, {}, opts)
        secret_name = dns_name(args["secret_name"], "secret_name")
        check_rotation(
            refresh_interval=args["refresh_interval"],
            rollout_time=args["rollout_time"],
            lease_ttl=args["lease_ttl"],
            of=secret_name,
        )
        check_token(token_ttl=args["token_ttl"], lease_ttl=args["lease_ttl"], of=secret_name)
        role = vault_name(args["role"], "role")
        generator = k8s.apiextensions.CustomResource(
            f"{name}-generator",
            api_version=GENERATORS_API_VERSION,
            kind="VaultDynamicSecret",
            metadata={"name": secret_name, "namespace": args["namespace"]},
            spec={
                "path": pulumi.Output.concat(args["mount"], "/creds/", role),
                "method": "GET",
                "resultType": "Data",
                "provider": vault_provider(args["login"]),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        reference = {"apiVersion": GENERATORS_API_VERSION, "kind": "VaultDynamicSecret", "name": secret_name}
        data = {"username": "{{ .username }}", "password": "{{ .password }}", "DATABASE_URL": args["url"]}
        self.secret_name = _external_secret(
            f"{name}-external-secret",
            namespace=args["namespace"],
            secret_name=secret_name,
            refresh_interval=args["refresh_interval"],
            source={"dataFrom": [{"sourceRef": {"generatorRef": reference}}]},
            data=data,
            restart=args.get("restart_on_change", True),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[generator]),
        )
        self.register_outputs({"secretName": self.secret_name})


class StoredExternalSecretArgs(TypedDict):
    """Arguments of KvExternalSecret and SecretsManagerExternalSecret."""

    namespace: pulumi.Input[str]
    """Where the Secret is made."""
    secret_name: str
    """The Secret's name."""
    store_name: pulumi.Input[str]
    """The SecretStore of that namespace."""
    key: str
    """The KV path below the mount, without `data/`, or the name of the secret in Secrets Manager."""
    refresh_interval: NotRequired[str]
    """How often it is read; default `15m`."""
    restart_on_change: NotRequired[bool]
    """Mark the Secret for Reloader, which restarts its pods; default true."""
    wait: NotRequired[bool]
    """`up` waits until the value is delivered; false where something else writes the value later; default true."""


class KvExternalSecret(pulumi.ComponentResource):
    """Every key of one KV secret, as one Secret. Raises ArgumentError, DurationError."""

    secret_name: pulumi.Output[str]
    """The Secret's name, once it is there."""

    def __init__(self, name: str, args: StoredExternalSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:KvExternalSecret", name, {}, opts)
        vault_path(args["key"], "key")
        self.secret_name = _stored(self, name, args)
        self.register_outputs({"secretName": self.secret_name})


class SecretsManagerExternalSecret(pulumi.ComponentResource):
    """Every key of one JSON secret in Secrets Manager, as one Secret. Raises ArgumentError, DurationError."""

    secret_name: pulumi.Output[str]
    """The Secret's name, once it is there."""

    def __init__(self, name: str, args: StoredExternalSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:kubernetes:SecretsManagerExternalSecret", name, {}, opts)
        self.secret_name = _stored(self, name, args)
        self.register_outputs({"secretName": self.secret_name})


def database_url(host: str, port: int, database: str, ssl_mode: str) -> str:
    """The template of DATABASE_URL; user name and password are escaped for a URL."""
    user = "{{ .username | urlquery }}:{{ .password | urlquery }}"
    return f"postgresql://{user}@{host}:{port}/{database}?sslmode={ssl_mode}"


def _stored(parent: pulumi.Resource, name: str, args: StoredExternalSecretArgs) -> pulumi.Output[str]:
    return _external_secret(
        f"{name}-external-secret",
        namespace=args["namespace"],
        secret_name=args["secret_name"],
        refresh_interval=args.get("refresh_interval", STATIC_REFRESH),
        source={
            "secretStoreRef": {"kind": "SecretStore", "name": args["store_name"]},
            "dataFrom": [{"extract": {"key": args["key"]}}],
        },
        restart=args.get("restart_on_change", True),
        wait=args.get("wait", True),
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _external_secret(
    name: str,
    *,
    namespace: pulumi.Input[str],
    secret_name: str,
    refresh_interval: str,
    source: dict[str, Any],
    restart: bool,
    data: dict[str, str] | None = None,
    wait: bool = True,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    target: dict[str, Any] = {"name": dns_name(secret_name, "secret_name"), "creationPolicy": "Owner"}
    template: dict[str, Any] = {}
    if restart:
        template["metadata"] = {"annotations": RELOADER}
    if data is not None:
        template["data"] = data
    if template:
        target["template"] = {"engineVersion": "v2", **template}
    resource = k8s.apiextensions.CustomResource(
        name,
        api_version=API_VERSION,
        kind="ExternalSecret",
        metadata={
            "name": secret_name,
            "namespace": namespace,
            **({"annotations": waiting()} if wait else {}),
        },
        spec={
            "refreshPolicy": "Periodic",
            "refreshInterval": go_duration(parse_duration(refresh_interval, "refresh_interval")),
            "target": target,
            **source,
        },
        opts=opts,
    )
    ready: pulumi.Output[str] = resource.metadata["name"]
    return ready
