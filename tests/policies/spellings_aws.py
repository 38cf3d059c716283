"""One mistake in many spellings, and what looks like it and is none: the rules about IAM, Secrets Manager and KMS."""

from __future__ import annotations

import json
from typing import Any

from tests.policies.cases_aws import (
    ACCOUNT,
    INLINE,
    ISSUER,
    KEY_ARN,
    PINNED,
    PROVIDER,
    ROLE,
    ROTATION,
    SECRET,
    SECRET_ARN,
    VIA,
    condition,
    grant,
    irsa,
    public,
    trust,
)
from tests.policies.kit import UNKNOWN, resource

READ = "secretsmanager:GetSecretValue"
ASSUME = "sts:AssumeRole"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
SAML = {"Federated": f"arn:aws:iam::{ACCOUNT}:saml-provider/corp"}
ALL_BUT = {"NotPrincipal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}}


def allow(**statement: Any) -> dict[str, Any]:
    return {"policy": json.dumps({"Statement": {"Effect": "Allow", **statement}})}


def partly(**statement: Any) -> dict[str, Any]:
    """A trust policy as an object, so that a part of it may be unknown."""
    web = {"Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithWebIdentity"}
    return {"assumeRolePolicy": {"Statement": {"Effect": "Allow", **web, **statement}}}


def build(subject: Any, operator: str = "StringLike") -> dict[str, Any]:
    """The trust of a build system's role."""
    host = "token.actions.githubusercontent.com"
    pinned = {"StringEquals": {f"{host}:aud": "sts.amazonaws.com"}, operator: {f"{host}:sub": subject}}
    return irsa(pinned, Principal={"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"})


def role(document: dict[str, Any]) -> dict[str, Any]:
    """The same policy, as a role's inline one."""
    return {"inlinePolicies": [{"name": "a", "policy": document["policy"]}]}


EXCLUSIVE = "aws:iam/rolePoliciesExclusive:RolePoliciesExclusive"
ONLY = "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"
ATTACHED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
MANY = "aws:iam/policyAttachment:PolicyAttachment"
OWNER = resource(ROLE, "a", {"name": "a"})
INLINE_B = resource(INLINE, "b", {"name": "b", "role": "a", "policy": "{}"})
BY_URN = {"role": [OWNER.urn]}  # as the engine tells it, where names are not known yet
FROM_B = {"policyNames": [INLINE_B.urn]}
TAGGED = {"strongroom:rotated-by": "owner"}


VIOLATES: dict[str, list[Any]] = {
    "irsa-trust-audience": [
        irsa(condition("StringEquals", f"{ISSUER}:aud", [])),
        irsa(condition("StringLike", f"{ISSUER}:aud", ["sts.amazonaws.com", "*"])),
        irsa(condition("StringNotEquals", f"{ISSUER}:aud", "other")),
        partly(Principal={"Federated": [PROVIDER, UNKNOWN]}),
        trust(Principal={"Federated": PROVIDER}, NotAction="sts:TagSession"),
    ],
    "irsa-trust-subject": [
        irsa({"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "system:serviceaccount:a:*"}}),
        build("*"),
        build("repo:*"),
        build(["repo:corp/app:*", "repo:*/app:ref:refs/heads/main"]),
        build("repo:corp/app:*", "StringNotLike"),
        irsa(condition("StringLike", f"{ISSUER}:sub", "system:serviceaccount:prod:payment-???")),
        irsa(condition("StringEqualsIfExists", f"{ISSUER}:sub", "system:serviceaccount:prod:a")),
        irsa(condition("StringLike", f"{ISSUER}:sub", ["system:serviceaccount:prod:a", "*"])),
    ],
    "trust-anyone": [
        trust(Principal={"Federated": "*"}, Action=ASSUME),
        trust(Principal={"AWS": "arn:aws:iam::*:root"}, Action=ASSUME),
        trust(Principal={"Service": "*"}, Action=ASSUME),
        trust(Principal="*", Action=ASSUME, Condition=condition("StringLike", "aws:PrincipalOrgID", "*")),
        trust(Principal="*", Action=ASSUME, Condition=condition("StringEquals", "sts:ExternalId", "x")),
        trust(**ALL_BUT, Action=ASSUME),
    ],
    "trust-whole-account": [
        trust(Principal={"AWS": [ROOT, "arn:aws:iam::1:role/a"]}, Action=ASSUME),
        trust(Principal={"AWS": f"arn:aws-us-gov:iam::{ACCOUNT}:root"}, Action=ASSUME),
        trust(Principal={"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}, Action=ASSUME),
        trust(Principal={"AWS": ROOT}, Action=ASSUME, Condition=condition("StringLike", "sts:ExternalId", "*")),
    ],
    "iam-administrator": [
        {"roleName": "a", "policyArns": ["arn:aws:iam::aws:policy/AdministratorAccess"]},
        allow(Action="*:*", Resource="*"),
        allow(Action=["**"], Resource=["arn:aws:s3:::a", "arn:aws:*"]),
        allow(Action="*", Resource="arn:*:*:*:*:*"),
        allow(NotAction="iam:*", Resource="*"),
        {"role": "a", "policyArn": "arn:aws-us-gov:iam::aws:policy/AdministratorAccess"},
        {
            "managedPolicyArns": [
                "arn:aws:iam::aws:policy/ReadOnlyAccess",
                "arn:aws:iam::aws:policy/AdministratorAccess",
            ]
        },
        grant("*", ["*", UNKNOWN]),
    ],
    "iam-service-wildcard": [
        allow(Action=["s3:GetObject", "KMS:**"], Resource=KEY_ARN),
        grant("secretsmanager:*", UNKNOWN),
        role(allow(Action="iam:*", Resource="*")),
    ],
    "iam-resource-wildcard": [
        allow(Action=["route53:ListHostedZones", "route53:ChangeResourceRecordSets"], Resource="*"),
        allow(Action="acm-pca:IssueCertificate", Resource="*"),
        allow(Action="kafka-cluster:*Data", Resource="*"),
        allow(Action="kms:Decrypt", Resource="*"),
        allow(Action="iam:PassRole", Resource="*"),
        allow(Action="ec2:TerminateInstances", Resource="*"),
        allow(Action="dynamodb:*Item", Resource="*"),
        allow(Action=READ, Resource="arn:aws:secretsmanager:*:*:*"),
        allow(Action="s3:GetObject", Resource="arn:aws:s3:::*"),
        allow(Action=READ, Resource="**"),
        role(allow(Action=READ, Resource=["*"])),
    ],
    "iam-secret-arn-suffix": [
        allow(Action=READ, Resource=f"{SECRET_ARN}app-*"),
        allow(Action=READ, Resource=f"{SECRET_ARN}app*-??????"),
        allow(Action=READ, Resource="arn:*:secretsmanager:*:*:secret:*-??????"),
        allow(Action=READ, Resource=[f"{SECRET_ARN}a-??????", f"{SECRET_ARN}*/*"]),
        grant(READ, [f"{SECRET_ARN}app*", UNKNOWN]),
    ],
    "iam-inverted-grant": [
        grant(UNKNOWN, None, NotResource=UNKNOWN),
        trust(**ALL_BUT, Action=ASSUME),
    ],
    "iam-for-all-values": [
        allow(Action=READ, Resource="a", Condition=condition("ForAllValues:StringLike", "aws:PrincipalTag/team", "a")),
        allow(Action=READ, Resource="a", Condition=condition("forallvalues:stringequals", "AWS:PrincipalOrgID", "o")),
    ],
    "iam-decrypt-all-keys": [
        allow(Action="kms:ReEncrypt*", Resource="*"),
        allow(Action="kms:*", Resource="*", Condition=VIA),
        allow(Action="KMS:De*", Resource="arn:aws:kms:*", Condition=VIA),
        allow(Action="kms:Decrypt", Resource="arn:aws:kms:eu-central-1:111122223333:key/*", Condition=VIA),
        allow(Action="*", Resource="arn:aws:kms:*:*:key/*"),
        allow(NotAction="s3:*", Resource="arn:aws:kms:eu-central-1:*"),
    ],
    "iam-decrypt-via-service": [
        allow(Action="kms:*", Resource=KEY_ARN),
        allow(Action="*", Resource=KEY_ARN),
        allow(Action="kms:Decrypt", Resource=KEY_ARN, Condition=condition("StringLike", "kms:ViaService", "*")),
        allow(Action="kms:Decrypt", Resource=KEY_ARN, Condition=condition("StringNotEquals", "kms:ViaService", "x")),
        allow(Action="kms:Decrypt", NotResource=KEY_ARN),
    ],
    "iam-pass-any-role": [
        allow(Action="iam:Pass*", Resource="arn:aws:iam::*:role/*"),
        allow(Action="iam:*", Resource="*"),
        allow(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:*"),
        allow(Action="*", Resource="arn:aws:iam::111122223333:role/*"),
    ],
    "role-policies-conflict": [
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": ["c"]})],
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": []})],
        [
            resource(ATTACHED, "y", {"role": "a", "policyArn": "p"}),
            resource(ONLY, "x", {"roleName": "a", "policyArns": ["q"]}),
        ],
        [
            resource(ROLE, "a", {"name": UNKNOWN, "inlinePolicies": [{"name": "x"}]}),
            resource(INLINE, "b", {"role": UNKNOWN}, depends=BY_URN),
        ],
        [
            resource(ROLE, "a", {"name": "a", "inlinePolicies": [{"name": "x"}]}),
            resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": ["x"]}),
        ],
        [resource(ROLE, "a", {"name": "a", "managedPolicyArns": ["q"]}), resource(MANY, "p", {"roles": ["z", "a"]})],
        [
            resource(MANY, "p", {"policyArn": "p", "roles": ["z"]}),
            resource(ATTACHED, "y", {"role": "a", "policyArn": "p"}),
        ],
    ],
    "secret-rotation": [
        [
            resource(SECRET, "a", {"name": "a", "tags": {"owner": "x"}}),
            resource(SECRET, "b", {"name": "b", "tags": TAGGED}),
        ],
    ],
    "secret-customer-key": [
        {"kmsKeyId": f"arn:aws:kms:eu-central-1:{ACCOUNT}:alias/aws/secretsmanager"},
        {"kmsKeyId": ""},
        {"kmsKeyId": None},
    ],
    "secret-rotation-period": [
        {"rotationRules": [{"automaticallyAfterDays": 120}]},
        {"rotationRules": {"automaticallyAfterDays": "120"}},
        {"rotationRules": {"scheduleExpression": "rate(2400 hours)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 1 1 ? *)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 1 JAN,JUL ? *)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 ? 1/6 2#1 *)"}},
        {"rotationRules": None},
    ],
    "secret-policy-anyone": [
        {"policy": json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": READ}})},
        public(READ, Condition=condition("StringEqualsIfExists", "aws:PrincipalOrgID", "o-1")),
        allow(**ALL_BUT, Action=READ),
    ],
    "secret-recovery-window": [{"recoveryWindowInDays": "0"}, {"recoveryWindowInDays": 6.0}],
    "secret-tags": [
        {"tags": {"aws:a": "b"}, "tagsAll": {"aws:a": "b"}},
        {"tags": {"owner": None}},
        {"tags": {"aws:cloudformation:stack-name": "a"}},
        {"tags": None},
    ],
    "secret-value-in-state": [{"secretId": "a", "secretString": {"password": "hunter2"}}],
    "kms-key-rotation": [{"enableKeyRotation": "false"}, {}, {"enableKeyRotation": None}],
    "kms-public-key-policy": [
        allow(Principal={"AWS": "*"}, Action="kms:Decrypt", Resource="*", Condition=VIA),
        allow(**ALL_BUT, Action="kms:*", Resource="*"),
    ],
    "kms-deletion-window": [{"deletionWindowInDays": "7"}, {"deletionWindowInDays": 7.0}],
    "kms-lockout-check": [{"bypassPolicyLockoutSafetyCheck": "true"}],
}
COMPLIES: dict[str, list[Any]] = {
    "irsa-trust-audience": [
        trust(Principal=SAML, Action=["sts:AssumeRoleWithSAML", "sts:TagSession"]),
        trust(Principal=SAML, Action="sts:*", Condition=condition("StringEquals", "SAML:aud", "https://a")),
        trust(Principal={"Service": "ec2.amazonaws.com"}, NotAction="sts:TagSession"),
    ],
    "irsa-trust-subject": [
        build("repo:corp/app:*"),
        build(["repo:corp/app:ref:refs/heads/main", "repo:corp/*"]),
        irsa(
            condition("StringEquals", "cognito-identity.amazonaws.com:aud", "pool"),
            Principal={"Federated": "cognito-identity.amazonaws.com"},
        ),
        irsa({"StringLike": {f"{ISSUER}:sub": "system:serviceaccount:a:b"}, "StringEquals": {f"{ISSUER}:aud": "x"}}),
        irsa({"StringEquals": {f"{ISSUER}:sub": ["system:serviceaccount:a:b", "system:serviceaccount:a:c"]}}),
    ],
    "trust-anyone": [
        trust(Principal="*", Action=ASSUME, Condition=condition("StringEquals", "aws:PrincipalOrgID", "o-1")),
        trust(Principal={"AWS": "arn:aws:iam::1:role/*"}, Action=ASSUME),
        {"assumeRolePolicy": None},
    ],
    "trust-whole-account": [
        trust(Principal={"AWS": ROOT}, Action=ASSUME, Condition=condition("StringEquals", "sts:ExternalId", "7")),
        trust(
            Principal={"AWS": ROOT}, Action=ASSUME, Condition=condition("ArnLike", "aws:PrincipalArn", "arn:aws:iam:*")
        ),
        trust(NotPrincipal={"AWS": ROOT}, Action=ASSUME),
        trust(Principal={"Service": ["ec2.amazonaws.com"]}, Action=ASSUME),
    ],
    "iam-administrator": [
        allow(Action="*", Resource="arn:aws:s3:::bucket/*"),
        allow(Action="s3:*", Resource="*"),
        {"role": "a", "policyArn": UNKNOWN},
        {"role": "a", "policyArn": "arn:aws:iam::111122223333:policy/AdministratorAccessToNothing"},
        allow(NotAction="iam:*", Resource="arn:aws:s3:::bucket"),
    ],
    "iam-service-wildcard": [allow(Action=["s3:Get*", "kms:*Key"], Resource="*"), grant("s3:GetObject", UNKNOWN)],
    "iam-resource-wildcard": [
        allow(Action=["cloudwatch:PutMetricData", "logs:PutLogEvents", "ec2:CreateTags"], Resource="*"),
        allow(Action=["secretsmanager:BatchGetSecretValue", "ecr:GetAuthorizationToken", "kms:ListKeys"], Resource="*"),
        allow(Action=["ec2:Describe*", "s3:ListAllMyBuckets", "sts:GetCallerIdentity"], Resource="*"),
        allow(Action="s3:GetObject", Resource="arn:aws:s3:::bucket/*"),
        allow(Action=["logs:CreateLogGroup", "logs:PutLogEvents"], Resource="arn:aws:logs:*:*:*"),
        allow(Action=READ, Resource="arn:aws:s3:::*"),
    ],
    "iam-secret-arn-suffix": [
        allow(Action="s3:GetObject", Resource="arn:aws:s3:::secret:app*"),
        allow(Action=READ, Resource=f"{SECRET_ARN}production/*-??????"),
        allow(Action=READ, Resource=f"{SECRET_ARN}app-AbCdEf"),
        grant(UNKNOWN, f"{SECRET_ARN}app-??????"),
    ],
    "iam-inverted-grant": [
        allow(NotAction="iam:*", Resource="arn:aws:s3:::bucket"),
        {"policy": {"Statement": {"Effect": "Deny", "NotPrincipal": {"AWS": ROOT}, "Action": "*"}}},
    ],
    "iam-for-all-values": [
        allow(
            Action="route53:ChangeResourceRecordSets",
            Resource="a",
            Condition=condition("ForAllValues:StringEquals", "route53:ChangeResourceRecordSetsRecordTypes", ["TXT"]),
        ),
        allow(Action=READ, Resource="a", Condition=condition("ForAnyValue:StringEquals", "aws:SourceVpc", "vpc-1")),
        {"policy": {"Statement": {"Effect": "Deny", "Condition": condition("ForAllValues:StringEquals", "a:b", "c")}}},
    ],
    "iam-decrypt-all-keys": [
        allow(Action="kms:Decrypt", Resource="arn:aws:kms:*:*:key/mrk-1234"),
        allow(Action="kms:ListKeys", Resource="*"),
        allow(Action="*", Resource="arn:aws:s3:::*"),
    ],
    "iam-decrypt-via-service": [
        allow(Action="*", Resource="arn:aws:s3:::bucket/*"),
        allow(Action=["kms:Encrypt", "kms:GenerateDataKey"], Resource=KEY_ARN),
        allow(
            Action="kms:*",
            Resource=KEY_ARN,
            Condition=condition("StringLike", "kms:ViaService", "secretsmanager.*.amazonaws.com"),
        ),
        allow(NotAction=["kms:*"], Resource=KEY_ARN),
    ],
    "iam-pass-any-role": [
        allow(Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/app-*"),
        allow(Action="iam:GetRole", Resource="*"),
        allow(Action="*", Resource="arn:aws:s3:::bucket/*"),
    ],
    "role-policies-conflict": [
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": ["b"]})],
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": [UNKNOWN]}, depends=FROM_B)],
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "other", "policyNames": []})],
        [OWNER, INLINE_B, resource(ATTACHED, "y", {"role": "a", "policyArn": "p"})],
        [resource(ROLE, "a", {"name": "a", "inlinePolicies": []}), INLINE_B],
        [resource(ROLE, "a", {"name": "a", "managedPolicyArns": ["q"]}), resource(MANY, "p", {"roles": ["z"]})],
        [resource(ROLE, "z", {"name": "z", "inlinePolicies": [{"name": "x"}]}), OWNER, INLINE_B],
    ],
    "secret-rotation": [
        [resource(SECRET, "b", {"name": "b", "tags": None, "tagsAll": TAGGED})],
        [
            resource(SECRET, "a", {"name": UNKNOWN}),
            resource(ROTATION, "r", {"secretId": UNKNOWN}, depends={"secretId": [resource(SECRET, "a", {}).urn]}),
        ],
    ],
    "secret-customer-key": [{"kmsKeyId": "alias/app"}, {"kmsKeyId": KEY_ARN.rpartition("/")[2]}],
    "secret-rotation-period": [
        {"rotationRules": [{"automaticallyAfterDays": 30}]},
        {"rotationRules": {"automaticallyAfterDays": "90"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 1 * ? *)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 1,15 */2 ? *)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 8 ? * SUN#1 *)"}},
        {"rotationRules": {"scheduleExpression": "cron(0 16 L */2 ? *)", "duration": "2h"}},
        {"rotationRules": {"scheduleExpression": "cron(what ever)"}},
    ],
    "secret-policy-anyone": [
        allow(Principal={"AWS": ROOT}, Action=READ),
        {"policy": {"Statement": {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:*"}}},
    ],
    "secret-policy-block-public": [{"policy": "{}", "blockPublicPolicy": "true"}],
    "secret-recovery-window": [{"recoveryWindowInDays": None}, {"recoveryWindowInDays": "30"}],
    "secret-tags": [
        {"tags": UNKNOWN, "tagsAll": {"owner": "a"}},
        {"tagsAll": {"owner": "a"}},
        {"tags": {"owner": ""}},
        {"tags": {"owner": UNKNOWN}},
    ],
    "secret-value-in-state": [{"secretId": "a", "secretString": None}, {"secretId": "a", "secretString": ""}],
    "kms-key-rotation": [
        {"enableKeyRotation": "true"},
        {"customerMasterKeySpec": "HMAC_256", "keyUsage": "GENERATE_VERIFY_MAC"},
    ],
    "kms-public-key-policy": [
        allow(Principal={"AWS": ROOT}, Action="kms:*", Resource="*"),
        allow(
            Principal={"AWS": "*"},
            Action="kms:Decrypt",
            Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT, **VIA["StringEquals"]}},
        ),
    ],
    "kms-deletion-window": [{"deletionWindowInDays": "14"}, {"deletionWindowInDays": None}],
    "kms-lockout-check": [{"bypassPolicyLockoutSafetyCheck": None}],
}
OPEN: dict[str, list[Any]] = {
    "irsa-trust-audience": [
        partly(Condition=condition("StringEquals", f"{ISSUER}:aud", UNKNOWN)),
        partly(Condition=UNKNOWN),
        partly(Condition=PINNED, Principal={"Federated": UNKNOWN}),
        {"assumeRolePolicy": {"Statement": [UNKNOWN]}},
        {"assumeRolePolicy": {"Statement": {"Effect": UNKNOWN, "Principal": "*"}}},
    ],
    "trust-anyone": [partly(Principal={"AWS": UNKNOWN})],
    "iam-administrator": [grant(["s3:GetObject", UNKNOWN], "*"), {"inlinePolicies": UNKNOWN}],
    "iam-resource-wildcard": [grant(READ, [UNKNOWN, "arn:aws:s3:::a"])],
    "iam-secret-arn-suffix": [grant(READ, [f"{SECRET_ARN}a-??????", UNKNOWN])],
    "iam-decrypt-via-service": [grant("kms:Decrypt", KEY_ARN, Condition=UNKNOWN)],
    "iam-decrypt-all-keys": [
        {"policy": {"Statement": {"Effect": "Allow", "NotAction": [UNKNOWN], "Resource": KEY_ARN}}}
    ],
    "role-policies-conflict": [
        [OWNER, INLINE_B, resource(EXCLUSIVE, "x", {"roleName": "a", "policyNames": UNKNOWN})],
        [resource(ROLE, "a", {"name": "a", "inlinePolicies": UNKNOWN}), INLINE_B],
    ],
    "secret-rotation": [
        [resource(SECRET, "a", {"name": "a", "tags": UNKNOWN})],
        [resource(SECRET, "a", {"name": "a"}), resource(ROTATION, "r", {"secretId": UNKNOWN})],
    ],
    "secret-policy-anyone": [public(READ, Condition=condition("StringEquals", "aws:PrincipalAccount", UNKNOWN))],
    "secret-rotation-period": [{"rotationRules": {"automaticallyAfterDays": UNKNOWN}}],
    "secret-tags": [{"tagsAll": UNKNOWN}, {"tags": UNKNOWN, "tagsAll": {"aws:a": "b"}}],
    "kms-key-rotation": [{"customerMasterKeySpec": UNKNOWN}],
}
