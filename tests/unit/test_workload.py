"""A Workload on a SecretPlatform: one identity per system, exactly the declared grants."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.errors import ArgumentError, LifetimeError
from components.platform import SecretPlatform, SecretPlatformArgs
from components.workload import Workload

ISSUER = "https://issuer.example.com/id"
PLATFORM: SecretPlatformArgs = {
    "account": {"account_id": "111122223333", "region": "eu-central-1"},
    "cluster": {"issuer": ISSUER},
    "vault": {"address": "https://vault.internal:8200"},
    "namespaces": ["production"],
    "database": {
        "connection_name": "myapp",
        "host": "postgres.internal",
        "database": "myapp",
        "username": "vault_admin",
        "password": "first",
        "roles": [
            {"name": "app-readwrite", "default_ttl": "1h", "max_ttl": "24h"},
            {"name": "app-readonly", "default_ttl": "1h", "max_ttl": "24h", "privileges": ["SELECT"]},  # type: ignore[list-item]
        ],
    },
}
DATABASE = {"name": "db-creds", "database_role": "app-readwrite"}
KV = {"name": "app-config", "kv_path": "production/payment-api", "generate": ["API_KEY"]}
AWS = {"name": "partner-keys", "aws_secret": "production/payment-api", "generate": ["TOKEN"]}


def workload(secrets: list[Any], namespace: str = "production", **more: Any) -> Any:
    def program() -> None:
        platform = SecretPlatform("platform", PLATFORM)
        args: Any = {"platform": platform, "workload_name": "payment-api", "namespace": namespace, "secrets": secrets}
        Workload("payment-api", {**args, **more})

    return program


def test_a_workload_has_one_identity_in_each_system_and_exactly_its_grants(deploy: Any) -> None:
    program = deploy(workload([DATABASE, KV, AWS]))
    assert program.one("Policy")["policy"] == (
        'path "database/creds/app-readwrite" {\n  capabilities = ["read"]\n}\n'
        "\n"
        'path "secret/data/production/payment-api" {\n  capabilities = ["read"]\n}\n'
    )
    role = program.one("AuthBackendRole")
    assert role["boundServiceAccountNames"] == ["payment-api"]
    assert role["tokenPolicies"] == ["production-payment-api"]
    (iam,) = [item.inputs for item in program.of("Role") if item.type.startswith("aws:")]
    assert iam["name"] == "production-payment-api"
    account = next(item.inputs for item in program.of("ServiceAccount") if item.name.startswith("payment-api"))
    arn = "arn:aws:iam::111122223333:role/production-payment-api"
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": arn}
    assert account["automountServiceAccountToken"] is False
    policies = [json.loads(item.inputs["policy"]) for item in program.of("RolePolicy")]
    granted = {action for policy in policies for statement in policy["Statement"] for action in statement["Action"]}
    assert granted == {"kms:Decrypt", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"}


def test_a_system_that_is_not_read_from_gives_no_role(deploy: Any) -> None:
    program = deploy(workload([KV]))
    assert not [item for item in program.of("Role") if item.type.startswith("aws:")]
    assert program.of("VaultDynamicSecret") == []
    program = deploy(workload([AWS]))
    assert program.of("AuthBackendRole") == []
    assert program.of("Policy") == []


def test_generated_values_are_secrets_from_their_first_line(deploy: Any) -> None:
    program = deploy(workload([KV, AWS]))
    for inputs, field in ((program.one("SecretV2"), "dataJsonWo"), (program.one("SecretVersion"), "secretStringWo")):
        assert "1b47061264138c4ac30d75fd1eb44270" in inputs[field].values()


def test_an_existing_secret_is_granted_and_not_made(deploy: Any) -> None:
    program = deploy(workload([{"name": "partner-keys", "aws_secret": "shared/partner", "existing": True}]))
    assert program.of("Key") == []
    assert "secret:shared/partner-??????" in program.one("RolePolicy")["policy"]


def test_a_value_that_something_else_writes_is_not_waited_for(deploy: Any) -> None:
    (secret,) = deploy(workload([{"name": "app-config", "kv_path": "production/payment-api"}])).of("ExternalSecret")
    assert "annotations" not in secret.inputs["metadata"]


@pytest.mark.parametrize(
    ("secrets", "error", "message"),
    [
        ([], ArgumentError, "secrets: 'payment-api' has none"),
        (
            [{"name": "x"}],
            ArgumentError,
            "'x' has no source; expected exactly one of database_role, kv_path, aws_secret",
        ),
        ([{**DATABASE, "kv_path": "a"}], ArgumentError, "exactly one of"),
        ([DATABASE, DATABASE], ArgumentError, "'db-creds' is given twice"),
        ([{**DATABASE, "database_role": "nope"}], ArgumentError, "'nope'.*app-readonly, app-readwrite"),
        ([{**DATABASE, "refresh_interval": "55m"}], LifetimeError, "refresh_interval '55m'.*default_ttl '1h'"),
        ([{**DATABASE, "generate": ["A"]}], ArgumentError, "generate: "),
        ([{**KV, "existing": True}], ArgumentError, "existing: "),
        ([{**KV, "delivery": "pigeon"}], ArgumentError, "delivery: 'pigeon'.*external-secret"),
        ([{**KV, "kv_path": "production/*"}], ArgumentError, "no wildcard"),
        ([{**AWS, "name": "Partner"}], ArgumentError, "lower-case"),
    ],
)
def test_a_contradictory_workload_is_refused(secrets: Any, error: type[Exception], message: str, deploy: Any) -> None:
    with pytest.raises(error, match=message):
        deploy(workload(secrets))


OTHER = {"name": "other", "kv_path": "production/reports"}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            DATABASE,
            {**DATABASE, "database_role": "app-readonly"},
            "name: 'production/db-creds' is made by .*: db-creds",
        ),
        (KV, {**KV, "name": "own"}, "kv_path: 'production/payment-api' is made by production/payment-api: app-config"),
        (AWS, {**AWS, "name": "own"}, "aws_secret: 'production/payment-api' is made by .*say `existing`"),
    ],
)
def test_two_workloads_cannot_make_the_same(first: Any, second: Any, message: str, deploy: Any) -> None:
    def program() -> None:
        platform = SecretPlatform("platform", PLATFORM)
        args: Any = {"platform": platform, "namespace": "production"}
        Workload("payment-api", {**args, "workload_name": "payment-api", "secrets": [first]})
        Workload("reports", {**args, "workload_name": "reports", "secrets": [second]})

    with pytest.raises(ArgumentError, match=message):
        deploy(program)


def test_two_workloads_cannot_have_the_same_roles(deploy: Any) -> None:
    def program() -> None:
        platform = SecretPlatform("platform", {**PLATFORM, "namespaces": ["team", "team-a"]})
        for namespace, name in (("team", "a-api"), ("team-a", "api")):
            args: Any = {"platform": platform, "workload_name": name, "namespace": namespace, "secrets": [OTHER]}
            Workload(f"{namespace}/{name}", args)

    with pytest.raises(ArgumentError, match="team-a/api: workload_name: 'team-a-api' is made by team/a-api"):
        deploy(program)


def test_a_value_of_one_workload_can_be_read_by_another(deploy: Any) -> None:
    def program() -> None:
        platform = SecretPlatform("platform", PLATFORM)
        args: Any = {"platform": platform, "namespace": "production"}
        Workload("payment-api", {**args, "workload_name": "payment-api", "secrets": [KV, AWS]})
        shared = [{"name": "shared", "kv_path": KV["kv_path"]}]
        Workload("reports", {**args, "workload_name": "reports", "secrets": shared})

    readers = [
        item for item in deploy(program).of("Policy") if "secret/data/production/payment-api" in item.inputs["policy"]
    ]
    assert len(readers) == 2


def test_a_namespace_that_the_platform_does_not_have_is_refused(deploy: Any) -> None:
    with pytest.raises(ArgumentError, match=r"namespace: 'elsewhere'.*production"):
        deploy(workload([KV], namespace="elsewhere"))


def test_a_token_shorter_than_its_leases_is_refused(deploy: Any) -> None:
    with pytest.raises(LifetimeError, match="token_ttl '30m'"):
        deploy(workload([DATABASE], token_ttl="30m"))
