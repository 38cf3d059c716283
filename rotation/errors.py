"""What can go wrong with a credential.

    RotationError
    ├── InvalidArgument        also a ValueError: an argument that contradicts another or makes no sense
    ├── SourceError            a source could not give a credential; the last good one is kept until its own end
    │   ├── SourceUnavailable  for now: sealed, throttled, unreachable, half written; asked again by itself
    │   ├── SourceDenied       the source refuses this identity: a grant, a role or a path is wrong
    │   └── SourceMalformed    it answered, but not with a credential; the message names keys, never values
    └── CredentialExpired      the last credential has ended and the source gives no other

Errors of the database stay what they are: psycopg's, and psycopg_pool's PoolTimeout, PoolClosed, TooManyRequests.
"""

from __future__ import annotations


class RotationError(Exception):
    """The base of them all."""


class InvalidArgument(RotationError, ValueError):
    """An argument contradicts another or makes no sense."""


class SourceError(RotationError):
    """A source could not give a credential."""


class SourceUnavailable(SourceError):
    """The source cannot answer for now; it is asked again."""


class SourceDenied(SourceError):
    """The source refuses this identity."""


class SourceMalformed(SourceError):
    """The source answered with something that is no credential."""


class CredentialExpired(RotationError):
    """The last credential has ended and there is no other."""
