"""What the tests of the aws provider share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.providers.aws import AwsProvider
from tests.aws.fixtures import REGION, Cloud, document
from tests.providers.driver import Driven

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
def aws(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsProvider]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.aws.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.aws.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cloud.aws.secret_access_key)
    monkeypatch.setenv("AWS_REGION", REGION)
    made = AwsProvider()
    yield made
    made.close()


def made(aws: AwsProvider, kind: str, logical: str = "it", /, **inputs: Any) -> Driven:
    found = Driven(aws, kind, logical)
    assert found.up(**inputs) == "create"
    return found
