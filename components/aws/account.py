"""The account that a stack works in, and the ARNs that follow from names: known at preview, before anything exists."""

import re
from typing import NotRequired, TypedDict

from components.errors import ArgumentError

_ACCOUNT = re.compile(r"^\d{12}$")
_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
_DNS_SUFFIXES = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
}
_PREFIXES = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-iso-", "aws-iso"), ("us-isob-", "aws-iso-b"))


class AwsAccountArgs(TypedDict):
    """An AWS account and region."""

    account_id: str
    """Twelve digits."""
    region: str
    """Such as `us-east-1`."""
    partition: NotRequired[str]
    """Such as `aws` or `aws-us-gov`; default: the region's."""


def checked(account: AwsAccountArgs) -> AwsAccountArgs:
    """The account with its partition, or ArgumentError naming what is wrong."""
    account_id, region = account["account_id"], account["region"]
    if not isinstance(account_id, str) or not _ACCOUNT.fullmatch(account_id):
        raise ArgumentError(f"account_id: {account_id!r} is not an AWS account; expected twelve digits as text")
    if not _REGION.fullmatch(region):
        raise ArgumentError(f"region: {region!r} is not an AWS region; expected one such as 'us-east-1'")
    own = next((name for prefix, name in _PREFIXES if region.startswith(prefix)), "aws")
    partition = account.get("partition") or own
    if partition not in _DNS_SUFFIXES:
        raise ArgumentError(f"partition: {partition!r} is unknown; expected one of {', '.join(sorted(_DNS_SUFFIXES))}")
    if partition != own:
        raise ArgumentError(f"partition: {partition!r} does not hold the region {region!r}, which is in {own!r}")
    return {"account_id": account_id, "region": region, "partition": partition}


def dns_suffix(account: AwsAccountArgs) -> str:
    """``amazonaws.com``, or what the partition has in its place."""
    return _DNS_SUFFIXES[checked(account).get("partition", "")]


def arn(account: AwsAccountArgs, service: str, resource: str, *, regional: bool = True) -> str:
    """An ARN in this account; ``regional=False`` for IAM."""
    known = checked(account)
    region = known["region"] if regional else ""
    return f"arn:{known.get('partition')}:{service}:{region}:{known['account_id']}:{resource}"
