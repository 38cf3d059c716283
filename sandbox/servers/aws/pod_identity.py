"""EKS Pod Identity: associations, which moto lacks, and the agent that hands a pod its role's credentials.

The agent's address is GET /v1/credentials with the service account's token in ``Authorization``, as the AWS SDKs ask it
(AWS_CONTAINER_CREDENTIALS_FULL_URI, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE). The session carries the six tags of EKS.
Source: "How EKS Pod Identity works" and "Grant Pods access based on tags" in the EKS user guide.
"""

from __future__ import annotations

import json
import secrets
import string
import time
from typing import Any

from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AccessDenied, AwsError
from sandbox.servers.aws.oidc import Identity
from sandbox.servers.aws.policy import Asked, Caller
from sandbox.servers.aws.principals import open_session
from sandbox.servers.aws.request import Request
from sandbox.servers.aws.sts import trusts
from sandbox.servers.aws.targets import Values

AUDIENCE = "pods.eks.amazonaws.com"
ACTIONS = frozenset({f"{verb}PodIdentityAssociation" for verb in ("Create", "Describe", "Update", "Delete")}) | {
    "ListPodIdentityAssociations"
}
_ALPHABET = string.ascii_lowercase + string.digits


def _associations() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = backends.eks().__dict__.setdefault("strongroom_pod_identity", {})
    return found


def handles(request: Request) -> bool:
    """Whether this module answers the request instead of moto."""
    if request.service != "eks":
        return False
    tagged = request.action in ("TagResource", "UntagResource", "ListTagsForResource")
    return request.action in ACTIONS or (
        tagged and ":podidentityassociation/" in str(request.parameters.get("resourceArn"))
    )


def answer(request: Request) -> dict[str, Any]:
    """The answer to an action on associations. Raises AwsError with EKS's codes."""
    given = request.parameters
    if request.action.endswith("Resource"):
        return _tagging(request)
    cluster = str(given.get("clusterName", ""))
    if cluster not in backends.eks().clusters:
        raise AwsError("ResourceNotFoundException", f"No cluster found for name: {cluster}.", status=404)
    if request.action == "CreatePodIdentityAssociation":
        return {"association": _create(cluster, given)}
    if request.action == "ListPodIdentityAssociations":
        names = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")
        found = [
            {name: one[name] for name in names}
            for one in _associations().values()
            if one["clusterName"] == cluster
            and all(given.get(n) in (None, one[n]) for n in ("namespace", "serviceAccount"))
        ]
        return {"associations": found}
    one = _associations().get(str(given.get("associationId", "")))
    if one is None or one["clusterName"] != cluster:
        message = f"No association found with associationId: {given.get('associationId')}"
        raise AwsError("ResourceNotFoundException", message, status=404)
    if request.action == "UpdatePodIdentityAssociation":
        for name in ("roleArn", "disableSessionTags", "targetRoleArn"):
            if given.get(name) is not None:
                one[name] = given[name]
        one["modifiedAt"] = time.time()
    if request.action == "DeletePodIdentityAssociation":
        del _associations()[one["associationId"]]
    return {"association": one}


def _create(cluster: str, given: dict[str, Any]) -> dict[str, Any]:
    for name in ("namespace", "serviceAccount", "roleArn"):
        if not given.get(name):
            raise AwsError("InvalidParameterException", f"{name} is required")
    same = ("namespace", "serviceAccount")
    if any(one["clusterName"] == cluster and all(one[n] == given[n] for n in same) for one in _associations().values()):
        raise AwsError("ResourceInUseException", "Association already exists for this service account", status=409)
    identity = "a-" + "".join(secrets.choice(_ALPHABET) for _ in range(17))
    one = {
        "clusterName": cluster,
        "namespace": given["namespace"],
        "serviceAccount": given["serviceAccount"],
        "roleArn": given["roleArn"],
        "associationArn": f"arn:aws:eks:{backends.REGION}:{backends.ACCOUNT}:podidentityassociation/{cluster}/{identity}",
        "associationId": identity,
        "tags": given.get("tags") or {},
        "createdAt": time.time(),
        "modifiedAt": time.time(),
        "disableSessionTags": bool(given.get("disableSessionTags", False)),
    }
    if given.get("targetRoleArn"):
        one |= {"targetRoleArn": given["targetRoleArn"], "externalId": secrets.token_hex(16)}
    _associations()[identity] = one
    return one


def _tagging(request: Request) -> dict[str, Any]:
    arn = str(request.parameters.get("resourceArn"))
    one = next((found for found in _associations().values() if found["associationArn"] == arn), None)
    if one is None:
        raise AwsError("NotFoundException", f"No resource found for {arn}", status=404)
    if request.action == "TagResource":
        one["tags"] = {**one["tags"], **(request.parameters.get("tags") or {})}
    elif request.action == "UntagResource":
        keys = request.parameters.get("tagKeys") or []
        for key in [keys] if isinstance(keys, str) else keys:
            one["tags"].pop(key, None)
    else:
        return {"tags": one["tags"]}
    return {}


def credentials(identity: Identity, common: Values) -> dict[str, Any]:
    """What the agent answers a pod. Raises AccessDenied where no association or trust policy lets it."""
    kubernetes = identity.claims.get("kubernetes.io") or {}
    namespace = str(kubernetes.get("namespace", ""))
    account = str((kubernetes.get("serviceaccount") or {}).get("name", ""))
    clusters = backends.eks().clusters
    one = next(
        (
            found
            for found in _associations().values()
            if (found["namespace"], found["serviceAccount"]) == (namespace, account)
        ),
        None,
    )
    if one is None or one["clusterName"] not in clusters:
        raise AccessDenied(f"No EKS Pod Identity association for service account {account} in namespace {namespace}")
    pod = kubernetes.get("pod") or {}
    tags = {
        "eks-cluster-arn": clusters[one["clusterName"]].arn,
        "eks-cluster-name": one["clusterName"],
        "kubernetes-namespace": namespace,
        "kubernetes-service-account": account,
        "kubernetes-pod-name": str(pod.get("name", "")),
        "kubernetes-pod-uid": str(pod.get("uid", "")),
    }
    if one["disableSessionTags"]:
        tags = {}
    role = backends.role(one["roleArn"])
    context: Values = {
        **common,
        "aws:sourceaccount": backends.ACCOUNT,
        "aws:sourcearn": clusters[one["clusterName"]].arn,
    }
    context |= {f"aws:requesttag/{key.lower()}": value for key, value in tags.items()}
    context |= {"aws:tagkeys": list(tags)} if tags else {}
    caller = Caller(arn="", account=backends.ACCOUNT, service=AUDIENCE)
    for action in ("sts:AssumeRole", *(["sts:TagSession"] if tags else [])):
        if role is None or not trusts(role, caller, Asked(action, one["roleArn"], context)):
            raise AccessDenied(f"{AUDIENCE} is not authorized to perform: {action} on resource: {one['roleArn']}")
    name = f"eks-{one['clusterName'][:20]}-{account[:20]}-{secrets.token_hex(4)}"
    session = open_session(role, name, 3600, tags=tags)
    return {
        "AccessKeyId": session.access_key_id,
        "SecretAccessKey": session.secret_access_key,
        "Token": session.session_token,
        "AccountId": backends.ACCOUNT,
        "Expiration": f"{session.expiration:%Y-%m-%dT%H:%M:%SZ}",
    }


def to_json(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()
