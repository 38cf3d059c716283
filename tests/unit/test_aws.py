"""IAM documents to the letter, and what the AWS components refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.aws.account import AwsAccountArgs, arn, checked
from components.aws.documents import (
    exact_secret_arn,
    key_statement,
    secret_arn_pattern,
    secret_prefix_pattern,
    secret_statement,
    trust_policy,
)
from components.aws.irsa_role import IrsaRole, IrsaRoleArgs
from components.aws.managed_secret import ManagedSecret, ManagedSecretArgs
from components.aws.oidc_provider import OidcProvider, OidcProviderMode
from components.aws.secret_reader import grant_read, grant_write
from components.errors import ArgumentError, UnsafeError

ACCOUNT: AwsAccountArgs = {"account_id": "111122223333", "region": "eu-central-1"}
CHINA: AwsAccountArgs = {"account_id": "111122223333", "region": "cn-north-1"}
ISSUER = "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC"
HOST = "oidc.eks.eu-central-1.amazonaws.com/id/ABC"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # Pulumi's mark of a secret on the wire
PATTERN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:production/payment-api-??????"


def role(**more: Any) -> IrsaRoleArgs:
    args: IrsaRoleArgs = {
        "account": ACCOUNT,
        "issuer": ISSUER,
        "role_name": "payment-api",
        "namespace": "production",
        "service_account": "payment-api",
    }
    return {**args, **more}  # type: ignore[typeddict-item]


def test_the_trust_policy_pins_subject_and_audience_with_string_equals(deploy: Any) -> None:
    made = deploy(lambda: IrsaRole("role", role())).one("Role")
    assert json.loads(made["assumeRolePolicy"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": f"arn:aws:iam::111122223333:oidc-provider/{HOST}"},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{HOST}:aud": "sts.amazonaws.com",
                        f"{HOST}:sub": "system:serviceaccount:production:payment-api",
                    }
                },
            }
        ],
    }
    assert made["maxSessionDuration"] == 3600


@pytest.mark.parametrize("place", ["namespace", "service_account"])
@pytest.mark.parametrize("wildcard", ["*", "pay*", "p?yment"])
def test_a_wildcard_subject_is_refused_unless_asked_for_by_name(place: str, wildcard: str, deploy: Any) -> None:
    with pytest.raises(UnsafeError, match="allow_wildcard_subject=True"):
        deploy(lambda: IrsaRole("role", role(**{place: wildcard})))
    document = trust_policy(
        ACCOUNT, issuer=ISSUER, namespace="production", service_account="*", allow_wildcard_subject=True
    )
    condition = json.loads(document)["Statement"][0]["Condition"]
    assert condition == {
        "StringEquals": {f"{HOST}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{HOST}:sub": "system:serviceaccount:production:*"},
    }


def test_boundary_path_tags_and_session_are_the_role_s(deploy: Any) -> None:
    boundary = "arn:aws:iam::111122223333:policy/boundary"
    args = role(path="/w/", permissions_boundary=boundary, max_session_duration="2h", tags={"team": "pay"})
    arns: list[str] = []
    made = deploy(lambda: arns.append(IrsaRole("role", args).arn)).one("Role")
    assert (made["path"], made["permissionsBoundary"], made["maxSessionDuration"]) == ("/w/", boundary, 7200)
    assert made["tags"] == {"team": "pay"}
    assert arns == ["arn:aws:iam::111122223333:role/w/payment-api"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"path": "workloads"}, "path: 'workloads'"),
        ({"max_session_duration": "13h"}, "max_session_duration"),
        ({"max_session_duration": "30m"}, "max_session_duration"),
        ({"role_name": "x" * 65}, "role_name"),
        ({"issuer": "http://issuer"}, "issuer"),
        ({"account": {"account_id": "1", "region": "eu-central-1"}}, "account_id"),
    ],
)
def test_a_role_s_wrong_argument_is_named(wrong: dict[str, Any], message: str, deploy: Any) -> None:
    with pytest.raises(ArgumentError, match=message):
        deploy(lambda: IrsaRole("role", role(**wrong)))


def test_arns_follow_the_partition() -> None:
    assert arn(CHINA, "iam", "role/x", regional=False) == "arn:aws-cn:iam::111122223333:role/x"
    condition = key_statement(CHINA, "arn:aws-cn:kms:cn-north-1:111122223333:key/1", ["arn:x-AbCdEf"])["Condition"]
    assert condition["StringEquals"]["kms:ViaService"] == "secretsmanager.cn-north-1.amazonaws.com.cn"
    with pytest.raises(ArgumentError, match=r"partition: 'aws-cn'.*'eu-central-1'"):
        checked({**ACCOUNT, "partition": "aws-cn"})


def test_a_reader_may_read_exactly_the_named_secret_and_use_its_key_for_it_alone(deploy: Any) -> None:
    key = "arn:aws:kms:eu-central-1:111122223333:key/1"
    program = deploy(
        lambda: grant_read(
            "reader",
            account=ACCOUNT,
            role_name="payment-api",
            secrets=[{"name": "production/payment-api", "kms_key_arn": key}],
        )
    )
    keys, secrets = (json.loads(policy.inputs["policy"])["Statement"] for policy in program.of("RolePolicy"))
    assert secrets == [
        {
            "Effect": "Allow",
            "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
            "Resource": [PATTERN],
        }
    ]
    assert keys == [
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt"],
            "Resource": key,
            "Condition": {
                "StringEquals": {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"},
                "StringLike": {"kms:EncryptionContext:SecretARN": [PATTERN]},
            },
        }
    ]


def test_a_writer_writes_versions_and_cannot_read(deploy: Any) -> None:
    program = deploy(
        lambda: grant_write("writer", account=ACCOUNT, role_name="x", secrets=[{"name": "production/payment-api"}])
    )
    (statement,) = json.loads(program.one("RolePolicy")["policy"])["Statement"]
    assert statement["Action"] == [
        "secretsmanager:DescribeSecret",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]


def test_a_key_s_grant_for_a_whole_arn_compares_exactly() -> None:
    condition = key_statement(ACCOUNT, "arn:aws:kms:k", ["arn:aws:secretsmanager:x:secret:a-AbCdEf"])["Condition"]
    assert "StringLike" not in condition
    assert condition["StringEquals"]["kms:EncryptionContext:SecretARN"] == ["arn:aws:secretsmanager:x:secret:a-AbCdEf"]


def test_version_stages_can_be_pinned() -> None:
    statement = secret_statement([PATTERN], version_stages=["AWSCURRENT"])
    assert statement["Condition"] == {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT"]}}


def test_wildcards_and_prefixes_are_refused_unless_asked_for() -> None:
    with pytest.raises(UnsafeError, match="wildcard"):
        secret_arn_pattern(ACCOUNT, "production/*")
    with pytest.raises(UnsafeError, match="allow_prefix=True"):
        secret_prefix_pattern(ACCOUNT, "production/")
    with pytest.raises(ArgumentError, match="ends with '/'"):
        secret_prefix_pattern(ACCOUNT, "production", allow_prefix=True)
    assert secret_prefix_pattern(ACCOUNT, "production/", allow_prefix=True).endswith(":secret:production/*")
    with pytest.raises(UnsafeError, match="every secret"):
        secret_statement(["*"])
    with pytest.raises(UnsafeError, match="kms_key_arn"):
        key_statement(ACCOUNT, "*", [PATTERN])
    with pytest.raises(ArgumentError, match="whole secret ARN"):
        exact_secret_arn("arn:aws:secretsmanager:eu-central-1:111122223333:secret:name")


@pytest.mark.parametrize("secrets", [[], [{}], [{"name": "a", "arn": "b"}]])
def test_a_grant_names_each_secret_in_one_way(secrets: list[Any], deploy: Any) -> None:
    with pytest.raises(ArgumentError, match="secrets: "):
        deploy(lambda: grant_read("reader", account=ACCOUNT, role_name="x", secrets=secrets))


def test_a_managed_secret_has_a_rotating_key_a_recovery_window_and_no_public_policy(deploy: Any) -> None:
    program = deploy(
        lambda: ManagedSecret("s", {"account": ACCOUNT, "secret_name": "production/payment-api", "value": {"A": "b"}})
    )
    assert program.one("Key")["enableKeyRotation"] is True
    assert program.one("Key")["deletionWindowInDays"] == 30
    secret = program.one("Secret")
    assert secret["recoveryWindowInDays"] == 30
    assert secret["kmsKeyId"] == "arn:aws:mock:::s-key"
    assert secret["tags"] == {"strongroom:stack": "test"}
    policy = program.one("SecretPolicy")
    assert policy["blockPublicPolicy"] is True
    (statement,) = json.loads(policy["policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"]["StringNotEquals"] == {"aws:PrincipalAccount": "111122223333"}
    version = program.one("SecretVersion")
    assert "secretString" not in version
    assert SECRET_SIGNATURE in version["secretStringWo"].values()
    assert json.loads(version["secretStringWo"]["value"]) == {"A": "b"}


def test_the_key_s_alias_holds_what_kms_takes(deploy: Any) -> None:
    args: ManagedSecretArgs = {"account": ACCOUNT, "secret_name": "production/payment-api@v1.2"}
    assert deploy(lambda: ManagedSecret("secret", args)).one("Alias")["name"] == "alias/production/payment-api-v1-2"


def test_a_secret_without_a_value_is_left_to_its_writer(deploy: Any) -> None:
    program = deploy(lambda: ManagedSecret("s", {"account": ACCOUNT, "secret_name": "a"}))
    assert program.of("SecretVersion") == []


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"recovery_window_days": 0}, UnsafeError, "allow_immediate_deletion=True"),
        ({"recovery_window_days": 3}, ArgumentError, "between 7 and 30"),
        ({"recovery_window_days": 7, "allow_immediate_deletion": True}, ArgumentError, "contradict"),
        ({"secret_name": "a*"}, UnsafeError, "wildcard"),
        ({"value": {}}, ArgumentError, "value: it is empty"),
    ],
)
def test_an_unprotected_secret_is_refused(more: Any, error: type[Exception], message: str, deploy: Any) -> None:
    args: ManagedSecretArgs = {"account": ACCOUNT, "secret_name": "a", **more}
    with pytest.raises(error, match=message):
        deploy(lambda: ManagedSecret("s", args))


def test_the_oidc_provider_is_created_for_sts_or_adopted(deploy: Any) -> None:
    made = deploy(lambda: OidcProvider("oidc", {"account": ACCOUNT, "issuer": ISSUER})).one("OpenIdConnectProvider")
    assert (made["url"], made["clientIdLists"]) == (ISSUER, ["sts.amazonaws.com"])
    adopted = deploy(
        lambda: OidcProvider("oidc", {"account": ACCOUNT, "issuer": ISSUER, "mode": OidcProviderMode.ADOPT})
    ).of("OpenIdConnectProvider")
    assert all("url" not in resource.inputs for resource in adopted)
