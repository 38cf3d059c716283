"""Facts of AWS that the rules about IAM need: which actions take an ARN, which condition keys hold many values.

The Service Authorization Reference: https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Actions that take an ARN, of the services that hold or lead to secrets, and of those that policies name most often.
TAKE_ARN: Final[Mapping[str, tuple[str, ...]]] = {
    "secretsmanager": (
        "GetSecretValue", "DescribeSecret", "PutSecretValue", "CreateSecret", "UpdateSecret", "DeleteSecret", "RestoreSecret",
        "RotateSecret", "CancelRotateSecret", "UpdateSecretVersionStage", "ListSecretVersionIds", "GetResourcePolicy",
        "PutResourcePolicy", "DeleteResourcePolicy", "ValidateResourcePolicy", "TagResource", "UntagResource",
        "ReplicateSecretToRegions", "RemoveRegionsFromReplication", "StopReplicationToReplica",
    ),
    "kms": (
        "Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateDataKeyPair", "ReEncryptFrom",
        "ReEncryptTo", "Sign", "Verify", "GenerateMac", "VerifyMac", "DescribeKey", "CreateGrant", "RevokeGrant", "RetireGrant",
        "GetKeyPolicy", "PutKeyPolicy", "ScheduleKeyDeletion", "DisableKey", "EnableKey", "EnableKeyRotation",
        "DisableKeyRotation", "CreateAlias", "UpdateAlias", "DeleteAlias", "ImportKeyMaterial", "DeleteImportedKeyMaterial",
    ),
    "iam": (
        "PassRole", "CreateRole", "DeleteRole", "UpdateRole", "PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy",
        "DetachRolePolicy", "UpdateAssumeRolePolicy", "CreatePolicy", "DeletePolicy", "CreatePolicyVersion",
        "SetDefaultPolicyVersion", "CreateUser", "DeleteUser", "CreateAccessKey", "CreateLoginProfile", "UpdateLoginProfile",
        "PutUserPolicy", "AttachUserPolicy", "PutGroupPolicy", "AttachGroupPolicy", "AddUserToGroup", "GetRole", "GetPolicy",
        "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary", "AddRoleToInstanceProfile",
    ),
    "sts": ("AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "TagSession", "SetSourceIdentity"),
    "ssm": (
        "GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory", "PutParameter", "DeleteParameter",
        "DeleteParameters", "SendCommand", "StartSession",
    ),
    "s3": (
        "GetObject", "GetObjectVersion", "PutObject", "PutObjectAcl", "DeleteObject", "DeleteObjectVersion", "ListBucket",
        "GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy", "CreateBucket", "DeleteBucket", "PutBucketAcl",
        "GetObjectAcl", "GetObjectTagging", "PutObjectTagging", "PutBucketPublicAccessBlock", "PutLifecycleConfiguration",
    ),
    "dynamodb": (
        "GetItem", "PutItem", "Query", "Scan", "UpdateItem", "DeleteItem", "BatchGetItem", "BatchWriteItem", "CreateTable",
        "DeleteTable", "UpdateTable", "DescribeTable", "PartiQLSelect", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete",
    ),
    "sqs": ("SendMessage", "ReceiveMessage", "DeleteMessage", "PurgeQueue", "GetQueueAttributes", "SetQueueAttributes"),
    "sns": ("Publish", "Subscribe", "CreateTopic", "DeleteTopic", "SetTopicAttributes"),
    "lambda": ("InvokeFunction", "CreateFunction", "UpdateFunctionCode", "UpdateFunctionConfiguration", "AddPermission"),
    "rds-db": ("connect",),
    "rds": (
        "CreateDBInstance", "DeleteDBInstance", "ModifyDBInstance", "RestoreDBInstanceFromDBSnapshot", "CreateDBCluster",
        "DeleteDBCluster", "ModifyDBCluster", "ModifyDBSnapshotAttribute",
    ),
    "redshift": ("GetClusterCredentials", "DeleteCluster", "ModifyCluster"),
    "elasticache": ("Connect", "DeleteCacheCluster", "ModifyReplicationGroup", "DeleteReplicationGroup"),
    "ec2": (
        "RunInstances", "StartInstances", "StopInstances", "RebootInstances", "TerminateInstances", "AttachVolume",
        "DeleteVolume", "AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress", "ModifyInstanceAttribute",
    ),
    "ecr": ("BatchGetImage", "GetDownloadUrlForLayer", "PutImage", "InitiateLayerUpload", "UploadLayerPart"),
    "ecs": ("RunTask", "UpdateService", "ExecuteCommand", "StopTask"),
    "eks": ("DescribeCluster", "UpdateClusterConfig", "DeleteCluster", "CreateAccessEntry", "AssociateAccessPolicy"),
    "cloudformation": ("CreateStack", "UpdateStack", "DeleteStack"),
    "states": ("StartExecution",),
    "events": ("PutRule", "PutTargets", "PutEvents"),
    "kinesis": ("PutRecord", "PutRecords", "GetRecords"),
    "firehose": ("PutRecord", "PutRecordBatch", "DeleteDeliveryStream"),
    "kafka-cluster": ("Connect", "ReadData", "WriteData", "AlterCluster", "DescribeTopic", "CreateTopic", "DeleteTopic"),
    "glue": ("GetConnection", "GetTable", "GetPartitions", "UpdateTable", "DeleteTable"),
    "athena": ("StartQueryExecution", "GetQueryResults"),
    "es": ("ESHttpGet", "ESHttpPost", "ESHttpPut", "ESHttpDelete", "DeleteDomain"),
    "bedrock": ("InvokeModel", "InvokeModelWithResponseStream"),
    "acm": ("ExportCertificate", "DeleteCertificate"),
    "acm-pca": ("IssueCertificate", "GetCertificate", "RevokeCertificate", "DeleteCertificateAuthority"),
    "cognito-idp": ("AdminGetUser", "AdminCreateUser", "AdminSetUserPassword", "DescribeUserPoolClient", "DeleteUserPool"),
    "elasticfilesystem": ("ClientMount", "ClientWrite", "ClientRootAccess", "DeleteFileSystem"),
    "ses": ("SendEmail", "SendRawEmail"),
    "route53": ("ChangeResourceRecordSets", "DeleteHostedZone"),
    "cloudfront": ("CreateInvalidation", "UpdateDistribution", "DeleteDistribution"),
    "logs": ("DeleteLogGroup", "DeleteLogStream"),
    "codebuild": ("StartBuild",),
}  # fmt: skip

# Keys of many values, on which ForAllValues is meant: those of the type "ArrayOf..." in the reference above, and
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
MANY_VALUES: Final = frozenset(
    {
        "aws:tagkeys", "aws:calledvia", "aws:principalorgpaths", "aws:resourceorgpaths", "aws:sourceorgpaths",
        "aws:vpceorgpaths", "aws:principalservicenameslist", "sts:transitivetagkeys", "kms:encryptioncontextkeys",
        "kms:grantoperations", "kms:resourcealiases", "secretsmanager:addreplicaregions", "dynamodb:attributes",
        "dynamodb:leadingkeys", "s3:requestobjecttagkeys", "ses:recipients", "elasticloadbalancing:subnet",
        "elasticloadbalancing:securitygroup", "lambda:layer", "lambda:securitygroupids", "lambda:subnetids",
        "route53:changeresourcerecordsetsactions", "route53:changeresourcerecordsetsnormalizedrecordnames",
        "route53:changeresourcerecordsetsrecordtypes", "cognito-identity.amazonaws.com:amr",
    }
)  # fmt: skip
