"""A deliberately bad stack: mistakes that are often made, first of all those of common instructions. Never deploy it.

See what the policies say of it, with no server and no credentials:

    python -m sandbox policy production --program examples/bad_stack
"""

import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pulumi_vault as vault

PASSWORD = "not-a-real-password"
ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
ACCOUNT = "111122223333"


def document(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


# -- Instructions for IRSA and External Secrets Operator, taken at their word: no audience in the role's trust policy, a store
# whose tokens name none, an API version that is no longer served, and two references that read two leases.

eso = aws.iam.Role(
    "eso",
    name="external-secrets-role",
    assume_role_policy=document(
        Action="sts:AssumeRoleWithWebIdentity",
        Principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        Condition={"StringEquals": {f"{ISSUER}:sub": "system:serviceaccount:external-secrets:external-secrets-sa"}},
    ),
)
aws.iam.RolePolicy(
    "eso",
    role=eso.name,
    policy=document(
        Action=["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
        Resource=f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:production/*",
    ),
)
login = {"mountPath": "kubernetes", "role": "payment-api", "serviceAccountRef": {"name": "payment-api"}}
k8s.apiextensions.CustomResource(
    "vault",
    api_version="external-secrets.io/v1beta1",
    kind="SecretStore",
    metadata={"name": "vault", "namespace": "production"},
    spec={
        "provider": {
            "vault": {
                "server": "https://vault.internal:8200",
                "path": "secret",
                "version": "v2",
                "auth": {"kubernetes": login},
            }
        }
    },
)
k8s.apiextensions.CustomResource(
    "db-dynamic-creds",
    api_version="external-secrets.io/v1beta1",
    kind="ExternalSecret",
    metadata={"name": "db-dynamic-creds", "namespace": "production"},
    spec={
        "refreshInterval": "45m",
        "secretStoreRef": {"name": "vault", "kind": "SecretStore"},
        "target": {"name": "db-creds"},
        "data": [
            {"secretKey": key, "remoteRef": {"key": "database/creds/app-readwrite", "property": key}}
            for key in ("username", "password")
        ],
    },
)

# -- AWS: a secret that anyone may read, whose value is in the state and whose key can be gone in a week.

aws.kms.Key("key", deletion_window_in_days=7)
secret = aws.secretsmanager.Secret("partner", name="production/partner", recovery_window_in_days=0)
aws.secretsmanager.SecretVersion("partner", secret_id=secret.id, secret_string=PASSWORD)
aws.secretsmanager.SecretPolicy(
    "partner",
    secret_arn=secret.arn,
    policy=document(Action="secretsmanager:GetSecretValue", Principal="*", Resource="*"),
)

# -- Vault: plain HTTP, the database's own superuser, and a role for every service account of the cluster.

server = vault.Provider("plain", address="http://vault.example.com:8200")
in_vault = pulumi.ResourceOptions(provider=server)
mount = vault.Mount("database", path="database", type="database", opts=in_vault)
vault.database.SecretBackendConnection(
    "postgres",
    name="postgres",
    backend=mount.path,
    allowed_roles=["*"],
    postgresql={
        "connection_url": "postgresql://{{username}}:{{password}}@postgres.internal:5432/myapp",
        "username": "postgres",
        "password": PASSWORD,
    },
    opts=in_vault,
)
vault.kubernetes.AuthBackendRole(
    "any",
    role_name="any",
    bound_service_account_names=["*"],
    bound_service_account_namespaces=["*"],
    token_policies=["everything"],
    opts=in_vault,
)

# -- Kubernetes: values in manifests, and a role that reads all of them.

in_production = {"namespace": "production"}
k8s.core.v1.Secret("smtp", metadata={"name": "smtp", **in_production}, string_data={"password": PASSWORD})
k8s.core.v1.ConfigMap("settings", metadata={"name": "settings", **in_production}, data={"DB_PASSWORD": PASSWORD})
k8s.rbac.v1.ClusterRole(
    "reader",
    metadata={"name": "reader"},
    rules=[{"api_groups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]}],
)
k8s.helm.v3.Release(
    "external-secrets",
    chart="external-secrets",
    repository_opts={"repo": "http://charts.external-secrets.io"},
)
