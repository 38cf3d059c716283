"""The aws provider's resources, one by one, against the AWS server: create, update, replace, read, import, delete."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.providers.aws import AwsProvider
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.values import plain
from sandbox.servers.aws import admin
from tests.aws.fixtures import ACCOUNT, REGION, Cloud, allow, document
from tests.providers.aws import (
    ALIAS,
    ATTACHMENT,
    CLUSTER,
    KEY,
    KEY_POLICY,
    OIDC,
    POD_IDENTITY,
    POLICY,
    ROLE,
    ROLE_POLICY,
    ROTATION,
    SECRET,
    SECRET_POLICY,
    TRUST,
    VERSION,
    made,
    unique,
)
from tests.providers.driver import CheckFailed, Driven, invoke, secret


def test_a_role_lives_through_all_its_changes(aws: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("role")
    role = Driven(aws, ROLE)
    inputs: dict[str, Any] = {
        "name": name,
        "assumeRolePolicy": TRUST,
        "description": "one",
        "tags": {"a": "1", "b": "2"},
    }
    assert role.up(**inputs) == "create"
    assert role.id == name
    assert role.values["arn"] == f"arn:aws:iam::{ACCOUNT}:role/{name}"
    assert role.values["tagsAll"] == inputs["tags"]
    assert (role.values["path"], role.values["maxSessionDuration"], role.values["forceDetachPolicies"]) == (
        "/",
        3600,
        False,
    )
    assert role.up(**inputs) == "same"
    inputs |= {"description": "two", "maxSessionDuration": 7200, "tags": {"b": "3", "c": "4"}}
    assert sorted(role.diff(**inputs).detailed_diff or {}) == [
        "description",
        "maxSessionDuration",
        "tags.a",
        "tags.b",
        "tags.c",
    ]
    assert role.up(**inputs) == "update"
    live = iam.get_role(RoleName=name)["Role"]
    assert (live["Description"], live["MaxSessionDuration"]) == ("two", 7200)
    assert sorted((tag["Key"], tag["Value"]) for tag in live["Tags"]) == [("b", "3"), ("c", "4")]
    assert role.up(**inputs) == "same"
    diff = role.diff(**{**inputs, "path": "/x/"})
    assert diff.replaces == ["path"]
    assert diff.delete_before_replace  # the same name cannot be there twice
    assert role.up(**{**inputs, "path": "/x/"}) == "replace"
    assert role.values["arn"] == f"arn:aws:iam::{ACCOUNT}:role/x/{name}"
    role.delete()
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName=name)


def test_drift_is_read_and_put_right(aws: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("role")
    inputs = {"name": name, "assumeRolePolicy": TRUST, "description": "mine"}
    role = made(aws, ROLE, **inputs)
    assert role.read()
    assert role.up(**inputs) == "same"
    other = document({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=other)
    iam.update_role(RoleName=name, Description="theirs")
    iam.tag_role(RoleName=name, Tags=[{"Key": "x", "Value": "y"}])
    assert role.read()
    assert sorted(role.diff(**inputs).diffs or []) == ["assumeRolePolicy", "description", "tags"]
    assert role.up(**inputs) == "update"
    live = iam.get_role(RoleName=name)["Role"]
    assert live["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert live["Description"] == "mine"
    assert not live.get("Tags")
    iam.delete_role(RoleName=name)
    assert not role.read()


def test_a_policy_is_compared_by_what_it_says(aws: AwsProvider) -> None:
    role = made(aws, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    says = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["a:B", "a:A"], "Resource": ["*"]}}
    policy = made(aws, ROLE_POLICY, role=role.id, name="p", policy=json.dumps(says))
    other = {"Statement": [{"Resource": "*", "Action": ["a:A", "a:B"], "Effect": "Allow"}], "Version": "2012-10-17"}
    assert policy.up(role=role.id, name="p", policy=json.dumps(other, indent=4)) == "same"
    assert policy.up(role=role.id, name="p", policy=other) == "same"  # as data, too
    assert policy.read()
    assert policy.up(role=role.id, name="p", policy=json.dumps(says)) == "same"
    assert policy.up(role=role.id, name="p", policy=document(allow("a:C"))) == "update"
    with pytest.raises(CheckFailed, match="policy must be a policy document"):
        policy.check(role=role.id, name="p", policy="not json")


def test_names_are_made_up_and_kept(aws: AwsProvider) -> None:
    role = made(aws, ROLE, "payment", assumeRolePolicy=TRUST)
    assert role.id is not None
    assert role.id.startswith("payment-")
    assert len(role.id) == len("payment-") + 7
    before = role.id
    assert role.up(assumeRolePolicy=TRUST, description="x") == "update"
    assert role.id == before
    prefixed = made(aws, ROLE, assumeRolePolicy=TRUST, namePrefix="team-")
    assert str(prefixed.id).startswith("team-20")
    assert prefixed.up(assumeRolePolicy=TRUST, namePrefix="team-") == "same"
    key = made(aws, KEY)
    assert str(made(aws, ALIAS, "k", targetKeyId=key.id).id).startswith("alias/k-")


def test_a_managed_policy_and_its_attachment(aws: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("policy")
    policy = made(aws, POLICY, name=name, policy=document(allow("s3:GetObject")))
    assert policy.id == policy.values["arn"] == f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    role = made(aws, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    attached = made(aws, ATTACHMENT, role=role.id, policyArn=policy.id)
    assert attached.id == f"{role.id}/{policy.id}"
    assert attached.read()
    for number in range(6):  # a policy keeps five versions
        assert policy.up(name=name, policy=document(allow(f"s3:Get{number}"))) == "update"
    assert len(iam.list_policy_versions(PolicyArn=policy.id)["Versions"]) <= 5
    assert policy.diff(name=name, policy=document(allow("s3:Get5")), description="new").replaces == ["description"]
    attached.delete()
    assert not attached.imported(f"{role.id}/{policy.id}")
    policy.delete()
    assert not policy.imported(f"arn:aws:iam::{ACCOUNT}:policy/{name}")


def test_an_oidc_provider_with_the_clusters_issuer(aws: AwsProvider) -> None:
    url = f"https://127.0.0.1:{20000 + uuid.uuid4().int % 9999}"
    found = made(aws, OIDC, url=url, clientIdLists=["sts.amazonaws.com"])
    assert found.id == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{url.removeprefix('https://')}"
    assert found.up(url=url, clientIdLists=["a", "sts.amazonaws.com"]) == "update"
    assert found.read()
    assert found.up(url=url, clientIdLists=["sts.amazonaws.com", "a"]) == "same"  # a set
    assert found.up(url=url, clientIdLists=["a"]) == "update"
    again = Driven(aws, OIDC)
    assert again.imported(str(found.id))
    assert again.up(url=url, clientIdLists=["a"]) == "same"
    found.delete()
    assert not again.read()


def test_a_secret_with_key_tags_and_recovery(aws: AwsProvider, cloud: Cloud) -> None:
    client, name = cloud.admin.client("secretsmanager"), f"app/{unique()}"
    key = made(aws, KEY, description="k")
    inputs: dict[str, Any] = {"name": name, "kmsKeyId": key.values["arn"], "description": "d", "tags": {"a": "1"}}
    found = made(aws, SECRET, **inputs)
    assert found.id == found.values["arn"]
    assert str(found.id).startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-")
    assert found.values["recoveryWindowInDays"] == 30
    assert found.read()
    assert found.up(**inputs) == "same"
    assert found.up(**{**inputs, "description": "e", "tags": {"b": "2"}}) == "update"
    live = client.describe_secret(SecretId=name)
    assert (live["Description"], live["Tags"], live["KmsKeyId"]) == (
        "e",
        [{"Key": "b", "Value": "2"}],
        key.values["arn"],
    )
    assert found.up(name=name, recoveryWindowInDays=7) == "update"
    assert (
        "KmsKeyId" not in client.describe_secret(SecretId=name)
        or "alias/aws" in client.describe_secret(SecretId=name)["KmsKeyId"]
    )
    found.delete()
    assert client.describe_secret(SecretId=name)["DeletedDate"]
    assert not Driven(aws, SECRET).imported(str(live["ARN"]))
    with pytest.raises(CheckFailed, match="recoveryWindowInDays must be from 7 to 30 or 0, not 3"):
        found.check(name=name, recoveryWindowInDays=3)
    at_once = made(aws, SECRET, name=unique("gone"), recoveryWindowInDays=0)
    gone = at_once.id
    at_once.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.describe_secret(SecretId=gone)


def test_a_value_is_secret_and_a_write_only_one_is_nowhere(aws: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    value = f"v-{uuid.uuid4()}"
    holder = made(aws, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    plain_version = made(aws, VERSION, secretId=holder.id, secretString=value)
    assert plain_version.state["secretString"].is_secret
    assert plain_version.inputs["secretString"].is_secret
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == value
    assert plain_version.up(secretId=holder.id, secretString=value) == "same"
    assert plain_version.diff(secretId=holder.id, secretString=value + "2").replaces == ["secretString"]
    client.put_secret_value(SecretId=holder.id, SecretString="by another hand")
    assert plain_version.read()  # AWSPREVIOUS still
    client.put_secret_value(SecretId=holder.id, SecretString="and again")
    assert not plain_version.read()

    hidden = Driven(aws, VERSION)
    inputs = {"secretId": holder.id, "secretStringWo": secret(value), "secretStringWoVersion": 1}
    assert value not in str(hidden.preview(**inputs))
    assert hidden.up(**inputs) == "create"
    assert value not in str(hidden.state)
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == value
    assert hidden.values["hasSecretStringWo"]
    changed = {**inputs, "secretStringWo": secret(value + "2")}
    assert hidden.up(**changed) == "same"  # nobody can compare it
    assert hidden.read()
    assert value not in str(hidden.state)
    assert hidden.up(**{**changed, "secretStringWoVersion": 2}) == "replace"
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == value + "2"
    for wrong in ({}, {"secretString": "a", "secretBinary": "b"}, {"secretStringWo": "a"}):
        with pytest.raises(CheckFailed):
            hidden.check(secretId=holder.id, **wrong)


def test_stages_of_a_version_move(aws: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    holder = made(aws, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    first = made(aws, VERSION, "one", secretId=holder.id, secretString="a")
    second = made(aws, VERSION, "two", secretId=holder.id, secretString="b", versionStages=["AWSPENDING"])
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == "a"
    assert second.up(secretId=holder.id, secretString="b", versionStages=["AWSCURRENT"]) == "update"
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == "b"
    assert first.read()
    assert first.values["versionStages"] == ["AWSPREVIOUS"]


def test_a_secrets_policy(aws: AwsProvider, cloud: Cloud) -> None:
    holder = made(aws, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    says = document({"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecret", "Resource": "*"})
    policy = made(aws, SECRET_POLICY, secretArn=holder.id, policy=says, blockPublicPolicy=True)
    assert policy.read()
    assert policy.up(secretArn=holder.id, policy=says, blockPublicPolicy=True) == "same"
    assert holder.read()
    assert (
        holder.up(name=holder.values["name"], recoveryWindowInDays=0) == "same"
    )  # a policy of its own is no drift of the secret
    public = document({"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"})
    with pytest.raises(AwsProviderError, match="PublicPolicyException"):
        policy.up(secretArn=holder.id, policy=public, blockPublicPolicy=True)
    policy.delete()
    assert not Driven(aws, SECRET_POLICY).imported(str(holder.id))


def test_a_rotation_schedule(aws: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    holder = made(aws, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{unique()}"
    admin.register_function(cloud.aws, arn, "http://127.0.0.1:1/")
    inputs: dict[str, Any] = {
        "secretId": holder.id,
        "rotationLambdaArn": arn,
        "rotateImmediately": False,
        "rotationRules": {"automaticallyAfterDays": 30},
    }
    found = made(aws, ROTATION, **inputs)
    assert found.values["rotationEnabled"]
    assert found.read()
    assert found.up(**inputs) == "same"
    assert found.up(**{**inputs, "rotationRules": {"scheduleExpression": "rate(5 days)", "duration": "3h"}}) == "update"
    rules = client.describe_secret(SecretId=holder.id)["RotationRules"]
    assert rules == {"ScheduleExpression": "rate(5 days)", "Duration": "3h"}
    both = {"automaticallyAfterDays": 1, "scheduleExpression": "rate(1 day)"}
    with pytest.raises(CheckFailed, match="rotationRules needs one of"):
        found.check(**{**inputs, "rotationRules": both})
    found.delete()
    assert not client.describe_secret(SecretId=holder.id)["RotationEnabled"]


def test_a_key_its_alias_and_its_policy(aws: AwsProvider, cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    inputs: dict[str, Any] = {
        "description": "d",
        "enableKeyRotation": True,
        "deletionWindowInDays": 7,
        "tags": {"a": "1"},
    }
    key = made(aws, KEY, **inputs)
    assert key.id == key.values["keyId"]
    assert key.values["arn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key.id}"
    assert key.values["tagsAll"] == {"a": "1"}
    assert kms.get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"]
    assert key.read()
    assert key.up(**inputs) == "same"
    assert key.up(**{**inputs, "rotationPeriodInDays": 90, "description": "e", "isEnabled": False}) == "update"
    live = kms.describe_key(KeyId=key.id)["KeyMetadata"]
    assert (live["Description"], live["KeyState"]) == ("e", "Disabled")
    assert kms.get_key_rotation_status(KeyId=key.id)["RotationPeriodInDays"] == 90
    assert key.up(**{**inputs, "isEnabled": True, "enableKeyRotation": False}) == "update"
    assert key.diff(**{**inputs, "keyUsage": "SIGN_VERIFY"}).replaces == ["keyUsage"]

    other = made(aws, KEY, "other")
    alias = made(aws, ALIAS, name=f"alias/{unique()}", targetKeyId=key.id)
    assert alias.values["targetKeyArn"] == key.values["arn"]
    assert alias.up(name=alias.id, targetKeyId=key.values["arn"]) == "same"  # the same key by its ARN
    assert alias.up(name=alias.id, targetKeyId=other.id) == "update"
    assert alias.values["targetKeyArn"] == other.values["arn"]
    everyone = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    policy = made(aws, KEY_POLICY, keyId=other.id, policy=document(everyone))
    assert policy.read()
    policy.delete()
    alias.delete()
    gone = key.id
    key.delete()
    assert kms.describe_key(KeyId=gone)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert not Driven(aws, KEY).imported(str(gone))


def test_a_pod_identity_association(aws: AwsProvider) -> None:
    role = made(aws, ROLE, assumeRolePolicy=TRUST)
    inputs = {
        "clusterName": "sandbox",
        "namespace": "production",
        "serviceAccount": unique(),
        "roleArn": role.values["arn"],
        "tags": {"a": "1"},
    }
    found = made(aws, POD_IDENTITY, **inputs)
    assert found.values["associationId"] == found.id
    assert found.up(**inputs) == "same"
    other = made(aws, ROLE, "other", assumeRolePolicy=TRUST)
    assert found.up(**{**inputs, "roleArn": other.values["arn"], "tags": {"b": "2"}}) == "update"
    assert found.read()
    assert found.values["tagsAll"] == {"b": "2"}
    assert found.diff(**{**inputs, "namespace": "x"}).replaces == ["namespace"]
    again = Driven(aws, POD_IDENTITY)
    assert again.imported(f"sandbox,{found.id}")
    found.delete()
    assert not again.read()


def test_a_cluster_has_the_sandboxs_issuer_where_it_is_its_own(aws: AwsProvider, cloud: Cloud) -> None:
    found = invoke(aws, "aws:eks/getCluster:getCluster", name="sandbox")
    assert plain(found["identities"])[0]["oidcs"][0]["issuer"] == cloud.issuer.url
    name = unique("cluster")
    role = f"arn:aws:iam::{ACCOUNT}:role/eks"
    cluster = made(aws, CLUSTER, name=name, roleArn=role, vpcConfig={"subnetIds": ["subnet-1", "subnet-2"]})
    assert cluster.read()
    assert cluster.up(name=name, roleArn=role, vpcConfig={"subnetIds": ["subnet-1", "subnet-2"]}) == "same"
    cluster.delete()
    assert not Driven(aws, CLUSTER).imported(name)
