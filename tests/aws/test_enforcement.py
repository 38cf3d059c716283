"""Who may read what: identity policies against the very resource, resource policies, keys, boundaries, explicit denies."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.aws.fixtures import ACCOUNT, REGION, Cloud, Session, allow, deny, document

READ = "secretsmanager:GetSecretValue"
VIA = f"secretsmanager.{REGION}.amazonaws.com"


def read(session: Session, secret: str, **more: Any) -> str:
    value: str = session.client("secretsmanager").get_secret_value(SecretId=secret, **more)["SecretString"]
    return value


def denied(session: Session, secret: str, **more: Any) -> str:
    with pytest.raises(ClientError) as caught:
        read(session, secret, **more)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    message: str = caught.value.response["Error"]["Message"]
    return message


def name_of(arn: str) -> str:
    return arn.rpartition(":")[2][:-7]


def test_a_granted_role_reads_its_secret_and_no_other(cloud: Cloud) -> None:
    mine, other = cloud.secret("mine"), cloud.secret("other")
    session = cloud.session(allow(READ, mine))
    assert read(session, mine) == read(session, name_of(mine)) == read(session, mine[:-7]) == "mine"
    for name in (other, name_of(other)):
        message = denied(session, name)
        assert f"is not authorized to perform: {READ} on resource: {other} because no identity-based policy" in message
        assert message.startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/")


def test_the_six_question_marks_match_this_name_only(cloud: Cloud) -> None:
    mine = cloud.secret("mine")
    longer = cloud.admin.client("secretsmanager").create_secret(Name=f"{name_of(mine)}-longer", SecretString="l")["ARN"]
    session = cloud.session(allow(READ, f"{mine[:-6]}??????"))
    assert read(session, mine) == "mine"
    denied(session, longer)
    assert read(cloud.session(allow(READ, f"{mine[:-6]}*")), longer) == "l"


def test_a_secret_that_does_not_exist_is_not_told_apart_without_a_grant(cloud: Cloud) -> None:
    session = cloud.session(allow(READ, cloud.secret()))
    denied(session, "no/such-secret")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        read(cloud.admin, "no/such-secret")


def test_reading_is_not_writing(cloud: Cloud) -> None:
    mine = cloud.secret()
    client = cloud.session(allow([READ, "secretsmanager:DescribeSecret"], mine)).client("secretsmanager")
    client.describe_secret(SecretId=mine)
    for call, more in {
        "put_secret_value": {"SecretString": "x"},
        "delete_secret": {},
        "update_secret": {"SecretString": "x"},
        "put_resource_policy": {"ResourcePolicy": "{}"},
    }.items():
        with pytest.raises(ClientError, match="AccessDeniedException"):
            getattr(client, call)(SecretId=mine, **more)


def test_an_explicit_deny_wins(cloud: Cloud) -> None:
    mine = cloud.secret()
    session = cloud.session(allow("*"), deny(READ, mine))
    assert "with an explicit deny in an identity-based policy" in denied(session, mine)


def test_nobody_without_a_known_key_is_let_in(cloud: Cloud) -> None:
    stranger = Session(cloud.aws.endpoint_url, "AKIAIOSFODNN7EXAMPLE", "x" * 40)
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        read(stranger, "any")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        stranger.client("iam").list_roles()
    with pytest.raises(ClientError, match="MissingAuthenticationToken"):
        cloud.anonymous("sts").get_caller_identity()
    forged = Session(cloud.aws.endpoint_url, cloud.aws.access_key_id, "x" * 40)
    with pytest.raises(ClientError, match="InvalidSignatureException"):
        read(forged, "any")
    session = cloud.session(allow("*"))
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        read(Session(session.url, session.key, session.secret, "another-token"), "any")


def test_a_key_lets_only_those_read_who_may_decrypt_through_secrets_manager(cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    mine = cloud.secret("locked", KmsKeyId=key)
    through = {"StringEquals": {"kms:ViaService": VIA, "kms:EncryptionContext:SecretARN": mine}}
    readable = cloud.session(allow(READ, mine), allow("kms:Decrypt", key, Condition=through))
    assert read(readable, mine) == "locked"
    assert denied(cloud.session(allow(READ, mine)), mine) == "Access to KMS is not allowed"
    elsewhere = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    denied(cloud.session(allow(READ, mine), allow("kms:Decrypt", key, Condition=elsewhere)), mine)
    other = {"StringEquals": {"kms:EncryptionContext:SecretARN": cloud.secret()}}
    denied(cloud.session(allow(READ, mine), allow("kms:Decrypt", key, Condition=other)), mine)
    # The same grant does not open the key to direct use.
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    with pytest.raises(ClientError, match="AccessDeniedException"):
        readable.client("kms").decrypt(CiphertextBlob=blob)


def test_a_key_policy_decides_over_the_key(cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    may = cloud.role(allow("kms:*", key))
    session = cloud.assume(may, cloud.issuer.token("system:serviceaccount:production:app"))
    session.client("kms").describe_key(KeyId=key)
    admin = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/administrator"},
        "Action": "kms:*",
        "Resource": "*",
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(admin))
    with pytest.raises(ClientError, match="no resource-based policy allows"):
        session.client("kms").describe_key(KeyId=key)
    named = {"Effect": "Allow", "Principal": {"AWS": may}, "Action": "kms:DescribeKey", "Resource": "*"}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=document(admin, named))
    session.client("kms").describe_key(KeyId=key)


def test_encryption_context_binds_a_ciphertext(cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/sops", TargetKeyId=key)
    blob = kms.encrypt(KeyId="alias/sops", Plaintext=b"data", EncryptionContext={"app": "a"})["CiphertextBlob"]
    mine = {"StringEquals": {"kms:EncryptionContext:app": "a"}}
    session = cloud.session(allow("kms:Decrypt", key, Condition=mine)).client("kms")
    assert session.decrypt(CiphertextBlob=blob, EncryptionContext={"app": "a"})["Plaintext"] == b"data"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        session.decrypt(CiphertextBlob=blob, EncryptionContext={"app": "b"})
    with pytest.raises(ClientError, match="InvalidCiphertext"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"app": "b"})


def test_a_stage_condition_lets_only_that_stage_be_read(cloud: Cloud) -> None:
    mine = cloud.secret("first")
    cloud.admin.client("secretsmanager").put_secret_value(SecretId=mine, SecretString="second")
    only = {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": ["AWSCURRENT"]}}
    session = cloud.session(allow(READ, mine, Condition=only))
    assert read(session, mine, VersionStage="AWSCURRENT") == "second"
    denied(session, mine, VersionStage="AWSPREVIOUS")
    denied(session, mine)  # each request must name the stage


def test_tags_of_the_secret_and_of_the_caller_are_conditions(cloud: Cloud) -> None:
    mine = cloud.secret(Tags=[{"Key": "team", "Value": "pay"}])
    other = cloud.secret(Tags=[{"Key": "team", "Value": "web"}])
    same_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    session = cloud.session(allow(READ, Condition=same_team), Tags=[{"Key": "team", "Value": "pay"}])
    assert read(session, mine) == "value"
    denied(session, other)


def test_a_boundary_limits_what_policies_allow(cloud: Cloud) -> None:
    mine = cloud.secret()
    iam = cloud.admin.client("iam")
    boundary = iam.create_policy(
        PolicyName=f"boundary-{name_of(mine)[4:12]}", PolicyDocument=document(allow("secretsmanager:Describe*"))
    )
    session = cloud.session(allow("*"), PermissionsBoundary=boundary["Policy"]["Arn"])
    session.client("secretsmanager").describe_secret(SecretId=mine)
    assert "because no permissions boundary allows" in denied(session, mine)


def test_a_resource_policy_grants_and_denies(cloud: Cloud) -> None:
    mine = cloud.secret()
    role = cloud.role()
    session = cloud.assume(role, cloud.issuer.token("system:serviceaccount:production:app"))
    denied(session, mine)
    admin = cloud.admin.client("secretsmanager")
    grant = {"Effect": "Allow", "Principal": {"AWS": role}, "Action": READ, "Resource": "*"}
    admin.put_resource_policy(SecretId=mine, ResourcePolicy=document(grant))
    assert read(session, mine) == "value"
    refuse = {"Effect": "Deny", "Principal": "*", "Action": READ, "Resource": "*"}
    admin.put_resource_policy(SecretId=mine, ResourcePolicy=document(grant, refuse))
    assert "with an explicit deny in a resource-based policy" in denied(session, mine)
    public = {"Effect": "Allow", "Principal": "*", "Action": READ, "Resource": "*"}
    with pytest.raises(ClientError, match="PublicPolicyException"):
        admin.put_resource_policy(SecretId=mine, ResourcePolicy=document(public), BlockPublicPolicy=True)


def test_batch_reads_answer_only_what_may_be_read(cloud: Cloud) -> None:
    mine, other = cloud.secret("mine"), cloud.secret("other")
    session = cloud.session(allow(READ, mine), allow("secretsmanager:BatchGetSecretValue"))
    found = session.client("secretsmanager").batch_get_secret_value(SecretIdList=[mine, other])
    assert [one["SecretString"] for one in found["SecretValues"]] == ["mine"]
    assert found["Errors"][0]["ErrorCode"] == "AccessDeniedException"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        cloud.session(allow(READ, mine)).client("secretsmanager").batch_get_secret_value(SecretIdList=[mine])


def test_a_role_chain_needs_both_trust_and_permission(cloud: Cloud) -> None:
    mine = cloud.secret()
    first = cloud.role()
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    target = cloud.trusting({**trust, "Condition": {"StringEquals": {"sts:ExternalId": "shared"}}}, allow(READ, mine))
    token = cloud.issuer.token("system:serviceaccount:production:app")

    def chain(session: Session, **more: str) -> Session:
        found = session.client("sts").assume_role(RoleArn=target, RoleSessionName="chained", **more)["Credentials"]
        return Session(session.url, found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    session = cloud.assume(first, token)
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole on resource"):
        chain(session, ExternalId="shared")
    cloud.admin.client("iam").put_role_policy(
        RoleName=first.rpartition("/")[2], PolicyName="chain", PolicyDocument=document(allow("sts:AssumeRole", target))
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        chain(session)
    assert read(chain(session, ExternalId="shared"), mine) == "value"


def test_a_session_policy_limits_one_session(cloud: Cloud) -> None:
    mine, other = cloud.secret("mine"), cloud.secret("other")
    role = cloud.role(allow(READ))
    found = cloud.anonymous("sts").assume_role_with_web_identity(
        RoleArn=role,
        RoleSessionName="less",
        WebIdentityToken=cloud.issuer.token("system:serviceaccount:production:app"),
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow(READ, mine)]}),
    )["Credentials"]
    session = Session(cloud.aws.endpoint_url, found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    assert read(session, mine) == "mine"
    assert "no session policy allows" in denied(session, other)


def test_passing_a_role_is_a_permission_of_its_own(cloud: Cloud) -> None:
    role = cloud.role()
    association = {"clusterName": "sandbox", "namespace": "n", "serviceAccount": "s", "roleArn": role}
    with pytest.raises(ClientError, match="iam:PassRole"):
        cloud.session(allow("eks:*")).client("eks").create_pod_identity_association(**association)
    may_pass = allow(
        "iam:PassRole", role, Condition={"StringEquals": {"iam:PassedToService": "pods.eks.amazonaws.com"}}
    )
    client = cloud.session(allow("eks:*"), may_pass).client("eks")
    made = client.create_pod_identity_association(**association)["association"]
    client.delete_pod_identity_association(clusterName="sandbox", associationId=made["associationId"])


def test_nothing_secret_is_in_the_log(cloud: Cloud) -> None:
    value = f"plain-{uuid.uuid4()}"
    mine = cloud.secret(value)
    session = cloud.session(allow(READ, mine))
    assert read(session, mine) == value
    log = cloud.log()
    assert f"secretsmanager:GetSecretValue {mine}" in log
    for text in (value, session.secret, session.token, cloud.aws.secret_access_key):
        assert text is not None
        assert text not in log
