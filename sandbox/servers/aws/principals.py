"""Who calls: the owner of an access key, with the policies that bear on them."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AwsError, NotAuthenticated, unknown_key
from sandbox.servers.aws.policy import Caller


@dataclass(frozen=True)
class Principal:
    """An IAM user or a role's session."""

    arn: str
    user_id: str
    caller: Caller
    identity: tuple[str, ...]  # policy documents
    boundary: str | None = None
    session_policy: str | None = None
    context: dict[str, str | list[str]] = field(default_factory=dict)


def session_details(assumed: Any) -> dict[str, Any]:
    """What the sandbox keeps of a session beside moto's fields: tags, source identity, policy, provider."""
    details: dict[str, Any] = assumed.__dict__.setdefault("strongroom", {})
    return details


def secret_of(access_key: str, token: str) -> tuple[str, Any]:
    """The secret of an access key, and its user or session. Raises NotAuthenticated for a key that is not there."""
    if access_key.startswith("ASIA"):
        assumed = next((one for one in backends.sts().assumed_roles if one.access_key_id == access_key), None)
        if assumed is None or token != assumed.session_token:
            raise unknown_key()
        if assumed.expiration.replace(tzinfo=datetime.UTC) <= datetime.datetime.now(datetime.UTC):
            raise NotAuthenticated("ExpiredToken", "The security token included in the request is expired")
        return assumed.secret_access_key, assumed
    for user in backends.iam().users.values():
        for key in user.access_keys:
            if key.access_key_id == access_key and key.status == "Active" and not token:
                return key.secret_access_key, user
    raise unknown_key()


def principal(owner: Any) -> Principal:
    """The user or session with its policies as they are now."""
    return _session(owner) if hasattr(owner, "session_token") else _user(owner)


def _user(user: Any) -> Principal:
    groups = [group for group in backends.iam().groups.values() if user in group.users]
    documents = [*user.policies.values(), *(_document(policy) for policy in user.managed_policies.values())]
    for group in groups:
        documents += [*group.policies.values(), *(_document(policy) for policy in group.managed_policies.values())]
    tags = backends.iam().tagger.get_tag_dict_for_resource(user.arn)
    return Principal(
        arn=user.arn,
        user_id=user.id,
        caller=Caller(arn=user.arn, account=backends.ACCOUNT),
        identity=tuple(documents),
        context={**_common(user.arn, user.id, "User"), "aws:username": user.name, **_tags(tags)},
    )


def _session(assumed: Any) -> Principal:
    role = backends.role(assumed.role_arn)
    details = session_details(assumed)
    if role is None or role.id != details.get("role_id"):
        raise unknown_key()  # the role is gone, and a new one of its name is another
    user_id = f"{role.id}:{assumed.session_name}"
    boundary = None
    if role.permissions_boundary_arn:
        found = backends.iam().managed_policies.get(role.permissions_boundary_arn)
        boundary = _document(found) if found is not None else '{"Statement": []}'
    context = {**_common(role.arn, user_id, "AssumedRole"), **_tags(_role_tags(role)), **_tags(details.get("tags", {}))}
    if details.get("source_identity"):
        context["aws:sourceidentity"] = details["source_identity"]
    if details.get("federated"):
        context["aws:federatedprovider"] = details["federated"]
    context["aws:tokenissuetime"] = details.get("issued", "")
    return Principal(
        arn=assumed.arn,
        user_id=user_id,
        caller=Caller(arn=assumed.arn, role_arn=role.arn, account=backends.ACCOUNT),
        identity=(*role.policies.values(), *(_document(policy) for policy in role.managed_policies.values())),
        boundary=boundary,
        session_policy=details.get("policy"),
        context=context,
    )


def _document(policy: Any) -> str:
    document: str = next(version.document for version in policy.versions if version.is_default)
    return document


def _role_tags(role: Any) -> dict[str, str]:
    tags = role.tags or {}
    if isinstance(tags, dict):
        return {item["Key"]: item["Value"] for item in tags.values()}
    return {item["Key"]: item["Value"] for item in tags}


def _common(arn: str, user_id: str, kind: str) -> dict[str, str | list[str]]:
    return {
        "aws:principalarn": arn,
        "aws:principalaccount": backends.ACCOUNT,
        "aws:principaltype": kind,
        "aws:principalisawsservice": "false",
        "aws:userid": user_id,
    }


def _tags(tags: dict[str, str]) -> dict[str, str | list[str]]:
    return {f"aws:principaltag/{name.lower()}": value for name, value in tags.items()}


def open_session(role: Any, session_name: str, duration: int, **details: Any) -> Any:
    """A new session of a role. Raises AwsError where it would be longer than the role's sessions may be."""
    longest = int(role.max_session_duration or 3600)
    if not 900 <= duration <= 43200:
        raise AwsError("ValidationError", f"Value '{duration}' at 'durationSeconds' must be from 900 to 43200")
    if duration > longest:
        raise AwsError(
            "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    backend = backends.sts()
    _forget_ended(backend)
    assumed = backend.assume_role(
        region_name=backends.REGION,
        role_session_name=session_name,
        role_arn=role.arn,
        policy="",
        duration=duration,
        external_id="",
    )
    issued = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    session_details(assumed).update({**details, "role_id": role.id, "issued": issued})
    return assumed


def _forget_ended(backend: Any) -> None:
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    keys = backends.iam().access_keys
    for assumed in [one for one in backend.assumed_roles if one.expiration.replace(tzinfo=datetime.UTC) < long_ago]:
        backend.assumed_roles.remove(assumed)
        keys.pop(assumed.access_key_id, None)
