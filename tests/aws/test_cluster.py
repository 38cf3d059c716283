"""The whole chain on the sandbox's own cluster: a service account's token, exchanged at STS, reads its secret and no other."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
import yaml
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox.endpoints import Aws, Endpoints, Kubernetes
from tests.aws.fixtures import ACCOUNT, REGION, Session, allow, document

pytestmark = pytest.mark.sandbox


def admin_session(aws: Aws) -> Session:
    return Session(aws.endpoint_url, aws.access_key_id, aws.secret_access_key)


@pytest.fixture
def api(sandbox_endpoints: Endpoints) -> Iterator[httpx.Client]:
    """The cluster's API as its administrator."""
    kubernetes = sandbox_endpoints.kubernetes
    user = yaml.safe_load(Path(kubernetes.kubeconfig).read_text(encoding="utf-8"))["users"][0]["user"]
    context = ssl.create_default_context(cafile=kubernetes.ca_file)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name in ("client-certificate", "client-key"):
            file = Path(folder) / name
            data = user.get(f"{name}-data")
            file.write_bytes(base64.b64decode(data) if data else Path(user[name]).read_bytes())
            files.append(file)
        context.load_cert_chain(*files)
    with httpx.Client(base_url=kubernetes.server, verify=context, trust_env=False, timeout=60) as client:
        yield client


@pytest.fixture
def namespaces(api: httpx.Client) -> Iterator[tuple[str, str]]:
    """Two namespaces with the service accounts app and other."""
    names = tuple(f"{kind}-{uuid.uuid4().hex[:6]}" for kind in ("production", "staging"))
    for name in names:
        api.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
        for account in ("app", "other"):
            made = {"metadata": {"name": account}}
            api.post(f"/api/v1/namespaces/{name}/serviceaccounts", json=made).raise_for_status()
    yield names[0], names[1]
    for name in names:
        api.delete(f"/api/v1/namespaces/{name}").raise_for_status()


def token(api: httpx.Client, namespace: str, account: str, audience: str = "sts.amazonaws.com") -> str:
    body = {"spec": {"audiences": [audience], "expirationSeconds": 600}}
    made = api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", json=body).raise_for_status()
    text: str = made.json()["status"]["token"]
    return text


def role_of(aws: Aws, kubernetes: Kubernetes, namespace: str, secret: str) -> str:
    iam = admin_session(aws).client("iam")
    host = kubernetes.issuer.removeprefix("https://")
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
    known = [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    if arn not in known:
        iam.create_open_id_connect_provider(Url=kubernetes.issuer, ClientIDList=["sts.amazonaws.com"])
    subject = f"system:serviceaccount:{namespace}:app"
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}},
    }
    name = f"role-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    pattern = f"{secret[:-6]}??????"
    read = allow("secretsmanager:GetSecretValue", pattern)
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=document(read))
    return str(made)


def assume(aws: Aws, role: str, web_token: str) -> Session:
    config: Any = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    sts = boto3.client("sts", endpoint_url=aws.endpoint_url, region_name=REGION, config=config)
    found = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="app", WebIdentityToken=web_token)[
        "Credentials"
    ]
    return Session(aws.endpoint_url, found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])


def test_a_service_account_reads_its_secret_and_nobody_else_does(
    sandbox_endpoints: Endpoints, api: httpx.Client, namespaces: tuple[str, str]
) -> None:
    aws, (production, staging) = sandbox_endpoints.aws, namespaces
    manager = admin_session(aws).client("secretsmanager")
    mine, other = (
        manager.create_secret(Name=f"{production}/{name}", SecretString=name)["ARN"] for name in ("mine", "other")
    )
    role = role_of(aws, sandbox_endpoints.kubernetes, production, mine)
    client = assume(aws, role, token(api, production, "app")).client("secretsmanager")
    assert client.get_secret_value(SecretId=f"{production}/mine")["SecretString"] == "mine"
    with pytest.raises(ClientError, match="AccessDeniedException"):
        client.get_secret_value(SecretId=other)
    for namespace, account in ((staging, "app"), (production, "other")):
        with pytest.raises(ClientError, match="Not authorized to perform sts:AssumeRoleWithWebIdentity"):
            assume(aws, role, token(api, namespace, account))
    with pytest.raises(ClientError, match="Incorrect token audience"):
        assume(aws, role, token(api, production, "app", audience="vault"))
    for arn in (mine, other):
        manager.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def test_pod_identity_knows_the_cluster_and_its_pods(
    sandbox_endpoints: Endpoints, api: httpx.Client, namespaces: tuple[str, str]
) -> None:
    aws, namespace = sandbox_endpoints.aws, namespaces[0]
    admin = admin_session(aws)
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": namespace}},
    }
    made = admin.client("iam").create_role(
        RoleName=f"pod-{uuid.uuid4().hex[:8]}", AssumeRolePolicyDocument=document(trust)
    )
    role = made["Role"]["Arn"]
    association = admin.client("eks").create_pod_identity_association(
        clusterName="sandbox", namespace=namespace, serviceAccount="app", roleArn=role
    )
    web_token = token(api, namespace, "app", audience="pods.eks.amazonaws.com")
    headers = {"Authorization": web_token}
    found = httpx.get(f"{aws.endpoint_url}/v1/credentials", headers=headers, timeout=60).json()
    session = Session(aws.endpoint_url, found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
    assert (
        f"assumed-role/{role.rpartition('/')[2]}/eks-sandbox-app-" in session.client("sts").get_caller_identity()["Arn"]
    )
    admin.client("eks").delete_pod_identity_association(
        clusterName="sandbox", associationId=association["association"]["associationId"]
    )


def test_the_cluster_that_eks_describes_is_the_sandboxs(sandbox_endpoints: Endpoints) -> None:
    found = admin_session(sandbox_endpoints.aws).client("eks").describe_cluster(name="sandbox")["cluster"]
    assert found["identity"]["oidc"]["issuer"] == sandbox_endpoints.kubernetes.issuer
    authority = base64.b64decode(found["certificateAuthority"]["data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    address = f"{found['identity']['oidc']['issuer']}/openid/v1/jwks"
    keys = httpx.get(address, verify=context, trust_env=False, timeout=60)
    assert json.loads(keys.text)["keys"]
