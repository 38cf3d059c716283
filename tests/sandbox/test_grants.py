"""Who may log in, and that a login reads what was granted and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import botocore
import hvac
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.sandbox.dev_stack import DevStack

pytestmark = pytest.mark.sandbox
ROLE = "production-payment-api"
ISSUED_FOR_API = "https://kubernetes.default.svc"


def vault_login(dev: DevStack, token: str) -> Any:
    api = hvac.Client(url=dev.endpoints.vault.address, verify=dev.endpoints.vault.ca_file, timeout=60)
    api.auth.kubernetes.login(role=ROLE, jwt=token)
    return api


def assume(dev: DevStack, token: str) -> dict[str, str]:
    """Exchange a web identity token at STS, which needs no credentials of its own."""
    aws = dev.endpoints.aws
    sts = boto3.client(
        "sts",
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        config=Config(signature_version=botocore.UNSIGNED),
    )
    arn = f"arn:aws:iam::{aws.account_id}:role/{ROLE}"
    answer = sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="test", WebIdentityToken=token)
    found: Any = answer["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


def as_workload(dev: DevStack, service: str) -> Any:
    aws = dev.endpoints.aws
    credentials = assume(dev, dev.token("payment-api", audience="sts.amazonaws.com"))
    return boto3.client(service, endpoint_url=aws.endpoint_url, region_name=aws.region, **credentials)  # type: ignore[call-overload]


def refused_by_vault(dev: DevStack, token: str) -> None:
    with pytest.raises(
        (hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest, hvac.exceptions.InternalServerError)
    ):
        vault_login(dev, token)


def refused_by_sts(dev: DevStack, token: str) -> None:
    with pytest.raises(ClientError) as caught:
        assume(dev, token)
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "InvalidIdentityToken")


SYSTEMS = [
    pytest.param(refused_by_vault, "vault", id="vault"),
    pytest.param(refused_by_sts, "sts.amazonaws.com", id="sts"),
]
Refused = Callable[[DevStack, str], None]


@pytest.mark.parametrize(("refused", "audience"), SYSTEMS)
def test_another_service_account_is_refused(dev: DevStack, refused: Refused, audience: str) -> None:
    refused(dev, dev.token("reports", audience=audience))


@pytest.mark.parametrize(("refused", "audience"), SYSTEMS)
def test_the_same_name_in_another_namespace_is_refused(dev: DevStack, refused: Refused, audience: str) -> None:
    with dev.service_account("payment-api", "staging"):
        refused(dev, dev.token("payment-api", namespace="staging", audience=audience))


@pytest.mark.parametrize(("refused", "audience"), SYSTEMS)
def test_a_token_for_another_audience_is_refused(dev: DevStack, refused: Refused, audience: str) -> None:
    refused(dev, dev.token("payment-api", audience=ISSUED_FOR_API))
    other = "vault" if audience != "vault" else "sts.amazonaws.com"
    refused(dev, dev.token("payment-api", audience=other))


@pytest.mark.parametrize(("refused", "audience"), SYSTEMS)
def test_a_token_with_a_changed_signature_is_refused(dev: DevStack, refused: Refused, audience: str) -> None:
    token = dev.token("payment-api", audience=audience)
    head, _, signature = token.rpartition(".")
    refused(dev, f"{head}.{signature[::-1]}")


def test_the_workload_reads_its_own_paths_in_vault(dev: DevStack) -> None:
    api = vault_login(dev, dev.token("payment-api", audience="vault"))
    assert set(api.read("secret/data/production/payment-api")["data"]["data"]) == {"API_KEY", "SIGNING_KEY"}
    assert api.read("database/creds/app-readwrite")["data"]["username"]
    assert api.auth.token.lookup_self()["data"]["ttl"] <= 120
    api.auth.token.revoke_self()


@pytest.mark.parametrize(
    "path",
    [
        "secret/data/production/reports",
        "secret/data/production/payment-api-2",
        "database/creds/app-readonly",
        "database/config/myapp",
        "sys/mounts",
        "sys/policies/acl/production-payment-api",
        "auth/kubernetes/role/production-payment-api",
    ],
)
def test_the_workload_reads_nothing_else_in_vault(dev: DevStack, path: str) -> None:
    api = vault_login(dev, dev.token("payment-api", audience="vault"))
    with pytest.raises(hvac.exceptions.Forbidden):
        api.read(path)
    api.auth.token.revoke_self()


def test_the_workload_neither_lists_nor_writes_in_vault(dev: DevStack) -> None:
    api = vault_login(dev, dev.token("payment-api", audience="vault"))
    for attempt in (
        lambda: api.list("secret/metadata/production"),
        lambda: api.secrets.kv.v2.create_or_update_secret("production/payment-api", {"A": "b"}),
        lambda: api.secrets.kv.v2.delete_metadata_and_all_versions("production/payment-api"),
    ):
        with pytest.raises(hvac.exceptions.Forbidden):
            attempt()
    api.auth.token.revoke_self()


def test_the_workload_reads_its_own_secret_in_secrets_manager(dev: DevStack) -> None:
    assert as_workload(dev, "secretsmanager").get_secret_value(SecretId="production/payment-api")["SecretString"]


def test_the_workload_does_nothing_else_in_aws(dev: DevStack) -> None:
    secrets, iam, kms = (as_workload(dev, service) for service in ("secretsmanager", "iam", "kms"))
    for attempt in (
        lambda: secrets.get_secret_value(SecretId="production/reports"),
        lambda: secrets.put_secret_value(SecretId="production/payment-api", SecretString="{}"),
        lambda: secrets.delete_secret(SecretId="production/payment-api"),
        secrets.list_secrets,
        iam.list_roles,
        kms.list_keys,
    ):
        with pytest.raises(ClientError) as caught:
            attempt()
        assert "AccessDenied" in caught.value.response["Error"]["Code"]


def test_the_operator_makes_tokens_of_declared_service_accounts_only(dev: DevStack) -> None:
    operator = "system:serviceaccount:external-secrets:external-secrets"

    def may(account: str, namespace: str) -> bool:
        subresource = ["create", f"serviceaccounts/{account}", "--subresource=token", "-n", namespace, "--as", operator]
        return dev.answers("auth", "can-i", *subresource)

    assert may("payment-api", "production")
    assert not may("default", "production")
    assert not may("default", "kube-system")
