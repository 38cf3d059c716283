"""Cases of the rules about IAM, Secrets Manager and KMS."""

from __future__ import annotations

import json
from typing import Any

from tests.policies.kit import UNKNOWN, Case, resource

ACCOUNT = "111122223333"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
SUBJECT = "system:serviceaccount:production:payment-api"
SECRET_ARN = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:"
KEY_ARN = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/11111111-2222-4333-8444-555555555555"
VIA = {"StringEquals": {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}}
PINNED = {"StringEquals": {f"{ISSUER}:sub": SUBJECT, f"{ISSUER}:aud": "sts.amazonaws.com"}}
ROLE, INLINE = "aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"
SECRET, ROTATION = "aws:secretsmanager/secret:Secret", "aws:secretsmanager/secretRotation:SecretRotation"


def trust(**statement: Any) -> dict[str, Any]:
    return {"assumeRolePolicy": json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})}


def irsa(condition: Any, **more: Any) -> dict[str, Any]:
    given = {"Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity", **more}
    return trust(**given, Condition=condition)


def grant(action: Any, on: Any = "*", **more: Any) -> dict[str, Any]:
    """A policy of one statement, as an object: IAM takes both."""
    return {"policy": {"Statement": {"Effect": "Allow", "Action": action, "Resource": on, **more}}}


def condition(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {operator: {key: value}}


def public(action: str, **more: Any) -> dict[str, Any]:
    return grant(action, "*", Principal="*", **more)


UNREADABLE = grant("secretsmanager:GetSecretValue", UNKNOWN)
CASES = (
    Case(
        rule="irsa-trust-audience",
        bad=irsa(condition("StringEquals", f"{ISSUER}:sub", SUBJECT)),
        good=irsa(PINNED),
        unknown={"assumeRolePolicy": UNKNOWN},
        # cloudposse/terraform-aws-eks-iam-role main.tf: one condition, on :sub.
        wild=irsa(condition("StringEquals", f"{ISSUER}:sub", "system:serviceaccount:kube-system:external-dns")),
        source="github.com/cloudposse/terraform-aws-eks-iam-role main.tf",
        more_bad=(
            irsa(condition("StringEqualsIfExists", f"{ISSUER}:aud", "sts.amazonaws.com")),
            irsa(condition("ForAllValues:StringEquals", f"{ISSUER}:aud", "sts.amazonaws.com")),
            irsa(condition("StringLike", f"{ISSUER}:aud", "*")),
            irsa({}, Action="STS:assumerolewithWEBidentity"),
            irsa({}, Action=["s3:GetObject", "sts:Assume*"]),
        ),
        more_good=(
            irsa({"stringequals": {f"{ISSUER}:AUD": ["sts.amazonaws.com"], f"{ISSUER}:sub": SUBJECT}}),
            irsa({"ForAnyValue:StringLike": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": SUBJECT}}),
            trust(Principal={"Service": "pods.eks.amazonaws.com"}, Action=["sts:AssumeRole", "sts:TagSession"]),
        ),
    ),
    Case(
        rule="irsa-trust-subject",
        bad=irsa(condition("StringEquals", f"{ISSUER}:aud", "sts.amazonaws.com")),
        good=irsa(PINNED),
        unknown={"assumeRolePolicy": UNKNOWN},
        # Found in ten public repositories: every service account of the cluster.
        wild=irsa(
            {
                "StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com"},
                "StringLike": {f"{ISSUER}:sub": "system:serviceaccount:*:*"},
            }
        ),
        source='"system:serviceaccount:*:*" under StringLike, searched for on GitHub',
        more_bad=(irsa({}), irsa(condition("StringLike", f"{ISSUER}:sub", "system:serviceaccount:production:*"))),
    ),
    Case(
        rule="trust-anyone",
        bad=trust(Principal="*", Action="sts:AssumeRole"),
        good=trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/deploy"}, Action="sts:AssumeRole"),
        unknown={"assumeRolePolicy": UNKNOWN},
        # The failing example of CKV_AWS_60's own tests, which is what it was written for.
        wild=trust(Principal={"AWS": "*"}, Action="sts:AssumeRole"),
        source="github.com/bridgecrewio/checkov, IAMRoleAllowsPublicAssume",
        more_bad=(trust(Principal={"AWS": ["arn:aws:iam::1:root", "*"]}, Action="sts:AssumeRole"),),
        more_good=({"assumeRolePolicy": '{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}}'},),
    ),
    Case(
        rule="trust-whole-account",
        bad=trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Action="sts:AssumeRole"),
        good=trust(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/deploy"}, Action="sts:AssumeRole"),
        unknown={"assumeRolePolicy": UNKNOWN},
        # The failing example of CKV_AWS_61's own tests: an account's root.
        wild=trust(Principal={"AWS": ACCOUNT}, Action="sts:AssumeRole"),
        source="github.com/bridgecrewio/checkov, CKV_AWS_61",
    ),
    Case(
        rule="iam-administrator",
        bad=grant("*"),
        good=grant("secretsmanager:GetSecretValue", f"{SECRET_ARN}a-??????"),
        unknown={"policy": UNKNOWN},
        # AWS's own managed policy AdministratorAccess.
        wild={
            "policy": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
        },
        source="AWS managed policy AdministratorAccess",
        more_bad=(grant(["s3:GetObject", "*"], ["*"]), {"inlinePolicies": [{"name": "a", **grant("*")}]}),
        more_good=(
            {"policy": '{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'},
            {"policy": "no JSON"},
        ),
    ),
    Case(
        rule="iam-service-wildcard",
        bad=grant("secretsmanager:*", f"{SECRET_ARN}a-??????"),
        good=grant("secretsmanager:Get*", f"{SECRET_ARN}a-??????"),
        unknown={"policy": UNKNOWN},
        # AWS's own managed policy SecretsManagerReadWrite allows secretsmanager:* on everything.
        wild=grant(["secretsmanager:*", "cloudformation:CreateChangeSet"]),
        source="AWS managed policy SecretsManagerReadWrite",
    ),
    Case(
        rule="iam-resource-wildcard",
        bad=grant(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]),
        good=grant("secretsmanager:ListSecrets"),
        unknown=grant(UNKNOWN, "*"),
        # oozou/terraform-aws-eks modules/bootstrap/iam.tf
        wild=grant("secretsmanager:GetSecretValue", ["*"]),
        source="github.com/oozou/terraform-aws-eks modules/bootstrap/iam.tf",
        more_bad=(grant("SecretsManager:get*"),),
        more_good=(grant("secretsmanager:GetRandomPassword"),),
    ),
    Case(
        rule="iam-secret-arn-suffix",
        bad=grant("secretsmanager:GetSecretValue", f"{SECRET_ARN}app*"),
        good=grant("secretsmanager:GetSecretValue", f"{SECRET_ARN}app-??????"),
        unknown=UNREADABLE,
        # chanzuckerberg/czid-platformics entities/.happy/terraform/envs/dev/iam_policies.tf: every secret.
        wild=grant("secretsmanager:GetSecretValue", f"{SECRET_ARN}*"),
        source="github.com/chanzuckerberg/czid-platformics entities/.happy/terraform/envs/dev/iam_policies.tf",
        more_good=(grant("secretsmanager:GetSecretValue", f"{SECRET_ARN}production/*"),),
    ),
    Case(
        rule="iam-inverted-grant",
        bad={"policy": {"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::a/*"}}},
        good={"policy": {"Statement": {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::a/*"}}},
        unknown={"policy": UNKNOWN},
        # The warning example of AWS's page on NotResource: everything but one bucket.
        wild={
            "policy": {"Statement": [{"Effect": "Allow", "Action": "s3:*", "NotResource": ["arn:aws:s3:::HRBucket"]}]}
        },
        source="AWS IAM user guide, NotResource with Allow",
    ),
    Case(
        rule="iam-for-all-values",
        bad=grant("s3:GetObject", "a", Condition=condition("ForAllValues:StringEquals", "aws:SourceVpc", "vpc-1")),
        good=grant("ec2:CreateTags", "a", Condition=condition("ForAllValues:StringEquals", "aws:TagKeys", ["team"])),
        unknown={"policy": UNKNOWN},
        # A GitHub role's trust with ForAllValues on the issuer, found by a search for ForAllValues:StringEquals.
        wild=trust(
            Principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"},
            Action="sts:AssumeRoleWithWebIdentity",
            Condition=condition(
                "ForAllValues:StringEquals",
                "token.actions.githubusercontent.com:iss",
                "https://token.actions.githubusercontent.com",
            ),
        ),
        source="ForAllValues on token.actions.githubusercontent.com:iss, searched for on GitHub",
    ),
    Case(
        rule="iam-decrypt-all-keys",
        bad=grant("kms:Decrypt", "*", Condition=VIA),
        good=grant("kms:Decrypt", KEY_ARN, Condition=VIA),
        unknown=grant("kms:Decrypt", UNKNOWN, Condition=VIA),
        # TechTalkFridays/eks-infrastructure terraform/modules/eks/kubernetes-external-secrests.tf
        wild=grant(["kms:Decrypt", "secretsmanager:GetSecretValue"], ["arn:aws:kms:*:*:key/*", f"{SECRET_ARN}*"]),
        source="github.com/TechTalkFridays/eks-infrastructure terraform/modules/eks",
    ),
    Case(
        rule="iam-decrypt-via-service",
        bad=grant("kms:Decrypt", KEY_ARN),
        good=grant("kms:Decrypt", KEY_ARN, Condition=VIA),
        unknown={"policy": UNKNOWN},
        # chanzuckerberg/czid-platformics: kms:Decrypt without any condition.
        wild=grant(["kms:Decrypt"], ["*"]),
        source="github.com/chanzuckerberg/czid-platformics entities/.happy/terraform/envs/dev/iam_policies.tf",
        more_bad=(
            grant(
                "kms:Decrypt",
                KEY_ARN,
                Condition=condition("StringEqualsIfExists", "kms:ViaService", "s3.amazonaws.com"),
            ),
        ),
    ),
    Case(
        rule="iam-pass-any-role",
        bad=grant("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/*"),
        good=grant("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/app"),
        unknown=grant("iam:PassRole", UNKNOWN),
        # AWS managed policies of the PowerUser kind pass every role.
        wild=grant(["iam:PassRole", "iam:GetRole"], "*"),
        source="AVD-AWS-0342's failing example",
    ),
    Case(
        rule="role-policies-conflict",
        bad=[
            resource(ROLE, "a", {"name": "a", "inlinePolicies": [{"name": "x"}]}),
            resource(INLINE, "b", {"role": "a", "policy": "{}"}),
        ],
        good=[resource(ROLE, "a", {"name": "a"}), resource(INLINE, "b", {"role": "a", "policy": "{}"})],
        unknown=None,
        # The provider's own page warns of it: managedPolicyArns next to a RolePolicyAttachment of the same role.
        wild=[
            resource(
                ROLE,
                "node",
                {"name": "node", "managedPolicyArns": ["arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"]},
            ),
            resource("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "cni", {"role": "node", "policyArn": "x"}),
        ],
        source="pulumi.com/registry aws.iam.Role, note on exclusive arguments",
    ),
    Case(
        rule="secret-customer-key",
        bad={"name": "app", "kmsKeyId": "alias/aws/secretsmanager"},
        good={"name": "app", "kmsKeyId": KEY_ARN},
        unknown=None,
        # terraform-aws-modules/terraform-aws-secrets-manager variables.tf: kms_key_id = null.
        wild={"name": "app", "description": "the module's defaults"},
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager variables.tf",
        more_good=({"name": "app", "kmsKeyId": UNKNOWN},),  # a key of the stack, whatever its ARN will be
    ),
    Case(
        rule="secret-rotation",
        bad=[resource(SECRET, "a", {"name": "a"}), resource(ROTATION, "r", {"secretId": "another"})],
        good=[resource(SECRET, "a", {"name": "a"}), resource(ROTATION, "r", {"secretId": "a"})],
        unknown=None,
        # terraform-aws-modules/terraform-aws-secrets-manager variables.tf: enable_rotation = false.
        wild=[resource(SECRET, "a", {"name": "app"})],
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager variables.tf",
        more_good=([resource(SECRET, "a", {"name": "a", "tags": {"strongroom:rotated-by": "owner"}})], []),
    ),
    Case(
        rule="secret-rotation-period",
        bad={"rotationRules": {"automaticallyAfterDays": 91}},
        good={"rotationRules": {"automaticallyAfterDays": 30.0}},
        unknown={"rotationRules": UNKNOWN},
        # terraform-aws-modules/terraform-aws-secrets-manager variables.tf: rotation_rules = {}.
        wild={"secretId": "app", "rotationRules": {}},
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager variables.tf",
        more_bad=({"rotationRules": {"scheduleExpression": "rate(100 days)"}},),
        more_good=({"rotationRules": {"scheduleExpression": "rate(12 hours)"}},),
    ),
    Case(
        rule="secret-policy-anyone",
        bad=public("secretsmanager:GetSecretValue"),
        good=public(
            "secretsmanager:GetSecretValue", Condition=condition("StringEquals", "aws:PrincipalAccount", ACCOUNT)
        ),
        unknown={"policy": UNKNOWN},
        # KICS fa00ce45's positive example: any AWS principal, any action on the secret.
        wild=grant("secretsmanager:*", "*", Principal={"AWS": "*"}),
        source="github.com/Checkmarx/kics, query fa00ce45",
    ),
    Case(
        rule="secret-policy-block-public",
        bad={"policy": "{}", "blockPublicPolicy": False},
        good={"policy": "{}", "blockPublicPolicy": True},
        unknown={"policy": "{}", "blockPublicPolicy": UNKNOWN},
        # terraform-aws-modules/terraform-aws-secrets-manager variables.tf: block_public_policy = null.
        wild={"policy": "{}"},
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager variables.tf",
    ),
    Case(
        rule="secret-recovery-window",
        bad={"recoveryWindowInDays": 0.0},
        good={"recoveryWindowInDays": 7},
        unknown={"recoveryWindowInDays": UNKNOWN},
        # Found in ten public repositories, so that `destroy` and `apply` can follow each other.
        wild={"name": "app-secrets", "recoveryWindowInDays": 0},
        source='"recovery_window_in_days = 0", searched for on GitHub',
        more_good=({},),
    ),
    Case(
        rule="secret-tags",
        bad={"name": "a", "tags": {}},
        good={"name": "a", "tags": {"owner": "payments"}},
        unknown={"name": "a", "tags": UNKNOWN},
        # terraform-aws-modules/terraform-aws-secrets-manager variables.tf: tags = {}.
        wild={"name": "a"},
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager variables.tf",
    ),
    Case(
        rule="secret-value-in-state",
        bad={"secretId": "a", "secretString": "hunter2"},
        good={"secretId": "a", "secretStringWo": "hunter2", "secretStringWoVersion": 1},
        unknown=None,
        # terraform-aws-modules/terraform-aws-secrets-manager secret_string.tf of before the write-only arguments.
        wild={"secretId": "a", "secretString": '{"username": "admin", "password": "hunter2"}'},
        source="github.com/terraform-aws-modules/terraform-aws-secrets-manager examples/complete",
        more_bad=({"secretId": "a", "secretString": UNKNOWN}, {"secretId": "a", "secretBinary": "aHVudGVyMg=="}),
    ),
    Case(
        rule="kms-key-rotation",
        bad={"enableKeyRotation": False},
        good={"enableKeyRotation": True},
        unknown={"enableKeyRotation": UNKNOWN},
        # The provider's default, which the first example of its own page leaves as it is.
        wild={"description": "KMS key 1", "deletionWindowInDays": 10},
        source="pulumi.com/registry aws.kms.Key, first example",
        more_good=({"customerMasterKeySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"},),
    ),
    Case(
        rule="kms-public-key-policy",
        bad=public("kms:*"),
        good=public("kms:Decrypt", Condition=condition("StringEquals", "kms:CallerAccount", ACCOUNT)),
        unknown={"policy": UNKNOWN},
        # CKV_AWS_33's failing example: Principal "*" on kms:*.
        wild=grant("kms:*", "*", Principal={"AWS": ["*"]}),
        source="github.com/bridgecrewio/checkov, example_KMSKeyWildcardPrincipal",
    ),
    Case(
        rule="kms-deletion-window",
        bad={"deletionWindowInDays": 7},
        good={"deletionWindowInDays": 30},
        unknown={"deletionWindowInDays": UNKNOWN},
        # The first example of the provider's own page.
        wild={"description": "KMS key 1", "deletionWindowInDays": 10},
        source="pulumi.com/registry aws.kms.Key, first example",
        more_good=({},),
    ),
    Case(
        rule="kms-lockout-check",
        bad={"bypassPolicyLockoutSafetyCheck": True},
        good={"bypassPolicyLockoutSafetyCheck": False},
        unknown={"bypassPolicyLockoutSafetyCheck": UNKNOWN},
        # A template of aws_kms_key with every argument filled in: bypass_policy_lockout_safety_check = true.
        wild={"bypassPolicyLockoutSafetyCheck": True, "customKeyStoreId": "", "deletionWindowInDays": 0},
        source='"bypass_policy_lockout_safety_check = true", searched for on GitHub',
        more_good=({},),
    ),
)
