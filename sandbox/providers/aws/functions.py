"""The provider's functions: policy documents, who and where we are, and look-ups of what exists."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sandbox.providers.aws.clients import Clients, absent
from sandbox.providers.aws.eks import cluster_values, described
from sandbox.providers.aws.errors import AwsProviderError, InvalidInput
from sandbox.providers.aws.policies import as_text
from sandbox.providers.aws.resource import Values, region_of, tag_map

POLICY_DOCUMENT = "aws:iam/getPolicyDocument:getPolicyDocument"


def policy_document(args: Values) -> Values:
    """aws:iam/getPolicyDocument. Raises InvalidInput naming the statement."""
    statements: list[Values] = []
    for name in ("sourcePolicyDocuments", "overridePolicyDocuments"):
        if name == "overridePolicyDocuments":
            statements += [_statement(one, index) for index, one in enumerate(args.get("statements") or [])]
        for text in [*(args.get(name) or []), *([args[name[:6] + "Json"]] if args.get(name[:6] + "Json") else [])]:
            _merge(statements, text, name)
    if args.get("overrideJson"):
        _merge(statements, args["overrideJson"], "overrideJson")
    document = {"Version": args.get("version") or "2012-10-17"}
    if args.get("policyId"):
        document["Id"] = args["policyId"]
    full: Values = {**document, "Statement": statements}
    text = json.dumps(full, indent=2)
    return {"json": text, "minifiedJson": json.dumps(full, separators=(",", ":")), "id": str(abs(hash(text))), **args}


def _merge(statements: list[Values], text: str, argument: str) -> None:
    try:
        found = json.loads(text)["Statement"]
    except (ValueError, KeyError, TypeError):
        raise InvalidInput(argument, f"{argument} must be policy documents as JSON text") from None
    for one in found if isinstance(found, list) else [found]:
        same = next(
            (n for n, known in enumerate(statements) if one.get("Sid") and known.get("Sid") == one["Sid"]), None
        )
        if same is None:
            statements.append(one)
        else:
            statements[same] = one


def _statement(given: Values, index: int) -> Values:
    where = f"statements[{index}]"
    known = {
        "sid", "effect", "actions", "notActions", "resources", "notResources", "principals", "notPrincipals", "conditions"
    }  # fmt: skip
    if unknown := sorted(given.keys() - known):
        raise InvalidInput(
            f"{where}.{unknown[0]}", f"a statement has no {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )
    effect = given.get("effect") or "Allow"
    if effect not in ("Allow", "Deny"):
        raise InvalidInput(f"{where}.effect", f"{where}.effect must be 'Allow' or 'Deny', not {effect!r}")
    result: Values = {"Sid": given["sid"]} if given.get("sid") else {}
    result["Effect"] = effect
    for name, key in {
        "actions": "Action",
        "notActions": "NotAction",
        "resources": "Resource",
        "notResources": "NotResource",
    }.items():
        if given.get(name):
            result[key] = _one_or_more(sorted(given[name], reverse=True))
    for name, key in {"principals": "Principal", "notPrincipals": "NotPrincipal"}.items():
        if given.get(name):
            result[key] = _principals(given[name])
    if given.get("conditions"):
        block: dict[str, dict[str, Any]] = {}
        for one in given["conditions"]:
            held = block.setdefault(one["test"], {}).setdefault(one["variable"], [])
            held += one["values"]
        result["Condition"] = {test: {k: _one_or_more(v) for k, v in keys.items()} for test, keys in block.items()}
    return result


def _principals(given: list[Values]) -> Any:
    if any(one["type"] == "*" for one in given):
        return "*"
    found: dict[str, list[str]] = {}
    for one in given:
        found.setdefault(one["type"], []).extend(one["identifiers"])
    return {kind: _one_or_more(sorted(names, reverse=True)) for kind, names in found.items()}


def _one_or_more(values: list[str]) -> Any:
    return values[0] if len(values) == 1 else values


def _caller_identity(aws: Clients, args: Values) -> Values:
    del args
    found = aws.get("sts").get_caller_identity()
    return {"accountId": found["Account"], "arn": found["Arn"], "userId": found["UserId"], "id": found["Account"]}


def _region(aws: Clients, args: Values) -> Values:
    region = args.get("region") or args.get("name") or aws.region
    return {
        "name": region,
        "region": region,
        "id": region,
        "description": region,
        "endpoint": f"ec2.{region}.amazonaws.com",
    }


def _partition(aws: Clients, args: Values) -> Values:
    del aws, args
    return {"partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws", "id": "aws"}


def _found(value: Values | None, what: str) -> Values:
    if value is None:
        raise AwsProviderError(f"{what} does not exist")
    return value


def _cluster(aws: Clients, args: Values) -> Values:
    live = _found(described(aws, args["name"], args), f"EKS cluster {args['name']!r}")
    values = cluster_values(live)
    authority = values.pop("certificateAuthority")
    return {
        **values,
        "id": live["name"],
        "name": live["name"],
        "certificateAuthorities": [authority] if authority else [],
        "tags": live.get("tags") or {},
    }


def _secret(aws: Clients, args: Values) -> Values:
    name = args.get("arn") or args.get("name")
    if not name:
        raise InvalidInput("name", "give the secret's arn or name")
    client = aws.secrets_manager(args)
    live = _looked_up(lambda: client.describe_secret(SecretId=name), f"secret {name!r}")
    policy = client.get_resource_policy(SecretId=name).get("ResourcePolicy")
    return {
        "id": live["ARN"],
        "arn": live["ARN"],
        "name": live["Name"],
        "description": live.get("Description", ""),
        "kmsKeyId": live.get("KmsKeyId", ""),
        "createdDate": f"{live['CreatedDate']:%Y-%m-%dT%H:%M:%SZ}",
        "lastChangedDate": f"{live['LastChangedDate']:%Y-%m-%dT%H:%M:%SZ}",
        "policy": policy or "",
        "region": region_of(live["ARN"]),
        "tags": tag_map(live.get("Tags")),
    }


def _secret_version(aws: Clients, args: Values) -> Values:
    stage = args.get("versionStage") or "AWSCURRENT"
    body = {
        "SecretId": args["secretId"],
        **({"VersionId": args["versionId"]} if args.get("versionId") else {"VersionStage": stage}),
    }
    live = _looked_up(
        lambda: aws.secrets_manager(args).get_secret_value(**body), f"version of secret {args['secretId']!r}"
    )
    return {
        "id": f"{live['ARN']}|{live['VersionId']}",
        "arn": live["ARN"],
        "secretArn": live["ARN"],
        "secretId": args["secretId"],
        "secretString": live.get("SecretString", ""),
        "secretBinary": "",
        "versionId": live["VersionId"],
        "versionStage": stage,
        "versionStages": live["VersionStages"],
        "createdDate": f"{live['CreatedDate']:%Y-%m-%dT%H:%M:%SZ}",
        "region": region_of(live["ARN"]),
    }


def _role(aws: Clients, args: Values) -> Values:
    live = _looked_up(lambda: aws.iam().get_role(RoleName=args["name"])["Role"], f"role {args['name']!r}")
    return {
        "id": live["RoleName"],
        "name": live["RoleName"],
        "arn": live["Arn"],
        "uniqueId": live["RoleId"],
        "path": live["Path"],
        "assumeRolePolicy": as_text(live["AssumeRolePolicyDocument"]),
        "createDate": f"{live['CreateDate']:%Y-%m-%dT%H:%M:%SZ}",
        "description": live.get("Description", ""),
        "maxSessionDuration": live.get("MaxSessionDuration", 3600),
        "permissionsBoundary": (live.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""),
        "roleLastUseds": [],
        "tags": tag_map(live.get("Tags")),
    }


def _oidc_provider(aws: Clients, args: Values) -> Values:
    iam = aws.iam()
    url = str(args.get("url") or "").removeprefix("https://")
    arn = args.get("arn")
    if not arn:
        listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        arn = next((one["Arn"] for one in listed if one["Arn"].endswith(f":oidc-provider/{url}")), None)
    if not arn:
        raise AwsProviderError(f"OIDC provider {url!r} does not exist")
    live = _looked_up(lambda: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn), f"OIDC provider {arn!r}")
    return {
        "id": arn,
        "arn": arn,
        "url": live["Url"],
        "clientIdLists": live.get("ClientIDList") or [],
        "thumbprintLists": live.get("ThumbprintList") or [],
        "tags": tag_map(live.get("Tags")),
    }


def _alias(aws: Clients, args: Values) -> Values:
    pages = aws.kms(args).get_paginator("list_aliases").paginate()
    live = next((one for page in pages for one in page["Aliases"] if one["AliasName"] == args["name"]), None)
    live = _found(live, f"KMS alias {args['name']!r}")
    prefix, target = live["AliasArn"].rpartition(":alias/")[0], live.get("TargetKeyId", "")
    return {
        "id": live["AliasArn"],
        "arn": live["AliasArn"],
        "name": live["AliasName"],
        "targetKeyId": target,
        "targetKeyArn": f"{prefix}:key/{target}",
        "region": region_of(live["AliasArn"]),
    }


def _key(aws: Clients, args: Values) -> Values:
    live = _looked_up(
        lambda: aws.kms(args).describe_key(KeyId=args["keyId"])["KeyMetadata"], f"KMS key {args['keyId']!r}"
    )
    return {
        "id": live["KeyId"],
        "keyId": args["keyId"],
        "arn": live["Arn"],
        "awsAccountId": live["AWSAccountId"],
        "creationDate": f"{live['CreationDate']:%Y-%m-%dT%H:%M:%SZ}",
        "description": live.get("Description", ""),
        "enabled": live["Enabled"],
        "keyManager": live["KeyManager"],
        "keySpec": live["KeySpec"],
        "customerMasterKeySpec": live["KeySpec"],
        "keyState": live["KeyState"],
        "keyUsage": live["KeyUsage"],
        "multiRegion": live.get("MultiRegion", False),
        "origin": live["Origin"],
        "region": region_of(live["Arn"]),
    }


def _looked_up(call: Callable[[], Values], what: str) -> Values:
    try:
        return call()
    except Exception as error:
        if absent(error):
            raise AwsProviderError(f"{what} does not exist") from None
        raise


FUNCTIONS: dict[str, Callable[[Clients, Values], Values]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:eks/getCluster:getCluster": _cluster,
    "aws:secretsmanager/getSecret:getSecret": _secret,
    "aws:secretsmanager/getSecretVersion:getSecretVersion": _secret_version,
    "aws:iam/getRole:getRole": _role,
    "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": _oidc_provider,
    "aws:kms/getAlias:getAlias": _alias,
    "aws:kms/getKey:getKey": _key,
}
NEEDED = {
    "aws:eks/getCluster:getCluster": "name",
    "aws:secretsmanager/getSecretVersion:getSecretVersion": "secretId",
    "aws:iam/getRole:getRole": "name",
    "aws:kms/getAlias:getAlias": "name",
    "aws:kms/getKey:getKey": "keyId",
}
SECRET_RESULTS = ("secretString", "secretBinary")
