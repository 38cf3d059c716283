"""The patterns that the project started from, written in Pulumi as they stood: trust policy, store, pair of references."""

import json

import pulumi_aws as aws
import pulumi_kubernetes as k8s

OIDC = "oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"

aws.iam.Role(
    "eso",
    name="external-secrets-role",
    assume_role_policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{OIDC}"},
                    "Condition": {
                        "StringEquals": {f"{OIDC}:sub": "system:serviceaccount:external-secrets:external-secrets-sa"}
                    },
                }
            ],
        }
    ),
)
k8s.apiextensions.CustomResource(
    "store",
    api_version="external-secrets.io/v1beta1",
    kind="SecretStore",
    metadata={"name": "vault", "namespace": "production"},
    spec={
        "provider": {
            "vault": {
                "server": "https://vault.internal:8200",
                "path": "secret",
                "version": "v2",
                "auth": {
                    "kubernetes": {
                        "mountPath": "kubernetes",
                        "role": "payment-api",
                        "serviceAccountRef": {"name": "payment-api"},
                    }
                },
            }
        }
    },
)
k8s.apiextensions.CustomResource(
    "pair",
    api_version="external-secrets.io/v1beta1",
    kind="ExternalSecret",
    metadata={"name": "db-dynamic-creds", "namespace": "production"},
    spec={
        "refreshInterval": "45m",
        "secretStoreRef": {"name": "vault", "kind": "SecretStore"},
        "target": {
            "name": "db-creds",
            "template": {"metadata": {"annotations": {"reloader.stakater.com/match": "true"}}},
        },
        "data": [
            {"secretKey": "username", "remoteRef": {"key": "database/creds/app-readwrite", "property": "username"}},
            {"secretKey": "password", "remoteRef": {"key": "database/creds/app-readwrite", "property": "password"}},
        ],
    },
)
