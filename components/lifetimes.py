"""TTLs and intervals that must fit each other, checked together before anything is created.

A leased credential is replaced in time only if ``refresh + rollout < lease TTL <= token TTL``:

* External Secrets takes a new lease at each refresh, and pods need the rollout time to take the new one over: until
  then the old one must live;
* a lease ends with the token that took it, whatever its own TTL says
  (https://developer.hashicorp.com/vault/docs/concepts/lease).
"""

from components.durations import format_duration, parse_duration
from components.errors import LifetimeError


def check_default_and_max(default_ttl: str, max_ttl: str, *, of: str) -> tuple[int, int]:
    """Both in seconds. Vault accepts a default above the maximum, and then silently gives less than it says.

    ``of``: what they belong to, for the error. Raises LifetimeError, DurationError.
    """
    default, maximum = parse_duration(default_ttl, f"{of}: default_ttl"), parse_duration(max_ttl, f"{of}: max_ttl")
    if default > maximum:
        raise LifetimeError(
            f"{of}: default_ttl {default_ttl!r} is longer than max_ttl {max_ttl!r}; "
            f"raise max_ttl to at least {format_duration(default)!r} or lower default_ttl"
        )
    return default, maximum


def check_rotation(*, refresh_interval: str, rollout_time: str, lease_ttl: str, of: str) -> None:
    """``refresh + rollout < lease TTL``, so that the old credential lives until every pod has the new one.

    Raises LifetimeError, DurationError.
    """
    refresh = parse_duration(refresh_interval, f"{of}: refresh_interval")
    rollout = parse_duration(rollout_time, f"{of}: rollout_time")
    lease = parse_duration(lease_ttl, f"{of}: default_ttl of the database role")
    if refresh + rollout >= lease:
        room = lease - rollout - 1
        fix = f"lower refresh_interval to at most {format_duration(room)!r} or " if room > 0 else ""
        raise LifetimeError(
            f"{of}: refresh_interval {refresh_interval!r} and rollout_time {rollout_time!r} together do not fit into the "
            f"lease's default_ttl {lease_ttl!r}, so a credential would end while pods still use it; "
            f"{fix}raise default_ttl above {format_duration(refresh + rollout)!r}"
        )


def check_token(*, token_ttl: str, lease_ttl: str, of: str) -> None:
    """``lease TTL <= token TTL``, since a lease ends with its token. Raises LifetimeError, DurationError."""
    token = parse_duration(token_ttl, f"{of}: token_ttl")
    lease = parse_duration(lease_ttl, f"{of}: default_ttl of the database role")
    if token < lease:
        raise LifetimeError(
            f"{of}: token_ttl {token_ttl!r} is shorter than the lease's default_ttl {lease_ttl!r}, and a lease ends with the "
            f"token that took it; raise token_ttl to at least {format_duration(lease)!r} or lower default_ttl"
        )
