"""What holds for everything that the aws provider makes, against the AWS server."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.providers.aws import AwsProvider
from sandbox.providers.aws.errors import AwsProviderError
from sandbox.providers.aws.provider import RESOURCES
from sandbox.providers.errors import EndpointRefused
from sandbox.providers.values import plain
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
from tests.providers.driver import CheckFailed, Driven, Unknown, configure, invoke


def test_unknown_and_missing_properties_are_named(aws: AwsProvider) -> None:
    with pytest.raises(CheckFailed, match="has no property 'assumeRolePolicey'; did you mean 'assumeRolePolicy'"):
        Driven(aws, ROLE).check(assumeRolePolicey=TRUST)
    with pytest.raises(CheckFailed, match="needs assumeRolePolicy"):
        Driven(aws, ROLE).check(name="x")
    with pytest.raises(CheckFailed, match="maxSessionDuration must be a whole number, not this string"):
        Driven(aws, ROLE).check(assumeRolePolicy=TRUST, maxSessionDuration="long")
    with pytest.raises(CheckFailed, match="no resource type 'aws:s3/bucket:Bucket'"):
        Driven(aws, "aws:s3/bucket:Bucket").check()


def test_a_preview_touches_nothing_and_shows_unknowns(aws: AwsProvider, cloud: Cloud) -> None:
    before = len(cloud.admin.client("iam").list_roles()["Roles"])
    shown = Driven(aws, ROLE).preview(name="never-made", assumeRolePolicy=Unknown, tags={"a": "1"})
    assert plain(shown["name"]) == "never-made"
    for name in ("arn", "uniqueId", "assumeRolePolicy"):
        assert plain(shown[name]) == Unknown.value
    assert len(cloud.admin.client("iam").list_roles()["Roles"]) == before
    role = made(aws, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    assert plain(role.preview(name=role.id, assumeRolePolicy=TRUST, description="new")["arn"]) == role.values["arn"]
    diff = role.diff(name=role.id, assumeRolePolicy=Unknown)
    assert diff.changes
    assert not diff.replaces


def test_the_providers_default_tags_are_in_tags_all(aws: AwsProvider, cloud: Cloud) -> None:
    configure(aws, defaultTags={"tags": {"owner": "platform", "a": "default"}})
    name = unique("role")
    role = made(aws, ROLE, name=name, assumeRolePolicy=TRUST, tags={"a": "1"})
    assert role.values["tagsAll"] == {"owner": "platform", "a": "1"}
    assert role.values["tags"] == {"a": "1"}
    assert role.read()
    assert role.up(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}) == "same"
    configure(aws, defaultTags={"tags": {"owner": "other"}})
    assert role.diff(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}).diffs == ["tagsAll"]
    assert role.up(name=name, assumeRolePolicy=TRUST, tags={"a": "1"}) == "update"
    live = cloud.admin.client("iam").get_role(RoleName=name)["Role"]["Tags"]
    assert sorted((tag["Key"], tag["Value"]) for tag in live) == [("a", "1"), ("owner", "other")]


def test_what_a_killed_run_made_is_taken_over_and_a_strangers_is_not(aws: AwsProvider, cloud: Cloud) -> None:
    role, name = Driven(aws, ROLE), unique("role")
    inputs = {"name": name, "assumeRolePolicy": TRUST, "tags": {"a": "1"}}
    role.up(**inputs)
    again = Driven(aws, ROLE)  # the state of the first was never written
    assert again.up(**inputs) == "create"
    with pytest.raises(AwsProviderError, match="EntityAlreadyExists"):
        Driven(aws, ROLE).up(**{**inputs, "description": "not the same"})

    key = made(aws, KEY, "kept", description="one")
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


def test_the_servers_own_message_is_told_without_the_value(aws: AwsProvider) -> None:
    value = f"v-{uuid.uuid4()}"
    with pytest.raises(AwsProviderError, match="ResourceNotFoundException") as caught:
        Driven(aws, VERSION).up(secretId="no-such-secret", secretString=value)
    assert value not in str(caught.value)
    assert "when calling the PutSecretValue operation" in str(caught.value)


def test_an_import_reads_all_and_changes_nothing(aws: AwsProvider) -> None:
    role = made(aws, ROLE, name=unique("role"), assumeRolePolicy=TRUST, description="d", tags={"a": "1"})
    policy = made(aws, ROLE_POLICY, role=role.id, name="p", policy=document(allow("a:B")))
    again = Driven(aws, ROLE)
    assert again.imported(str(role.id))
    assert again.up(name=role.id, assumeRolePolicy=TRUST, description="d", tags={"a": "1"}) == "same"
    inline = Driven(aws, ROLE_POLICY)
    assert inline.imported(f"{role.id}:p")
    assert inline.up(role=role.id, name="p", policy=document(allow("a:B"))) == "same"
    policy.delete()
    assert not inline.read()
    with pytest.raises(AwsProviderError, match="has the form ROLE:NAME"):
        Driven(aws, ROLE_POLICY).imported("nonsense")


def test_a_role_with_policies_of_others_goes_only_by_force(aws: AwsProvider, cloud: Cloud) -> None:
    role = made(aws, ROLE, name=unique("role"), assumeRolePolicy=TRUST)
    cloud.admin.client("iam").put_role_policy(
        RoleName=role.id, PolicyName="theirs", PolicyDocument=document(allow("a:B"))
    )
    with pytest.raises(AwsProviderError, match="DeleteConflict"):
        role.delete()
    assert role.up(name=role.id, assumeRolePolicy=TRUST, forceDetachPolicies=True) == "update"
    role.delete()


def test_functions_answer_as_the_real_providers(aws: AwsProvider, cloud: Cloud) -> None:
    statement = {
        "actions": ["s3:GetObject"],
        "resources": ["b", "a"],
        "principals": [{"type": "AWS", "identifiers": ["*"]}],
        "conditions": [{"test": "StringEquals", "variable": "k", "values": ["v"]}],
    }
    found = json.loads(
        plain(invoke(aws, "aws:iam/getPolicyDocument:getPolicyDocument", statements=[statement])["json"])
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
        invoke(aws, "aws:iam/getPolicyDocument:getPolicyDocument", statements=[{"action": ["x"]}])
    assert plain(invoke(aws, "aws:index/getCallerIdentity:getCallerIdentity")["accountId"]) == ACCOUNT
    assert plain(invoke(aws, "aws:index/getRegion:getRegion")["name"]) == REGION
    assert plain(invoke(aws, "aws:index/getPartition:getPartition")["dnsSuffix"]) == "amazonaws.com"
    value = f"v-{uuid.uuid4()}"
    arn = cloud.secret(value)
    assert plain(invoke(aws, "aws:secretsmanager/getSecret:getSecret", arn=arn)["arn"]) == arn
    version = invoke(aws, "aws:secretsmanager/getSecretVersion:getSecretVersion", secretId=arn)
    assert version["secretString"].is_secret
    assert plain(version["secretString"]) == value
    with pytest.raises(AwsProviderError, match="secret 'nope' does not exist"):
        invoke(aws, "aws:secretsmanager/getSecret:getSecret", name="nope")
    with pytest.raises(AwsProviderError, match="has no function 'aws:s3/getBucket:getBucket'"):
        invoke(aws, "aws:s3/getBucket:getBucket")


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


def test_many_at_once(aws: AwsProvider, cloud: Cloud) -> None:
    names = [unique("many") for _ in range(40)]

    def one(name: str) -> str:
        return str(made(aws, SECRET, name=name, recoveryWindowInDays=0).id)

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
