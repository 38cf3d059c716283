"""The aws provider against the AWS server: create, update, replace, read, import, delete, diff, preview."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.providers.aws import AwsProvider
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.aws.provider import RESOURCES
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.values import plain
from sandbox.servers.aws import admin
from tests.aws.fixtures import ACCOUNT, REGION, Cloud, allow, document
from tests.providers.driver import CheckFailed, Driven, Unknown, configure, invoke, secret

ROLE, POLICY = "aws:iam/role:Role", "aws:iam/policy:Policy"
ROLE_POLICY, ATTACHMENT = "aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
OIDC = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
SECRET, VERSION = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretVersion:SecretVersion"
SECRET_POLICY = "aws:secretsmanager/secretPolicy:SecretPolicy"
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
KEY, ALIAS, KEY_POLICY = "aws:kms/key:Key", "aws:kms/alias:Alias", "aws:kms/keyPolicy:KeyPolicy"
CLUSTER, POD_IDENTITY = "aws:eks/cluster:Cluster", "aws:eks/podIdentityAssociation:PodIdentityAssociation"
TRUST = document({"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"})


def unique(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def provider(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsProvider]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.aws.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.aws.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cloud.aws.secret_access_key)
    monkeypatch.setenv("AWS_REGION", REGION)
    made = AwsProvider()
    yield made
    made.close()


def made(provider: AwsProvider, kind: str, logical: str = "it", /, **inputs: Any) -> Driven:
    found = Driven(provider, kind, logical)
    assert found.up(**inputs) == "create"
    return found


# -- one by one ------------------------------------------------------------------------------------------------------------


def test_a_role_lives_through_all_its_changes(provider: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("role")
    role = Driven(provider, ROLE)
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


def test_drift_is_read_and_put_right(provider: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("role")
    inputs = {"name": name, "assumeRolePolicy": TRUST, "description": "mine"}
    role = made(provider, ROLE, **inputs)
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


def test_a_policy_is_compared_by_what_it_says(provider: AwsProvider) -> None:
    role = made(provider, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    says = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": ["a:B", "a:A"], "Resource": ["*"]}}
    policy = made(provider, ROLE_POLICY, role=role.id, name="p", policy=json.dumps(says))
    other = {"Statement": [{"Resource": "*", "Action": ["a:A", "a:B"], "Effect": "Allow"}], "Version": "2012-10-17"}
    assert policy.up(role=role.id, name="p", policy=json.dumps(other, indent=4)) == "same"
    assert policy.up(role=role.id, name="p", policy=other) == "same"  # as data, too
    assert policy.read()
    assert policy.up(role=role.id, name="p", policy=json.dumps(says)) == "same"
    assert policy.up(role=role.id, name="p", policy=document(allow("a:C"))) == "update"
    with pytest.raises(CheckFailed, match="policy must be a policy document"):
        policy.check(role=role.id, name="p", policy="not json")


def test_names_are_made_up_and_kept(provider: AwsProvider) -> None:
    role = made(provider, ROLE, "payment", assumeRolePolicy=TRUST)
    assert role.id is not None
    assert role.id.startswith("payment-")
    assert len(role.id) == len("payment-") + 7
    before = role.id
    assert role.up(assumeRolePolicy=TRUST, description="x") == "update"
    assert role.id == before
    prefixed = made(provider, ROLE, assumeRolePolicy=TRUST, namePrefix="team-")
    assert str(prefixed.id).startswith("team-20")
    assert prefixed.up(assumeRolePolicy=TRUST, namePrefix="team-") == "same"
    key = made(provider, KEY)
    assert str(made(provider, ALIAS, "k", targetKeyId=key.id).id).startswith("alias/k-")


def test_a_managed_policy_and_its_attachment(provider: AwsProvider, cloud: Cloud) -> None:
    iam, name = cloud.admin.client("iam"), unique("policy")
    policy = made(provider, POLICY, name=name, policy=document(allow("s3:GetObject")))
    assert policy.id == policy.values["arn"] == f"arn:aws:iam::{ACCOUNT}:policy/{name}"
    role = made(provider, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    attached = made(provider, ATTACHMENT, role=role.id, policyArn=policy.id)
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


def test_an_oidc_provider_with_the_clusters_issuer(provider: AwsProvider) -> None:
    url = f"https://127.0.0.1:{20000 + uuid.uuid4().int % 9999}"
    found = made(provider, OIDC, url=url, clientIdLists=["sts.amazonaws.com"])
    assert found.id == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{url.removeprefix('https://')}"
    assert found.up(url=url, clientIdLists=["a", "sts.amazonaws.com"]) == "update"
    assert found.read()
    assert found.up(url=url, clientIdLists=["sts.amazonaws.com", "a"]) == "same"  # a set
    assert found.up(url=url, clientIdLists=["a"]) == "update"
    again = Driven(provider, OIDC)
    assert again.imported(str(found.id))
    assert again.up(url=url, clientIdLists=["a"]) == "same"
    found.delete()
    assert not again.read()


def test_a_secret_with_key_tags_and_recovery(provider: AwsProvider, cloud: Cloud) -> None:
    client, name = cloud.admin.client("secretsmanager"), f"app/{unique()}"
    key = made(provider, KEY, description="k")
    inputs: dict[str, Any] = {"name": name, "kmsKeyId": key.values["arn"], "description": "d", "tags": {"a": "1"}}
    found = made(provider, SECRET, **inputs)
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
    assert not Driven(provider, SECRET).imported(str(live["ARN"]))
    with pytest.raises(CheckFailed, match="recoveryWindowInDays must be from 7 to 30 or 0, not 3"):
        found.check(name=name, recoveryWindowInDays=3)
    at_once = made(provider, SECRET, name=unique("gone"), recoveryWindowInDays=0)
    gone = at_once.id
    at_once.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.describe_secret(SecretId=gone)


def test_a_value_is_secret_and_a_write_only_one_is_nowhere(provider: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    value = f"v-{uuid.uuid4()}"
    holder = made(provider, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    plain_version = made(provider, VERSION, secretId=holder.id, secretString=value)
    assert plain_version.state["secretString"].is_secret
    assert plain_version.inputs["secretString"].is_secret
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == value
    assert plain_version.up(secretId=holder.id, secretString=value) == "same"
    assert plain_version.diff(secretId=holder.id, secretString=value + "2").replaces == ["secretString"]
    client.put_secret_value(SecretId=holder.id, SecretString="by another hand")
    assert plain_version.read()  # AWSPREVIOUS still
    client.put_secret_value(SecretId=holder.id, SecretString="and again")
    assert not plain_version.read()

    hidden = Driven(provider, VERSION)
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


def test_stages_of_a_version_move(provider: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    holder = made(provider, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    first = made(provider, VERSION, "one", secretId=holder.id, secretString="a")
    second = made(provider, VERSION, "two", secretId=holder.id, secretString="b", versionStages=["AWSPENDING"])
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == "a"
    assert second.up(secretId=holder.id, secretString="b", versionStages=["AWSCURRENT"]) == "update"
    assert client.get_secret_value(SecretId=holder.id)["SecretString"] == "b"
    assert first.read()
    assert first.values["versionStages"] == ["AWSPREVIOUS"]


def test_a_secrets_policy(provider: AwsProvider, cloud: Cloud) -> None:
    holder = made(provider, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    says = document({"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecret", "Resource": "*"})
    policy = made(provider, SECRET_POLICY, secretArn=holder.id, policy=says, blockPublicPolicy=True)
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
    assert not Driven(provider, SECRET_POLICY).imported(str(holder.id))


def test_a_rotation_schedule(provider: AwsProvider, cloud: Cloud) -> None:
    client = cloud.admin.client("secretsmanager")
    holder = made(provider, SECRET, name=unique("secret"), recoveryWindowInDays=0)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{unique()}"
    admin.register_function(cloud.aws, arn, "http://127.0.0.1:1/")
    inputs: dict[str, Any] = {
        "secretId": holder.id,
        "rotationLambdaArn": arn,
        "rotateImmediately": False,
        "rotationRules": {"automaticallyAfterDays": 30},
    }
    found = made(provider, ROTATION, **inputs)
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


def test_a_key_its_alias_and_its_policy(provider: AwsProvider, cloud: Cloud) -> None:
    kms = cloud.admin.client("kms")
    inputs: dict[str, Any] = {
        "description": "d",
        "enableKeyRotation": True,
        "deletionWindowInDays": 7,
        "tags": {"a": "1"},
    }
    key = made(provider, KEY, **inputs)
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

    other = made(provider, KEY, "other")
    alias = made(provider, ALIAS, name=f"alias/{unique()}", targetKeyId=key.id)
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
    policy = made(provider, KEY_POLICY, keyId=other.id, policy=document(everyone))
    assert policy.read()
    policy.delete()
    alias.delete()
    gone = key.id
    key.delete()
    assert kms.describe_key(KeyId=gone)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert not Driven(provider, KEY).imported(str(gone))


def test_a_pod_identity_association(provider: AwsProvider) -> None:
    role = made(provider, ROLE, assumeRolePolicy=TRUST)
    inputs = {
        "clusterName": "sandbox",
        "namespace": "production",
        "serviceAccount": unique(),
        "roleArn": role.values["arn"],
        "tags": {"a": "1"},
    }
    found = made(provider, POD_IDENTITY, **inputs)
    assert found.values["associationId"] == found.id
    assert found.up(**inputs) == "same"
    other = made(provider, ROLE, "other", assumeRolePolicy=TRUST)
    assert found.up(**{**inputs, "roleArn": other.values["arn"], "tags": {"b": "2"}}) == "update"
    assert found.read()
    assert found.values["tagsAll"] == {"b": "2"}
    assert found.diff(**{**inputs, "namespace": "x"}).replaces == ["namespace"]
    again = Driven(provider, POD_IDENTITY)
    assert again.imported(f"sandbox,{found.id}")
    found.delete()
    assert not again.read()


def test_a_cluster_has_the_sandboxs_issuer_where_it_is_its_own(provider: AwsProvider, cloud: Cloud) -> None:
    found = invoke(provider, "aws:eks/getCluster:getCluster", name="sandbox")
    assert plain(found["identities"])[0]["oidcs"][0]["issuer"] == cloud.issuer.url
    name = unique("cluster")
    role = f"arn:aws:iam::{ACCOUNT}:role/eks"
    cluster = made(provider, CLUSTER, name=name, roleArn=role, vpcConfig={"subnetIds": ["subnet-1", "subnet-2"]})
    assert cluster.read()
    assert cluster.up(name=name, roleArn=role, vpcConfig={"subnetIds": ["subnet-1", "subnet-2"]}) == "same"
    cluster.delete()
    assert not Driven(provider, CLUSTER).imported(name)


# -- all alike -------------------------------------------------------------------------------------------------------------


def test_unknown_and_missing_properties_are_named(provider: AwsProvider) -> None:
    with pytest.raises(CheckFailed, match="has no property 'assumeRolePolicey'; did you mean 'assumeRolePolicy'"):
        Driven(provider, ROLE).check(assumeRolePolicey=TRUST)
    with pytest.raises(CheckFailed, match="needs assumeRolePolicy"):
        Driven(provider, ROLE).check(name="x")
    with pytest.raises(CheckFailed, match="maxSessionDuration must be a whole number, not this string"):
        Driven(provider, ROLE).check(assumeRolePolicy=TRUST, maxSessionDuration="long")
    with pytest.raises(CheckFailed, match="no resource type 'aws:s3/bucket:Bucket'"):
        Driven(provider, "aws:s3/bucket:Bucket").check()


def test_a_preview_touches_nothing_and_shows_unknowns(provider: AwsProvider, cloud: Cloud) -> None:
    before = len(cloud.admin.client("iam").list_roles()["Roles"])
    shown = Driven(provider, ROLE).preview(name="never-made", assumeRolePolicy=Unknown, tags={"a": "1"})
    assert plain(shown["name"]) == "never-made"
    for name in ("arn", "uniqueId", "assumeRolePolicy"):
        assert plain(shown[name]) == Unknown.value
    assert len(cloud.admin.client("iam").list_roles()["Roles"]) == before
    role = made(provider, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    assert plain(role.preview(name=role.id, assumeRolePolicy=TRUST, description="new")["arn"]) == role.values["arn"]
    diff = role.diff(name=role.id, assumeRolePolicy=Unknown)
    assert diff.changes
    assert not diff.replaces


def test_the_providers_default_tags_are_in_tags_all(provider: AwsProvider, cloud: Cloud) -> None:
    configure(provider, defaultTags={"tags": {"owner": "platform", "a": "default"}})
    name = unique("role")
    role = made(provider, ROLE, name=name, assumeRolePolicy=TRUST, tags={"a": "1"})
    assert role.values["tagsAll"] == {"owner": "platform", "a": "1"}
    assert role.values["tags"] == {"a": "1"}
    assert role.read()
    assert role.up(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}) == "same"
    configure(provider, defaultTags={"tags": {"owner": "other"}})
    assert role.diff(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}).diffs == ["tagsAll"]
    assert role.up(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}) == "update"
    live = cloud.admin.client("iam").get_role(RoleName=name)["Role"]["Tags"]
    assert sorted((tag["Key"], tag["Value"]) for tag in live) == [("a", "1"), ("owner", "other")]


def test_what_a_killed_run_made_is_taken_over_and_a_strangers_is_not(provider: AwsProvider, cloud: Cloud) -> None:
    role, name = Driven(provider, ROLE), unique("role")
    inputs = {"name": name, "assumeRolePolicy": TRUST, "tags": {"a": "1"}}
    role.up(**inputs)
    again = Driven(provider, ROLE)  # the state of the first was never written
    assert again.up(**inputs) == "create"
    with pytest.raises(AwsProviderError, match="EntityAlreadyExists"):
        Driven(provider, ROLE).up(**{**inputs, "description": "not the same"})

    key = made(provider, KEY, "kept", description="one")
    fresh = AwsProvider()
    try:
        later = made(fresh, KEY, "kept", description="one")
        assert later.id == key.id
        assert made(fresh, KEY, "another", description="one").id != key.id
        assert later.read()
        assert later.values.get("tagsAll") == {}  # the mark by which it was found is no tag of the program's
        assert later.up(description="one") == "same"
    finally:
        fresh.close()


def test_the_servers_own_message_is_told_without_the_value(provider: AwsProvider) -> None:
    value = f"v-{uuid.uuid4()}"
    with pytest.raises(AwsProviderError, match="ResourceNotFoundException") as caught:
        Driven(provider, VERSION).up(secretId="no-such-secret", secretString=value)
    assert value not in str(caught.value)
    assert "when calling the PutSecretValue operation" in str(caught.value)


def test_an_import_reads_all_and_changes_nothing(provider: AwsProvider) -> None:
    role = made(provider, ROLE, name=unique("role"), assumeRolePolicy=TRUST, description="d", tags={"a": "1"})
    policy = made(provider, ROLE_POLICY, role=role.id, name="p", policy=document(allow("a:B")))
    again = Driven(provider, ROLE)
    assert again.imported(str(role.id))
    assert again.up(name=role.id, assumeRolePolicy=TRUST, description="d", tags={"a": "1"}) == "same"
    inline = Driven(provider, ROLE_POLICY)
    assert inline.imported(f"{role.id}:p")
    assert inline.up(role=role.id, name="p", policy=document(allow("a:B"))) == "same"
    policy.delete()
    assert not inline.read()
    with pytest.raises(AwsProviderError, match="has the form ROLE:NAME"):
        Driven(provider, ROLE_POLICY).imported("nonsense")


def test_a_role_with_policies_of_others_goes_only_by_force(provider: AwsProvider, cloud: Cloud) -> None:
    role = made(provider, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    cloud.admin.client("iam").put_role_policy(
        RoleName=role.id, PolicyName="theirs", PolicyDocument=document(allow("a:B"))
    )
    with pytest.raises(AwsProviderError, match="DeleteConflict"):
        role.delete()
    assert role.up(name=role.id, assumeRolePolicy=TRUST, forceDetachPolicies=True) == "update"
    role.delete()


def test_functions_answer_as_the_real_providers(provider: AwsProvider, cloud: Cloud) -> None:
    statement = {
        "actions": ["s3:GetObject"],
        "resources": ["b", "a"],
        "principals": [{"type": "AWS", "identifiers": ["*"]}],
        "conditions": [{"test": "StringEquals", "variable": "k", "values": ["v"]}],
    }
    found = json.loads(
        plain(invoke(provider, "aws:iam/getPolicyDocument:getPolicyDocument", statements=[statement])["json"])
    )
    assert found == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": ["b", "a"],
                "Principal": {"AWS": "*"},
                "Condition": {"StringEquals": {"k": "v"}},
            }
        ],
    }
    with pytest.raises(CheckFailed, match="a statement has no 'action'"):
        invoke(provider, "aws:iam/getPolicyDocument:getPolicyDocument", statements=[{"action": ["x"]}])
    assert plain(invoke(provider, "aws:index/getCallerIdentity:getCallerIdentity")["accountId"]) == ACCOUNT
    assert plain(invoke(provider, "aws:index/getRegion:getRegion")["name"]) == REGION
    assert plain(invoke(provider, "aws:index/getPartition:getPartition")["dnsSuffix"]) == "amazonaws.com"
    value = f"v-{uuid.uuid4()}"
    arn = cloud.secret(value)
    assert plain(invoke(provider, "aws:secretsmanager/getSecret:getSecret", arn=arn)["arn"]) == arn
    version = invoke(provider, "aws:secretsmanager/getSecretVersion:getSecretVersion", secretId=arn)
    assert version["secretString"].is_secret
    assert plain(version["secretString"]) == value
    with pytest.raises(AwsProviderError, match="secret 'nope' does not exist"):
        invoke(provider, "aws:secretsmanager/getSecret:getSecret", name="nope")
    with pytest.raises(AwsProviderError, match="has no function 'aws:s3/getBucket:getBucket'"):
        invoke(provider, "aws:s3/getBucket:getBucket")


def test_anything_but_loopback_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://secretsmanager.us-east-1.amazonaws.com")
    monkeypatch.setenv("AWS_REGION", REGION)
    found = AwsProvider()
    with pytest.raises(EndpointRefused, match="AWS_ENDPOINT_URL"):
        made(found, ROLE, assumeRolePolicy=TRUST)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(AwsProviderError, match="no endpoint"):
        made(found, ROLE, assumeRolePolicy=TRUST)
    found.close()


def test_many_at_once(provider: AwsProvider, cloud: Cloud) -> None:
    names = [unique("many") for _ in range(40)]

    def one(name: str) -> str:
        return str(made(provider, SECRET, name=name, recoveryWindowInDays=0).id)

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(one, names))
    assert len(set(ids)) == len(names)


def test_every_type_and_property_is_the_sdks() -> None:
    import pulumi_aws

    classes = {
        ROLE: pulumi_aws.iam.RoleArgs, POLICY: pulumi_aws.iam.PolicyArgs, ROLE_POLICY: pulumi_aws.iam.RolePolicyArgs,
        ATTACHMENT: pulumi_aws.iam.RolePolicyAttachmentArgs, OIDC: pulumi_aws.iam.OpenIdConnectProviderArgs,
        SECRET: pulumi_aws.secretsmanager.SecretArgs, VERSION: pulumi_aws.secretsmanager.SecretVersionArgs,
        SECRET_POLICY: pulumi_aws.secretsmanager.SecretPolicyArgs, ROTATION: pulumi_aws.secretsmanager.SecretRotationArgs,
        KEY: pulumi_aws.kms.KeyArgs, ALIAS: pulumi_aws.kms.AliasArgs, KEY_POLICY: pulumi_aws.kms.KeyPolicyArgs,
        CLUSTER: pulumi_aws.eks.ClusterArgs, POD_IDENTITY: pulumi_aws.eks.PodIdentityAssociationArgs,
    }  # fmt: skip
    assert classes.keys() == RESOURCES.keys()
    for kind, sdk in classes.items():
        known = {
            getattr(member.fget, "_pulumi_name", None) for member in vars(sdk).values() if isinstance(member, property)
        }
        assert RESOURCES[kind].fields.keys() <= known, kind
