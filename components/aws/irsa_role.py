"""An IAM role for one service account, assumed with its projected token (IAM roles for service accounts)."""

import re
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.aws.account import AwsAccountArgs, arn
from components.aws.documents import trust_policy
from components.durations import parse_duration
from components.errors import ArgumentError

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")
_PATH = re.compile(r"/|/[!-~]{1,510}/")
_POLICY_ARN = re.compile(r"arn:[a-z-]+:iam::(\d{12}|aws):policy/[!-~]+")
SESSION_SECONDS = (3600, 43200)  # what IAM accepts as a role's maximum


class IrsaRoleArgs(TypedDict):
    """Arguments of IrsaRole."""

    account: AwsAccountArgs
    """The account that the role is in."""
    issuer: str
    """The cluster's issuer URL, https."""
    role_name: str
    """The role's name, at most 64 characters. Fixed, so that its ARN is known at preview."""
    namespace: str
    """The service account's namespace."""
    service_account: str
    """The service account's name."""
    audience: NotRequired[str]
    """The token's audience; default `sts.amazonaws.com`."""
    allow_wildcard_subject: NotRequired[bool]
    """Accept `*` or `?` in namespace or service account, with which other workloads can assume the role; default false."""
    permissions_boundary: NotRequired[str]
    """ARN of a policy that bounds what the role can ever do; default none."""
    path: NotRequired[str]
    """The role's path, such as `/workloads/`; default `/`."""
    max_session_duration: NotRequired[str]
    """How long a session may last, `1h` (default) to `12h`."""
    tags: NotRequired[dict[str, str]]
    """The role's tags."""


class IrsaRole(pulumi.ComponentResource):
    """A role that exactly one service account of one cluster can assume, and that may do nothing until it is granted.

    The trust policy pins `sub` and `aud` with StringEquals. Raises UnsafeError for a wildcard, ArgumentError for the rest.
    Source: https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html
    """

    arn: str
    """The role's ARN, which follows from account, path and name."""
    role_name: pulumi.Output[str]
    """The role's name, once it exists."""

    def __init__(self, name: str, args: IrsaRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("strongroom:aws:IrsaRole", name, {}, opts)
        check(args)
        path = args.get("path") or "/"
        trust = trust_policy(
            args["account"],
            issuer=args["issuer"],
            namespace=args["namespace"],
            service_account=args["service_account"],
            audience=args.get("audience", "sts.amazonaws.com"),
            allow_wildcard_subject=args.get("allow_wildcard_subject", False),
        )
        role = aws.iam.Role(
            f"{name}-role",
            name=args["role_name"],
            path=path,
            assume_role_policy=trust,
            max_session_duration=parse_duration(args.get("max_session_duration", "1h"), "max_session_duration"),
            permissions_boundary=args.get("permissions_boundary") or None,
            description=f"Assumed by {args['namespace']}/{args['service_account']} only",
            tags=args.get("tags", {}),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = arn(args["account"], "iam", f"role{path}{args['role_name']}", regional=False)
        self.role_name = role.name
        self.register_outputs({"arn": self.arn, "roleName": self.role_name})


def check(args: IrsaRoleArgs) -> None:
    """What IAM would refuse, before the first resource. Raises ArgumentError, DurationError."""
    path = args.get("path") or "/"
    if not _PATH.fullmatch(path):
        raise ArgumentError(f"path: {path!r} must start and end with '/', such as '/workloads/'")
    if not _ROLE_NAME.fullmatch(args["role_name"]):
        raise ArgumentError(
            f"role_name: {args['role_name']!r} must have 1 to 64 characters, letters, digits and +=,.@_-"
        )
    boundary = args.get("permissions_boundary")
    if boundary and not _POLICY_ARN.fullmatch(boundary):
        raise ArgumentError(
            f"permissions_boundary: {boundary!r} is no policy's ARN; expected arn:aws:iam::ACCOUNT:policy/NAME"
        )
    session = parse_duration(args.get("max_session_duration", "1h"), "max_session_duration")
    if not SESSION_SECONDS[0] <= session <= SESSION_SECONDS[1]:
        raise ArgumentError(f"max_session_duration: {args['max_session_duration']!r} is not between '1h' and '12h'")
