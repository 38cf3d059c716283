"""Everything that the dev stack makes, as the servers themselves list it: names only, never a value."""

from __future__ import annotations

import json
from typing import Any

import boto3
import hvac
import psycopg

from tests.sandbox.dev_stack import DevStack

KINDS = (
    "namespaces,serviceaccounts,secrets,roles,rolebindings,clusterroles,clusterrolebindings,deployments,services,networkpolicies,"
    "customresourcedefinitions"
)
DELIVERY_KINDS = (
    "externalsecrets.external-secrets.io,secretstores.external-secrets.io,"
    "vaultdynamicsecrets.generators.external-secrets.io"
)


def client(dev: DevStack, service: str) -> Any:
    """The administrator's client of one AWS service."""
    aws = dev.endpoints.aws
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
    )


def vault(dev: DevStack) -> Any:
    """The administrator's client of Vault."""
    endpoint = dev.endpoints.vault
    return hvac.Client(url=endpoint.address, token=endpoint.token, verify=endpoint.ca_file, timeout=60)


def _listed(api: Any, path: str) -> list[str]:
    answer = api.list(path)
    return list(answer["data"]["keys"]) if answer else []


def leases(dev: DevStack, prefix: str = "database/creds/") -> list[str]:
    """The lease ids below a prefix."""
    api = vault(dev)
    found: list[str] = []
    folders = [prefix]
    while folders:
        folder = folders.pop()
        for key in _listed(api, f"sys/leases/lookup/{folder}"):
            (folders if key.endswith("/") else found).append(folder + key)
    return found


def in_vault(dev: DevStack) -> set[str]:
    api = vault(dev)
    mounts = api.sys.list_mounted_secrets_engines()["data"]
    found = {f"mount {path}" for path in mounts}
    found |= {f"auth {path}" for path in api.sys.list_auth_methods()["data"]}
    found |= {f"policy {name}" for name in api.sys.list_policies()["data"]["policies"]}
    if "auth kubernetes/" in found:
        found |= {f"login role {name}" for name in _listed(api, "auth/kubernetes/role")}
    if "database/" in mounts:
        found |= {f"connection {name}" for name in _listed(api, "database/config")}
        found |= {f"database role {name}" for name in _listed(api, "database/roles")}
    if "secret/" in mounts:
        found |= {f"kv {name}" for name in _listed(api, "secret/metadata/production")}
    return found


def database_users(dev: DevStack) -> set[str]:
    postgres = dev.endpoints.postgres
    with psycopg.connect(
        host=postgres.host,
        port=postgres.port,
        dbname="postgres",
        user=postgres.superuser,
        password=postgres.superuser_password,
    ) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%'").fetchall()
    return {f"user {row[0]}" for row in rows}


def in_aws(dev: DevStack) -> set[str]:
    iam, secrets, kms = (client(dev, service) for service in ("iam", "secretsmanager", "kms"))
    found = set()
    for role in iam.list_roles()["Roles"]:
        found.add(f"iam role {role['RoleName']}")
        inline = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        found |= {f"iam role {role['RoleName']} policy {name}" for name in inline}
    found |= {f"oidc {item['Arn']}" for item in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]}
    found |= {f"secret {item['Name']}" for item in secrets.list_secrets()["SecretList"]}
    found |= {f"alias {item['AliasName']}" for item in kms.list_aliases()["Aliases"]}
    for key in kms.list_keys(Limit=1000)["Keys"]:
        metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if metadata["KeyState"] != "PendingDeletion":  # a key cannot be deleted at once
            found.add(f"key {metadata['Description']} {key['KeyId']}")
    return found


def in_kubernetes(dev: DevStack) -> set[str]:
    kinds = KINDS
    served = dev.kubectl("api-resources", "--api-group=external-secrets.io", "-o", "name")
    if "externalsecrets" in served:
        kinds += f",{DELIVERY_KINDS}"
    items = json.loads(dev.kubectl("get", kinds, "-A", "-o", "json"))["items"]
    return {
        f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        for item in items
        if not item["metadata"]["name"].startswith(("system:", "kubeadm:"))
    }


def everything(dev: DevStack) -> set[str]:
    """All of it, without database users, which come and go with their leases."""
    return in_vault(dev) | in_aws(dev) | in_kubernetes(dev)
