"""What a release's controller is to AWS and to Vault: its service account's role, and the injector's agents."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import hvac
import pytest

from sandbox import servers
from sandbox.endpoints import Endpoints
from sandbox.providers.kubernetes import KubernetesProvider
from tests.providers.driver import Driven, configure
from tests.providers.test_kubernetes_releases import RELEASE, apply, kubectl, secret
from tests.servers import own
from tests.waiting import until


@pytest.fixture(scope="module")
def cluster() -> Iterator[Endpoints]:
    with own.folder() as state_dir, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_SANDBOX", str(state_dir))
        yield servers.start(state_dir, owner=os.getpid())


@pytest.fixture(scope="module")
def provider(cluster: Endpoints) -> Iterator[KubernetesProvider]:
    made = KubernetesProvider()
    configure(made, kubeconfig=cluster.kubernetes.kubeconfig)
    yield made
    made.close()


def aws(cluster: Endpoints, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=cluster.aws.endpoint_url,
        region_name=cluster.aws.region,
        aws_access_key_id=cluster.aws.access_key_id,
        aws_secret_access_key=cluster.aws.secret_access_key,
    )


def test_an_annotated_service_account_gives_the_controller_its_role(
    provider: KubernetesProvider, cluster: Endpoints
) -> None:
    iam, value = aws(cluster, "iam"), uuid.uuid4().hex
    issuer = cluster.kubernetes.issuer
    host = issuer.removeprefix("https://")
    provider_arn = iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"])[
        "OpenIDConnectProviderArn"
    ]
    subject = "system:serviceaccount:eso:operator"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": provider_arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}},
            }
        ],
    }
    role = iam.create_role(RoleName="operator", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    granted = aws(cluster, "secretsmanager").create_secret(Name="granted", SecretString=value)["ARN"]
    aws(cluster, "secretsmanager").create_secret(Name="other", SecretString="not for the operator")
    statement = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": granted}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="operator", PolicyName="read", PolicyDocument=policy)

    release = Driven(provider, RELEASE, "operator")
    release.up(
        name="eso",
        namespace="eso",
        createNamespace=True,
        chart="external-secrets",
        values={
            "serviceAccount": {"name": "operator", "annotations": {"eks.amazonaws.com/role-arn": role}},
            "scopedNamespace": "eso",
            "scopedRBAC": True,
        },
    )
    place = {"name": "app", "namespace": "eso"}
    store = {"provider": {"aws": {"service": "SecretsManager", "region": cluster.aws.region}}}
    group = "external-secrets.io/v1"
    apply(
        cluster,
        {"apiVersion": group, "kind": "SecretStore", "metadata": place, "spec": store},
        *(
            {"apiVersion": group, "kind": "ExternalSecret", "metadata": {**place, "name": name}, "spec": {
                "refreshInterval": "1h", "secretStoreRef": {"name": "app"},
                "data": [{"secretKey": "v", "remoteRef": {"key": name}}]}}
            for name in ("granted", "other")
        ),
    )  # fmt: skip
    until("the granted secret is there", lambda: secret(cluster, "eso", "granted") == {"v": value})
    events = ("get", "events", "-n", "eso", "--field-selector=involvedObject.name=other")
    until("the other one is refused", lambda: "UpdateFailed" in kubectl(cluster, *events))
    assert secret(cluster, "eso", "other") == {}
    # Its role is a Role in that one namespace.
    account = "--as=system:serviceaccount:eso:operator"
    assert kubectl(cluster, "auth", "can-i", "list", "secrets", "-n", "eso", account).strip() == "yes"
    assert kubectl(cluster, "auth", "can-i", "list", "secrets", "-n", "default", account, check=False).strip() == "no"
    kubectl(cluster, "delete", "externalsecrets", "--all", "-n", "eso")
    release.delete()


def test_the_injector_of_the_vault_chart_runs_an_agent_for_an_annotated_workload(
    provider: KubernetesProvider, cluster: Endpoints
) -> None:
    value = uuid.uuid4().hex
    vault = hvac.Client(url=cluster.vault.address, token=cluster.vault.token, verify=cluster.vault.ca_file, timeout=60)
    vault.sys.enable_secrets_engine("kv", path="kv", options={"version": "1"})
    vault.secrets.kv.v1.create_or_update_secret("web", {"password": value}, mount_point="kv")
    vault.sys.create_or_update_policy("web", 'path "kv/web" { capabilities = ["read"] }')
    vault.sys.enable_auth_method("kubernetes")
    ca = Path(cluster.kubernetes.ca_file).read_text()
    vault.write("auth/kubernetes/config", kubernetes_host=cluster.kubernetes.server, kubernetes_ca_cert=ca)
    vault.write(
        "auth/kubernetes/role/web",
        bound_service_account_names="web",
        bound_service_account_namespaces="web",
        token_policies="web",
    )
    release = Driven(provider, RELEASE, "injector")
    release.up(
        name="vault",
        namespace="vault",
        createNamespace=True,
        chart="vault",
        values={
            "global": {"externalVaultAddr": cluster.vault.address},
            "server": {"enabled": "false"},
            "csi": {"enabled": False},
            "injector": {"enabled": "true", "replicas": 2},
        },
    )
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "web", "namespace": "web"}
    annotations = {
        "vault.hashicorp.com/agent-inject": "true",
        "vault.hashicorp.com/role": "web",
        "vault.hashicorp.com/agent-inject-secret-password": "kv/web",
        "vault.hashicorp.com/agent-inject-template-password": '{{ with secret "kv/web" }}{{ .Data.password }}{{ end }}',
    }
    labels = {"app": "web"}
    pod = {"serviceAccountName": "web", "containers": [{"name": "web", "image": "web:1"}]}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}
    place = {"name": "web", "namespace": "web"}
    apply(
        cluster,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "web"},
         "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"}, "subjects": [subject]},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": place,
         "spec": {"selector": {"matchLabels": labels}, "template": template}},
    )  # fmt: skip
    rendered = Path(cluster.state_dir) / "pods/web/web/vault/secrets/password"
    until("the agent has rendered it", lambda: rendered.exists() and rendered.read_text() == value)
    # The injector's own account may ask for tokens and read workloads, but no Secret.
    account = "--as=system:serviceaccount:vault:vault-agent-injector"
    assert kubectl(cluster, "auth", "can-i", "get", "secrets", "-A", account, check=False).strip() == "no"
    release.delete()
    until("the agent is gone with its injector", lambda: not rendered.exists())
