"""Vault's policies to the letter, its engines and roles with their defaults, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from components.errors import ArgumentError, LifetimeError, UnsafeError
from components.vault.database_engine import VaultDatabaseEngine, VaultDatabaseEngineArgs
from components.vault.kubernetes_auth import ReviewerMode, VaultKubernetesAuth
from components.vault.kubernetes_role import VaultKubernetesRole, VaultKubernetesRoleArgs
from components.vault.kv import VaultKv, VaultKvSecret
from components.vault.policies import (
    Capability,
    VaultPolicy,
    read_database_credentials,
    read_kv,
    render_policy,
    write_kv,
)

SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # Pulumi's mark of a secret on the wire


def engine(**more: Any) -> VaultDatabaseEngineArgs:
    args: VaultDatabaseEngineArgs = {
        "connection_name": "myapp",
        "host": "postgres.internal",
        "database": "myapp",
        "username": "vault_admin",
        "password": "first",
        "roles": [{"name": "app-readwrite", "default_ttl": "1h", "max_ttl": "24h"}],
    }
    return {**args, **more}  # type: ignore[typeddict-item]


def test_a_policy_is_written_from_its_rules() -> None:
    rules = [read_kv("secret", "production/payment-api"), read_database_credentials("database", "app-readwrite")]
    assert render_policy(rules) == (
        'path "database/creds/app-readwrite" {\n  capabilities = ["read"]\n}\n'
        "\n"
        'path "secret/data/production/payment-api" {\n  capabilities = ["read"]\n}\n'
    )


def test_rules_of_one_path_become_one() -> None:
    assert render_policy([read_kv("secret", "a"), write_kv("secret", "a")]) == (
        'path "secret/data/a" {\n  capabilities = ["create", "read", "update"]\n}\n'
    )


@pytest.mark.parametrize("path", ["secret/data/*", "secret/+/a", "*"])
def test_a_wildcard_path_is_refused_unless_asked_for(path: str) -> None:
    with pytest.raises(UnsafeError, match="allow_wildcard=True"):
        render_policy([{"path": path, "capabilities": [Capability.READ]}])


def test_a_wildcard_that_was_asked_for_is_written_but_never_all_of_vault() -> None:
    rule: Any = {"path": "secret/data/team/*", "capabilities": ["read"], "allow_wildcard": True}
    assert '"secret/data/team/*"' in render_policy([rule])
    with pytest.raises(UnsafeError, match="all of Vault"):
        render_policy([{**rule, "path": "*"}])
    with pytest.raises(ArgumentError, match="not at its end"):
        render_policy([{**rule, "path": "secret/*/x"}])


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        ({"path": "sys/raw/x", "capabilities": ["read"]}, UnsafeError, "allow_sudo=True"),
        ({"path": "a/b", "capabilities": ["sudo"]}, UnsafeError, "allow_sudo=True"),
        ({"path": "a/b", "capabilities": []}, ArgumentError, "capabilities: none"),
        ({"path": "a/b", "capabilities": ["write"]}, ArgumentError, "'write'.*expected some of"),
        ({"path": 'a" {}', "capabilities": ["read"]}, ArgumentError, "path: "),
        ({"path": "/a", "capabilities": ["read"]}, ArgumentError, "path: "),
    ],
)
def test_an_operator_s_rule_or_a_malformed_one_is_refused(rule: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        render_policy([rule])


def test_an_empty_policy_is_refused(deploy: Any) -> None:
    with pytest.raises(ArgumentError, match="rules: "):
        deploy(lambda: VaultPolicy("p", {"policy_name": "p", "rules": []}))


def test_the_api_s_part_of_a_kv_path_is_refused() -> None:
    with pytest.raises(ArgumentError, match="without data/"):
        read_kv("secret", "data/production/payment-api")


def test_the_connection_allows_exactly_its_roles_and_its_password_is_write_only(deploy: Any) -> None:
    connection = deploy(lambda: VaultDatabaseEngine("db", engine())).one("SecretBackendConnection")
    assert connection["allowedRoles"] == ["app-readwrite"]
    assert SECRET_SIGNATURE in connection["postgresql"].values()
    postgresql = connection["postgresql"]["value"]
    assert "password" not in postgresql
    assert (postgresql["passwordWo"], postgresql["passwordWoVersion"]) == ("first", 1)
    url = "postgresql://{{username}}:{{password}}@postgres.internal:5432/myapp?sslmode=verify-full"
    assert postgresql["connectionUrl"] == url


def test_the_root_is_rotated_once_unless_that_is_declined_by_name(deploy: Any) -> None:
    rotation = deploy(lambda: VaultDatabaseEngine("db", engine())).one("Endpoint")
    assert rotation["path"] == "database/rotate-root/myapp"
    assert (rotation["disableRead"], rotation["disableDelete"]) == (True, True)
    kept = deploy(lambda: VaultDatabaseEngine("db", engine(keep_initial_password=True)))
    assert kept.of("Endpoint") == []


def test_a_user_ends_with_its_lease_and_its_sessions_with_it(deploy: Any) -> None:
    role = deploy(lambda: VaultDatabaseEngine("db", engine())).one("SecretBackendRole")
    assert (role["defaultTtl"], role["maxTtl"], role["dbName"]) == (3600, 86400, "myapp")
    assert role["creationStatements"] == [
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
        'GRANT CONNECT ON DATABASE "myapp" TO "{{name}}"',
        'GRANT USAGE ON SCHEMA "public" TO "{{name}}"',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "public" TO "{{name}}"',
        'GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA "public" TO "{{name}}"',
    ]
    (revocation,) = role["revocationStatements"]
    assert revocation.index("NOLOGIN") < revocation.index("pg_terminate_backend") < revocation.index("DROP ROLE")
    assert " END " in revocation  # without it the plugin splits the statement at its semicolons


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"ssl_mode": "disable"}, UnsafeError, "allow_unencrypted=True"),
        ({"ssl_mode": "prefer"}, ArgumentError, "ssl_mode: 'prefer'"),
        ({"roles": []}, ArgumentError, "roles: "),
        ({"roles": [{"name": "*", "default_ttl": "1h", "max_ttl": "1h"}]}, ArgumentError, "no wildcard"),
        ({"roles": [{"name": "a", "default_ttl": "2h", "max_ttl": "1h"}]}, LifetimeError, "default_ttl '2h'"),
        ({"roles": [{"name": "a", "default_ttl": "1h", "max_ttl": "1h"}] * 2}, ArgumentError, "twice"),
        ({"host": "postgres:5432"}, ArgumentError, "host: "),
        ({"port": 0}, ArgumentError, "port: 0"),
        ({"database": 'a"b'}, ArgumentError, "database: "),
    ],
)
def test_a_wrong_engine_is_refused_before_anything_is_made(
    more: Any, error: type[Exception], message: str, deploy: Any
) -> None:
    with pytest.raises(error, match=message):
        deploy(lambda: VaultDatabaseEngine("db", engine(**more)))


@pytest.mark.parametrize(
    ("statements", "error", "message"),
    [
        (["CREATE ROLE \"{{name}}\" PASSWORD '{{password}}'"], UnsafeError, "{{expiration}}.*outlive"),
        (["CREATE ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"], ArgumentError, "{{password}}"),
        (["CREATE ROLE \"{{name}}\" SUPERUSER PASSWORD '{{password}}' '{{expiration}}'"], UnsafeError, "superuser"),
    ],
)
def test_sql_that_makes_a_lasting_or_mighty_user_is_refused(
    statements: list[str], error: type[Exception], message: str, deploy: Any
) -> None:
    role = {"name": "a", "default_ttl": "1h", "max_ttl": "1h", "creation_statements": statements}
    with pytest.raises(error, match=message):
        deploy(lambda: VaultDatabaseEngine("db", engine(roles=[role])))


def role(**more: Any) -> VaultKubernetesRoleArgs:
    args: VaultKubernetesRoleArgs = {
        "auth_mount": "kubernetes",
        "role_name": "production-payment-api",
        "namespace": "production",
        "service_account": "payment-api",
        "policies": ["production-payment-api"],
    }
    return {**args, **more}  # type: ignore[typeddict-item]


def test_a_role_pins_service_account_namespace_and_audience_with_short_tokens(deploy: Any) -> None:
    made = deploy(lambda: VaultKubernetesRole("r", role())).one("AuthBackendRole")
    assert made["boundServiceAccountNames"] == ["payment-api"]
    assert made["boundServiceAccountNamespaces"] == ["production"]
    assert made["audience"] == "vault"
    assert (made["tokenTtl"], made["tokenMaxTtl"]) == (3600, 3600)


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"namespace": "*"}, UnsafeError, "namespace: "),
        ({"service_account": "*"}, UnsafeError, "service_account: "),
        ({"audience": ""}, UnsafeError, "allow_any_audience=True"),
        ({"token_ttl": "25h"}, UnsafeError, "allow_long_tokens=True"),
        ({"token_ttl": "2h", "token_max_ttl": "1h"}, LifetimeError, "token_ttl '2h'.*token_max_ttl '1h'"),
        ({"policies": []}, ArgumentError, "policies: "),
    ],
)
def test_a_broad_role_is_refused(more: Any, error: type[Exception], message: str, deploy: Any) -> None:
    with pytest.raises(error, match=message):
        deploy(lambda: VaultKubernetesRole("r", role(**more)))


def test_a_vault_in_the_cluster_needs_neither_token_nor_ca(deploy: Any) -> None:
    config = deploy(lambda: VaultKubernetesAuth("auth", {})).one("AuthBackendConfig")
    assert config["kubernetesHost"] == "https://kubernetes.default.svc"
    assert config["disableLocalCaJwt"] is False
    assert not {"tokenReviewerJwtWo", "kubernetesCaCert"} & set(config)


def test_a_vault_elsewhere_gets_a_reviewer_that_may_review_and_nothing_else(deploy: Any) -> None:
    program = deploy(
        lambda: VaultKubernetesAuth("auth", {"reviewer": ReviewerMode.SERVICE_ACCOUNT, "ca_certificate": "PEM"})
    )
    config = program.one("AuthBackendConfig")
    assert config["disableLocalCaJwt"] is True
    assert SECRET_SIGNATURE in config["tokenReviewerJwtWo"].values()
    assert config["tokenReviewerJwtWo"]["value"] == "a reviewer's token"
    assert config["tokenReviewerJwtWoVersion"] > 0
    binding = program.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "auth-reviewer", "namespace": "kube-system"}]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"ca_certificate": "PEM"}, "ca_certificate, reviewer"),
        ({"reviewer": "client"}, "ca_certificate: "),
        ({"reviewer": "token", "ca_certificate": "PEM"}, "reviewer_token: "),
        ({"reviewer": "nobody"}, "reviewer: 'nobody'"),
        ({"kubernetes_host": "http://x"}, "kubernetes_host: "),
    ],
)
def test_a_contradictory_reviewer_is_refused(args: Any, message: str, deploy: Any) -> None:
    with pytest.raises(ArgumentError, match=message):
        deploy(lambda: VaultKubernetesAuth("auth", args))


def test_kv_is_version_2_and_its_values_are_write_only(deploy: Any) -> None:
    def program() -> None:
        kv = VaultKv("kv", {})
        VaultKvSecret("s", {"mount": kv.mount_path, "path": "production/payment-api", "value": {"A": "b"}})

    made = deploy(program)
    assert made.one("Mount")["options"] == {"version": "2"}
    assert made.one("SecretBackendV2")["maxVersions"] == 10
    secret = made.one("SecretV2")
    assert "dataJson" not in secret
    assert SECRET_SIGNATURE in secret["dataJsonWo"].values()
    assert (secret["dataJsonWoVersion"], secret["deleteAllVersions"]) == (1, True)
