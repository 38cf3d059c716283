"""AWS Secrets Manager with External Secrets Operator and IRSA: one role for one service account, for exactly one secret.

The role's trust pins subject and audience; the operator reads with a token of the workload's own account, so it has no
rights of its own in AWS.
"""

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.aws.irsa_role import IrsaRole
from components.aws.managed_secret import ManagedSecret
from components.aws.oidc_provider import OidcProvider
from components.aws.secret_reader import grant_read
from components.kubernetes.external_secrets import SecretsManagerExternalSecret
from components.kubernetes.external_secrets_operator import ExternalSecretsOperator, ServiceAccountTokenGrant
from components.kubernetes.secret_stores import AwsSecretStore

config = pulumi.Config()
account = {"account_id": config.require("awsAccountId"), "region": config.require("awsRegion")}
issuer = config.require("clusterIssuer")

provider = OidcProvider("cluster", {"account": account, "issuer": issuer})
operator = ExternalSecretsOperator("operator", {})
namespace = k8s.core.v1.Namespace("production", metadata={"name": "production"})

password = random.RandomPassword("password", length=32, special=False)
secret = ManagedSecret(
    "payment-api",
    {
        "account": account,
        "secret_name": "production/payment-api",
        "value": {"username": "payment-api", "password": password.result},
        "allow_immediate_deletion": True,  # an example leaves nothing; a real secret keeps its recovery window
    },
)
role = IrsaRole(
    "payment-api",
    {
        "account": account,
        "issuer": issuer,
        "role_name": "production-payment-api",
        "namespace": "production",
        "service_account": "payment-api",
    },
    pulumi.ResourceOptions(depends_on=[provider]),
)
reader = grant_read(
    "payment-api",
    account=account,
    role_name=role.role_name,
    secrets=[{"name": secret.secret_name, "kms_key_arn": secret.kms_key_arn}],
)
service_account = k8s.core.v1.ServiceAccount(
    "payment-api",
    metadata={
        "name": "payment-api",
        "namespace": namespace.metadata["name"],
        "annotations": {"eks.amazonaws.com/role-arn": role.arn},
    },
)
token = ServiceAccountTokenGrant(
    "payment-api",
    {
        "namespace": namespace.metadata["name"],
        "service_account": "payment-api",
        "operator_namespace": operator.namespace,
        "operator_service_account": operator.service_account,
    },
)
store = AwsSecretStore(
    "payment-api",
    {
        "namespace": namespace.metadata["name"],
        "region": account["region"],
        "service_account": service_account.metadata["name"],
    },
    pulumi.ResourceOptions(depends_on=[operator.release, token.binding, reader]),
)
delivered = SecretsManagerExternalSecret(
    "payment-api",
    {
        "namespace": namespace.metadata["name"],
        "secret_name": "payment-api",
        "store_name": store.store_name,
        "key": secret.secret_name,
        "refresh_interval": "15m",
    },
    pulumi.ResourceOptions(depends_on=[secret]),
)
pulumi.export("secrets", [delivered.secret_name])
