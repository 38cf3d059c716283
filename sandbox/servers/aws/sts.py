"""STS: who am I, and sessions of roles. Trust policies decide, as in AWS; moto's own STS checks none.

Runs under the gateway's lock, but for the verification of a token, which asks the issuer.
"""

from __future__ import annotations

import re
import uuid
from typing import Any
from xml.sax.saxutils import escape

from sandbox.servers.aws import backends
from sandbox.servers.aws.errors import AccessDenied, AwsError
from sandbox.servers.aws.oidc import Identity, Provider
from sandbox.servers.aws.policy import Asked, Caller, Effect, Policies, decide, evaluate
from sandbox.servers.aws.principals import Principal, open_session
from sandbox.servers.aws.request import Request, listed
from sandbox.servers.aws.targets import Values

_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


def providers() -> list[Provider]:
    """The account's OIDC providers."""
    return [
        Provider(arn, live.url, tuple(live.client_id_list)) for arn, live in backends.iam().open_id_providers.items()
    ]


def caller_identity(caller: Principal) -> bytes:
    return _xml(
        "GetCallerIdentity",
        f"<Arn>{escape(caller.arn)}</Arn><UserId>{escape(caller.user_id)}</UserId><Account>{backends.ACCOUNT}</Account>",
    )


def _session_name(request: Request) -> str:
    name = str(request.parameters.get("RoleSessionName", ""))
    if not _SESSION_NAME.fullmatch(name):
        raise AwsError("ValidationError", "Value at 'roleSessionName' must have 2 to 64 characters of [\\w+=,.@-]")
    return name


def _duration(request: Request) -> int:
    text = str(request.parameters.get("DurationSeconds") or "3600")
    if not text.isdigit():
        raise AwsError("ValidationError", "Value at 'durationSeconds' must be a whole number")
    return int(text)


def assume_role(request: Request, caller: Principal, common: Values) -> bytes:
    """AssumeRole: the role's trust policy and, where that leaves it to the account, the caller's own policies."""
    given = request.parameters
    arn, name = str(given.get("RoleArn", "")), _session_name(request)
    role = backends.role(arn)
    tags = listed(given, "Tags")
    context = {**common, **caller.context, "sts:rolesessionname": name}
    context |= {f"aws:requesttag/{key.lower()}": value for key, value in tags.items()}
    for parameter, key in {"ExternalId": "sts:externalid", "SourceIdentity": "sts:sourceidentity"}.items():
        if given.get(parameter):
            context[key] = str(given[parameter])
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if tags else [])]
    actions += ["sts:SetSourceIdentity"] if given.get("SourceIdentity") else []
    for action in actions:
        policies = Policies(
            caller.identity,
            caller.boundary,
            caller.session_policy,
            role.assume_role_policy_document if role is not None else None,
            resource_decides=True,
        )
        if role is None or not decide(policies, caller.caller, Asked(action, arn, context)).allowed:
            raise AccessDenied(f"User: {caller.arn} is not authorized to perform: {action} on resource: {arn}")
    source = given.get("SourceIdentity") or caller.context.get("aws:sourceidentity")
    duration = _duration(request)
    if caller.caller.role_arn and duration > 3600:
        raise AwsError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        )
    session = open_session(role, name, duration, tags=tags, source_identity=source, policy=given.get("Policy"))
    return _xml("AssumeRole", session_xml(session))


def assume_role_with_web_identity(request: Request, identity: Identity, common: Values) -> bytes:
    """AssumeRoleWithWebIdentity, once the token is verified: the role's trust policy decides."""
    given, name = request.parameters, _session_name(request)
    role = backends.role(str(given.get("RoleArn", "")))
    issuer = identity.provider.issuer.lower()
    context: Values = {
        **common,
        f"{issuer}:sub": identity.subject,
        f"{issuer}:aud": identity.audience,
        "aws:federatedprovider": identity.provider.arn,
        "sts:rolesessionname": name,
    }
    for claim in ("amr", "email"):
        if isinstance(identity.claims.get(claim), str):
            context[f"{issuer}:{claim}"] = identity.claims[claim]
    source = identity.claims.get("https://aws.amazon.com/source_identity")
    caller = Caller(arn="", account=backends.ACCOUNT, federated=identity.provider.arn)
    asked = Asked("sts:AssumeRoleWithWebIdentity", str(given.get("RoleArn", "")), context)
    if role is None or not trusts(role, caller, asked):
        raise AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
    session = open_session(
        role,
        name,
        _duration(request),
        federated=identity.provider.arn,
        source_identity=source if isinstance(source, str) else None,
        policy=given.get("Policy"),
    )
    told = (
        f"<SubjectFromWebIdentityToken>{escape(identity.subject)}</SubjectFromWebIdentityToken>"
        f"<Audience>{escape(identity.audience)}</Audience><Provider>{escape(identity.provider.arn)}</Provider>"
    )
    return _xml("AssumeRoleWithWebIdentity", session_xml(session) + told)


def trusts(role: Any, caller: Caller, asked: Asked) -> bool:
    """Whether the role's trust policy allows it."""
    verdict = evaluate([role.assume_role_policy_document], caller, asked, resource_policy=True)
    return verdict.effect is Effect.ALLOW


def session_xml(session: Any) -> str:
    role = backends.role(session.role_arn)
    return (
        f"<Credentials><AccessKeyId>{session.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{escape(session.secret_access_key)}</SecretAccessKey>"
        f"<SessionToken>{escape(session.session_token)}</SessionToken>"
        f"<Expiration>{session.expiration:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>{role.id if role else ''}:{escape(session.session_name)}</AssumedRoleId>"
        f"<Arn>{escape(session.arn)}</Arn></AssumedRoleUser><PackedPolicySize>0</PackedPolicySize>"
    )


def _xml(action: str, result: str) -> bytes:
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    ).encode()
