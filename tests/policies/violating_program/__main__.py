"""A stack that breaks every rule at least once. Nothing here is secret: the passwords are words of this file."""

import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_vault as vault

ACCOUNT = "111122223333"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"


def document(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


# -- IAM: whoever has a token of the cluster, or an account at all, gets in and may do everything
web_identity = {
    "Effect": "Allow",
    "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:*:*"}},
}
reader = aws.iam.Role(
    "reader",
    name="reader",
    assume_role_policy=document(web_identity),
    inline_policies=[{"name": "a", "policy": document()}],
)
aws.iam.Role(
    "open",
    name="open",
    assume_role_policy=document({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}),
)
aws.iam.Role(
    "account",
    name="account",
    assume_role_policy=document(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ),
)
aws.iam.RolePolicy(
    "everything",
    role="reader",
    policy=document(
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"},
        {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::private/*"},
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:app*",
            "Condition": {"ForAllValues:StringEquals": {"aws:PrincipalTag/team": ["payments"]}},
        },
    ),
)

# -- Secrets Manager and KMS: defaults that nobody changed, or changed for the worse
secret = aws.secretsmanager.Secret("secret", name="app", recovery_window_in_days=0)
aws.secretsmanager.SecretVersion("version", secret_id=secret.id, secret_string="hunter2")
aws.secretsmanager.SecretPolicy(
    "policy",
    secret_arn=secret.arn,
    policy=document({"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}),
)
aws.secretsmanager.SecretRotation(
    "rotation",
    secret_id="another",
    rotation_lambda_arn=f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:rotate",
    rotation_rules={"automatically_after_days": 365},
)
aws.kms.Key(
    "key",
    deletion_window_in_days=7,
    bypass_policy_lockout_safety_check=True,
    policy=document({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}),
)

# -- Vault: no TLS, no bounds, no audit
provider = vault.Provider("vault", address="http://vault.example.com:8200", token="root", skip_child_token=True)
in_vault = pulumi.ResourceOptions(provider=provider)
vault.Mount("database", path="database", type="database", opts=in_vault)
vault.Policy("admin", name="admin", policy='path "*" {\n  capabilities = ["read", "sudo"]\n}\n', opts=in_vault)
vault.Token("token", policies=["root"], period="24h", opts=in_vault)
vault.database.SecretBackendConnection(
    "postgres",
    backend="database",
    name="postgres",
    allowed_roles=["*"],
    postgresql={"connection_url": "postgresql://postgres:hunter2@postgres:5432/postgres"},
    opts=in_vault,
)
vault.database.SecretBackendRole(
    "app",
    backend="database",
    name="app",
    db_name="postgres",
    creation_statements=["CREATE ROLE \"{{name}}\" SUPERUSER LOGIN PASSWORD '{{password}}'"],
    default_ttl=86400,
    max_ttl=3600,
    opts=in_vault,
)
vault.kubernetes.AuthBackendRole(
    "anyone",
    role_name="anyone",
    bound_service_account_names=["*"],
    bound_service_account_namespaces=["*"],
    token_policies=["admin"],
    opts=in_vault,
)


# -- Kubernetes: secrets wherever they fit
def custom(name: str, api_version: str, kind: str, spec: dict[str, object], **metadata: object) -> None:
    k8s.apiextensions.CustomResource(
        name,
        api_version=api_version,
        kind=kind,
        metadata={"name": name, "namespace": "production", **metadata},
        spec=spec,
    )


ESO = "external-secrets.io/v1beta1"
custom(
    "everywhere",
    ESO,
    "ClusterSecretStore",
    {"provider": {"vault": {"server": "http://vault:8200", "auth": {"tokenSecretRef": {"name": "token", "key": "t"}}}}},
)
custom("invented", "external-secrets.io/v1", "SecretStore", {"provider": {"fake": {"data": []}}})
custom(
    "unaudienced",
    "external-secrets.io/v1",
    "SecretStore",
    {
        "provider": {
            "vault": {
                "server": "https://vault.example.com:8200",
                "auth": {"kubernetes": {"role": "anyone", "serviceAccountRef": {"name": "default"}}},
            }
        }
    },
)
custom(
    "pair",
    "external-secrets.io/v1",
    "ExternalSecret",
    {
        "refreshInterval": "48h",
        "secretStoreRef": {"name": "everywhere", "kind": "ClusterSecretStore"},
        "data": [
            {"secretKey": key, "remoteRef": {"key": "database/creds/app", "property": key}}
            for key in ("username", "password")
        ],
    },
)
custom(
    "once",
    "external-secrets.io/v1",
    "ExternalSecret",
    {"refreshInterval": "0", "dataFrom": [{"extract": {"key": "database/creds/app"}}]},
)
custom(
    "sealed",
    "bitnami.com/v1alpha1",
    "SealedSecret",
    {"encryptedData": {}},
    annotations={"sealedsecrets.bitnami.com/cluster-wide": "true"},
)
k8s.core.v1.Secret("raw", metadata={"name": "raw"}, string_data={"password": "hunter2"})
k8s.core.v1.Secret(
    "token-secret",
    metadata={"name": "token", "annotations": {"kubernetes.io/service-account.name": "default"}},
    type="kubernetes.io/service-account-token",
)
k8s.core.v1.ConfigMap("settings", metadata={"name": "settings"}, data={"DB_PASSWORD": "hunter2"})
k8s.rbac.v1.ClusterRole(
    "reader-of-all",
    metadata={"name": "reader-of-all"},
    rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}],
)
labels = {"app": "app"}
k8s.apps.v1.Deployment(
    "app",
    metadata={"name": "app"},
    spec={
        "selector": {"match_labels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [
                    {
                        "name": "app",
                        "image": "app",
                        "env": [
                            {
                                "name": "DB_PASSWORD",
                                "value_from": {"secret_key_ref": {"name": "raw", "key": "password"}},
                            }
                        ],
                    }
                ]
            },
        },
    },
)
k8s.helm.v3.Release("operator", chart="external-secrets", repository_opts={"repo": "http://charts.external-secrets.io"})
k8s.helm.v3.Release(
    "sealing",
    chart="sealed-secrets",
    version="2.18.5",
    repository_opts={"repo": "https://bitnami-labs.github.io/sealed-secrets"},
    values={"keyrenewperiod": "0"},
)
