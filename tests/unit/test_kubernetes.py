"""The operator's values, the stores and the ExternalSecrets as they are sent to the cluster."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from components.errors import ArgumentError, LifetimeError
from components.kubernetes.external_secrets import (
    DatabaseExternalSecret,
    DatabaseExternalSecretArgs,
    KvExternalSecret,
    SecretsManagerExternalSecret,
    database_url,
)
from components.kubernetes.external_secrets_operator import (
    ExternalSecretsOperator,
    ServiceAccountTokenGrant,
    chart_values,
)
from components.kubernetes.secret_stores import AwsSecretStore, VaultLoginArgs, VaultSecretStore, vault_provider

LOGIN: VaultLoginArgs = {
    "address": "https://vault.internal:8200",
    "ca_certificate": "PEM",
    "auth_mount": "kubernetes",
    "role_name": "production-payment-api",
    "service_account": "payment-api",
    "audiences": ["vault"],
}
AUTH = {
    "kubernetes": {
        "mountPath": "kubernetes",
        "role": "production-payment-api",
        "serviceAccountRef": {"name": "payment-api", "audiences": ["vault"]},
    }
}
READY = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "180"}


def database(**more: Any) -> DatabaseExternalSecretArgs:
    args: DatabaseExternalSecretArgs = {
        "namespace": "production",
        "secret_name": "db-creds",
        "login": LOGIN,
        "mount": "database",
        "role": "app-readwrite",
        "url": database_url("postgres.internal", 5432, "myapp", "verify-full"),
        "lease_ttl": "1h",
        "token_ttl": "1h",
        "refresh_interval": "45m",
        "rollout_time": "10m",
    }
    return {**args, **more}  # type: ignore[typeddict-item]


def test_the_operator_is_highly_available_and_makes_no_tokens_of_other_accounts(deploy: Any) -> None:
    release = deploy(lambda: ExternalSecretsOperator("eso", {})).one("Release")
    assert (release["chart"], release["version"]) == ("external-secrets", "2.9.0")
    assert release["repositoryOpts"] == {"repo": "https://charts.external-secrets.io"}
    assert (release["namespace"], release["createNamespace"]) == ("external-secrets", True)
    values = release["values"]
    assert values["rbac"] == {"create": True, "serviceAccountTokenCreate": False}
    assert (values["replicaCount"], values["leaderElect"]) == (2, True)
    assert values["podDisruptionBudget"] == {"enabled": True, "minAvailable": 1}
    assert values["metrics"] == {"service": {"enabled": True}}
    assert not any(values[f"process{kind}"] for kind in ("ClusterStore", "ClusterExternalSecret", "PushSecret"))


def test_only_webhook_calls_and_scrapes_reach_the_operator(deploy: Any) -> None:
    policy = deploy(lambda: ExternalSecretsOperator("eso", {})).one("NetworkPolicy")
    assert policy["metadata"]["namespace"] == "external-secrets"
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert [port["port"] for port in policy["spec"]["ingress"][0]["ports"]] == [10250, 8080]
    assert deploy(lambda: ExternalSecretsOperator("eso", {"no_network_policy": True})).of("NetworkPolicy") == []


def test_what_reaches_further_is_asked_for_by_name() -> None:
    values = chart_values({"allow_cluster_stores": True, "allow_push_secrets": True})
    assert values["processClusterStore"]
    assert values["processClusterPushSecret"]
    assert chart_values({"allow_any_service_account_token": True})["rbac"]["serviceAccountTokenCreate"]
    scoped = chart_values({"only_namespace": "production"})
    assert (scoped["scopedNamespace"], scoped["scopedRBAC"]) == ("production", True)
    with pytest.raises(ArgumentError, match="only_namespace, allow_cluster_stores"):
        chart_values({"only_namespace": "production", "allow_cluster_stores": True})
    with pytest.raises(ArgumentError, match="replicas: 0"):
        chart_values({"replicas": 0})


def test_a_token_grant_names_one_service_account(deploy: Any) -> None:
    program = deploy(
        lambda: ServiceAccountTokenGrant(
            "grant",
            {
                "namespace": "production",
                "service_account": "payment-api",
                "operator_namespace": "external-secrets",
                "operator_service_account": "external-secrets",
            },
        )
    )
    assert program.one("Role")["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["serviceaccounts/token"],
            "resourceNames": ["payment-api"],
            "verbs": ["create"],
        }
    ]
    subject = {"kind": "ServiceAccount", "name": "external-secrets", "namespace": "external-secrets"}
    assert program.one("RoleBinding")["subjects"] == [subject]


def test_a_vault_store_logs_in_as_the_workload_with_vault_s_audience(deploy: Any) -> None:
    store = deploy(
        lambda: VaultSecretStore("s", {"namespace": "production", "login": LOGIN, "kv_mount": "secret"})
    ).one("SecretStore")
    assert store["apiVersion"] == "external-secrets.io/v1"
    assert store["metadata"] == {"name": "vault", "namespace": "production", "annotations": READY}
    assert store["spec"]["provider"]["vault"] == {
        "server": "https://vault.internal:8200",
        "caBundle": base64.b64encode(b"PEM").decode(),
        "path": "secret",
        "version": "v2",
        "auth": AUTH,
    }


def test_an_aws_store_uses_the_workload_s_service_account(deploy: Any) -> None:
    args: Any = {"namespace": "production", "region": "eu-central-1", "service_account": "payment-api"}
    store = deploy(lambda: AwsSecretStore("s", args)).one("SecretStore")
    assert store["spec"]["provider"]["aws"] == {
        "service": "SecretsManager",
        "region": "eu-central-1",
        "auth": {"jwt": {"serviceAccountRef": {"name": "payment-api"}}},
    }


@pytest.mark.parametrize(
    ("more", "message"), [({"address": "http://vault"}, "address: "), ({"audiences": []}, "audiences: ")]
)
def test_a_login_in_the_clear_or_without_audience_is_refused(more: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        vault_provider({**LOGIN, **more})


def test_user_name_and_password_come_from_one_lease(deploy: Any) -> None:
    program = deploy(lambda: DatabaseExternalSecret("db", database()))
    generator = program.one("VaultDynamicSecret")
    assert generator["apiVersion"] == "generators.external-secrets.io/v1alpha1"
    assert generator["spec"]["path"] == "database/creds/app-readwrite"
    assert generator["spec"]["provider"]["auth"] == AUTH
    secret = program.one("ExternalSecret")
    reference = {
        "apiVersion": "generators.external-secrets.io/v1alpha1",
        "kind": "VaultDynamicSecret",
        "name": "db-creds",
    }
    assert secret["metadata"] == {"name": "db-creds", "namespace": "production", "annotations": READY}
    assert secret["spec"] == {
        "refreshPolicy": "Periodic",
        "refreshInterval": "45m0s",
        "dataFrom": [{"sourceRef": {"generatorRef": reference}}],
        "target": {
            "name": "db-creds",
            "creationPolicy": "Owner",
            "template": {
                "engineVersion": "v2",
                "metadata": {"annotations": {"reloader.stakater.com/match": "true"}},
                "data": {
                    "username": "{{ .username }}",
                    "password": "{{ .password }}",
                    "DATABASE_URL": "postgresql://{{ .username | urlquery }}:{{ .password | urlquery }}"
                    "@postgres.internal:5432/myapp?sslmode=verify-full",
                },
            },
        },
    }


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"refresh_interval": "55m"}, "refresh_interval '55m' and rollout_time '10m'.*default_ttl '1h'"),
        ({"token_ttl": "30m"}, "token_ttl '30m'.*default_ttl '1h'"),
    ],
)
def test_lifetimes_that_do_not_fit_are_refused_naming_both(more: Any, message: str, deploy: Any) -> None:
    with pytest.raises(LifetimeError, match=message):
        deploy(lambda: DatabaseExternalSecret("db", database(**more)))


@pytest.mark.parametrize("component", [KvExternalSecret, SecretsManagerExternalSecret])
def test_a_stored_secret_is_delivered_with_all_its_keys(component: Any, deploy: Any) -> None:
    args = {
        "namespace": "production",
        "secret_name": "app-config",
        "store_name": "vault",
        "key": "production/payment-api",
    }
    secret = deploy(lambda: component("kv", args)).one("ExternalSecret")
    assert secret["spec"]["dataFrom"] == [{"extract": {"key": "production/payment-api"}}]
    assert secret["spec"]["secretStoreRef"] == {"kind": "SecretStore", "name": "vault"}
    assert secret["spec"]["refreshInterval"] == "15m0s"
    assert secret["metadata"]["annotations"] == READY
    later = deploy(lambda: component("kv", {**args, "wait": False})).one("ExternalSecret")
    assert "annotations" not in later["metadata"]
