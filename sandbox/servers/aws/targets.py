"""What a request is about: the resource's ARN, its own policy, and the condition keys of its service.

Source: the "Actions, resources, and condition keys" pages of the Service Authorization Reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.servers.aws import backends
from sandbox.servers.aws.request import Request, listed

Values = dict[str, "str | list[str]"]


@dataclass
class Target:
    """One resource of a request. ``needs``: what else the caller must be allowed, as (action, target)."""

    arn: str = "*"
    policy: str | None = None
    policy_decides: bool = False
    context: Values = field(default_factory=dict)
    needs: list[tuple[str, Target]] = field(default_factory=list)


def target(request: Request) -> Target:
    """The resource of a request with its context; ``*`` for an action without one."""
    known = _SERVICES.get(request.service)
    found = known(request) if known is not None else Target()
    found.context = {**_common(request), **found.context}
    return found


def _common(request: Request) -> Values:
    name = next((n for n in ("Tags", "tags", "TagList") if n in request.parameters), "Tags")
    tags = listed(request.parameters, name)
    context: Values = {
        "aws:requestedregion": request.region,
        "aws:securetransport": "true",  # plain HTTP, but it never leaves the loopback interface
        "aws:sourceip": "127.0.0.1",
        "aws:currenttime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "aws:epochtime": str(int(time.time())),
        "aws:resourceaccount": backends.ACCOUNT,
        "aws:viaawsservice": "false",
        **{f"aws:requesttag/{key.lower()}": value for key, value in tags.items()},
    }
    if request.headers.get("user-agent"):
        context["aws:useragent"] = request.headers["user-agent"]
    if tags:
        context["aws:tagkeys"] = list(tags)
    return context


def tag_context(tags: dict[str, str], *services: str) -> Values:
    """``aws:ResourceTag/...`` and the service's own spelling of it."""
    return {
        f"{prefix}:resourcetag/{key.lower()}": value for prefix in ("aws", *services) for key, value in tags.items()
    }


# -- Secrets Manager -------------------------------------------------------------------------------------------------------

_NO_SECRET = {"ListSecrets", "GetRandomPassword", "BatchGetSecretValue"}
_READS_VALUE = {"GetSecretValue"}
_WRITES_VALUE = {"CreateSecret", "PutSecretValue", "UpdateSecret"}


def _secrets_manager(request: Request) -> Target:
    given = request.parameters
    if request.action in _NO_SECRET:
        return Target()
    name = str(given.get("Name") if request.action == "CreateSecret" else given.get("SecretId") or "")
    return secret_target(request, name)


def secret_target(request: Request, name: str, *, action: str | None = None) -> Target:
    """The target of an action on one secret, with what its KMS key asks for."""
    action = action or request.action
    given, live = request.parameters, backends.secret(name, request.region)
    context: Values = {"secretsmanager:secretid": name}
    if live is None:
        prefix = f"arn:aws:secretsmanager:{request.region}:{backends.ACCOUNT}:secret:"
        # A new secret's suffix is not known before it is made; six letters stand for it.
        arn = name if name.startswith("arn:") else f"{prefix}{name}{'-AAAAAA' if action == 'CreateSecret' else ''}"
        found = Target(arn, context=context)
    else:
        source = getattr(live, "source", live)
        tags = {item["Key"]: item["Value"] for item in live.tags or []}
        context |= {**tag_context(tags, "secretsmanager"), "secretsmanager:secretid": live.arn}
        found = Target(live.arn, policy=source.policy, context=context)
    simple = {
        "Name": "name",
        "Description": "description",
        "KmsKeyId": "kmskeyid",
        "RotationLambdaARN": "rotationlambdaarn",
        "RecoveryWindowInDays": "recoverywindowindays",
        "ForceDeleteWithoutRecovery": "forcedeletewithoutrecovery",
        "BlockPublicPolicy": "blockpublicpolicy",
        "VersionId": "versionid",
        "VersionStage": "versionstage",
    }
    for parameter, key in simple.items():
        if given.get(parameter) is not None:
            context[f"secretsmanager:{key}"] = (
                str(given[parameter]).lower() if isinstance(given[parameter], bool) else str(given[parameter])
            )
    if given.get("VersionStages"):
        context["secretsmanager:versionstage"] = [str(one) for one in given["VersionStages"]]
    found.needs = _of_key(request, action, live, found.arn)
    return found


def _of_key(request: Request, action: str, live: Any, arn: str) -> list[tuple[str, Target]]:
    """Secrets Manager reads and writes a value with the caller's own permission on the secret's key."""
    key_id = request.parameters.get("KmsKeyId") or (
        getattr(live, "source", live).kms_key_id if live is not None else None
    )
    if not key_id or str(key_id).endswith("alias/aws/secretsmanager"):
        return []  # the AWS managed key lets everyone in the account use it through Secrets Manager
    version = str(request.parameters.get("VersionId") or request.parameters.get("ClientRequestToken") or "")
    made: Values = {
        "kms:viaservice": f"secretsmanager.{request.region}.amazonaws.com",
        "aws:viaawsservice": "true",
        "aws:calledvia": ["secretsmanager.amazonaws.com"],
    }
    encryption = {"SecretARN": arn, "SecretVersionId": version or _current(live)}
    on_key = kms_target(str(key_id), request.region, encryption, extra=made)
    if action in _READS_VALUE:
        return [("kms:Decrypt", on_key)]
    writes = action in _WRITES_VALUE and (
        action != "UpdateSecret" or any(request.parameters.get(n) for n in ("SecretString", "SecretBinary", "KmsKeyId"))
    )
    return [("kms:GenerateDataKey", on_key), ("kms:Decrypt", on_key)] if writes else []


def _current(live: Any) -> str:
    versions = getattr(live, "versions", None) or {}
    return next((one for one, version in versions.items() if "AWSCURRENT" in version["version_stages"]), "")


# -- KMS -------------------------------------------------------------------------------------------------------------------

_NO_KEY = {"CreateKey", "ListKeys", "ListAliases", "GenerateRandom"}


def _kms(request: Request) -> Target:
    given = request.parameters
    if request.action in _NO_KEY:
        return Target()
    encryption = {str(key): str(value) for key, value in (given.get("EncryptionContext") or {}).items()}
    key_id = str(given.get("KeyId") or given.get("TargetKeyId") or given.get("SourceKeyId") or "")
    if request.action == "Decrypt" and not key_id:
        key_id = _key_of_ciphertext(str(given.get("CiphertextBlob") or ""))
    found = kms_target(key_id, request.region, encryption)
    if request.action in ("CreateAlias", "UpdateAlias", "DeleteAlias"):
        name = str(given.get("AliasName") or "")
        on_key = found if key_id else kms_target(name, request.region, {})
        alias = Target(f"arn:aws:kms:{request.region}:{backends.ACCOUNT}:{name}")
        alias.needs = [(f"kms:{request.action}", on_key)] if on_key.policy_decides else []
        return alias
    return found


def kms_target(key_id: str, region: str, encryption: dict[str, str], *, extra: Values | None = None) -> Target:
    """A key; the policy of a key decides whether the callers' own policies count."""
    live = backends.key(key_id, region)
    context: Values = {"kms:calleraccount": backends.ACCOUNT, **(extra or {})}
    context |= {f"kms:encryptioncontext:{name.lower()}": value for name, value in encryption.items()}
    if encryption:
        context["kms:encryptioncontextkeys"] = list(encryption)
    if "alias/" in key_id:
        context["kms:requestalias"] = key_id[key_id.index("alias/") :]
    if live is None:
        arn = key_id if key_id.startswith("arn:") else f"arn:aws:kms:{region}:{backends.ACCOUNT}:key/{key_id}"
        return Target(arn, context=context)
    tags = backends.kms(region).tagger.get_tag_dict_for_resource(live.id)
    context |= {**tag_context(tags), "kms:resourcealiases": list(live.aliases)}
    return Target(live.arn, policy=live.policy, policy_decides=True, context=context)


def _key_of_ciphertext(blob: str) -> str:
    import base64

    from moto.kms.utils import _deserialize_ciphertext_blob

    try:
        key_id: str = _deserialize_ciphertext_blob(base64.b64decode(blob)).key_id
    except Exception:  # noqa: BLE001 - not one of ours: the service itself will say so
        return ""
    return key_id


# -- IAM, STS, EKS ---------------------------------------------------------------------------------------------------------


def _iam(request: Request) -> Target:
    given = request.parameters
    backend = backends.iam()
    prefix = f"arn:aws:iam::{backends.ACCOUNT}:"
    context: Values = {}
    if given.get("PolicyArn"):
        context["iam:policyarn"] = str(given["PolicyArn"])
    if given.get("PermissionsBoundary"):
        context["iam:permissionsboundary"] = str(given["PermissionsBoundary"])
    if given.get("RoleName"):
        live = backend.roles.get(given["RoleName"])
        path = str(given.get("Path") or "/")
        arn = live.arn if live is not None else f"{prefix}role{path}{given['RoleName']}"
        if live is not None and live.permissions_boundary_arn:
            context.setdefault("iam:permissionsboundary", live.permissions_boundary_arn)
        return Target(arn, context=context)
    if given.get("UserName"):
        return Target(f"{prefix}user{given.get('Path') or '/'}{given['UserName']}", context=context)
    if given.get("OpenIDConnectProviderArn"):
        return Target(str(given["OpenIDConnectProviderArn"]), context=context)
    if request.action == "CreateOpenIDConnectProvider":
        return Target(f"{prefix}oidc-provider/{str(given.get('Url', '')).removeprefix('https://')}", context=context)
    if given.get("PolicyArn"):
        return Target(str(given["PolicyArn"]), context=context)
    if given.get("PolicyName"):
        return Target(f"{prefix}policy{given.get('Path') or '/'}{given['PolicyName']}", context=context)
    return Target(context=context)


def _eks(request: Request) -> Target:
    given = request.parameters
    name = str(given.get("name") or given.get("clusterName") or "")
    if not name:
        return Target()
    prefix = f"arn:aws:eks:{request.region}:{backends.ACCOUNT}:"
    cluster = backends.eks(request.region).clusters.get(name)
    context = tag_context(cluster.tags) if cluster is not None else {}
    found = Target(f"{prefix}cluster/{name}", context=context)
    if given.get("associationId"):
        found.arn = f"{prefix}podidentityassociation/{name}/{given['associationId']}"
    passed = given.get("roleArn")
    if passed and request.action in ("CreateCluster", "CreatePodIdentityAssociation", "UpdatePodIdentityAssociation"):
        service = "eks.amazonaws.com" if request.action == "CreateCluster" else "pods.eks.amazonaws.com"
        found.needs = [("iam:PassRole", Target(str(passed), context={"iam:passedtoservice": service}))]
    return found


_SERVICES: dict[str, Callable[[Request], Target]] = {
    "secretsmanager": _secrets_manager,
    "kms": _kms,
    "iam": _iam,
    "eks": _eks,
}
