"""What can go wrong between the provider and an AWS endpoint.

AwsProviderError
└── InvalidInput     an argument that the service would not understand
"""

from __future__ import annotations


class AwsProviderError(Exception):
    """A service refused a request, or does not answer; the message is its own."""


class InvalidInput(AwsProviderError):
    """An argument is wrong: ``property`` names it, the message says what was expected."""

    def __init__(self, property_: str, reason: str) -> None:
        self.property, self.reason = property_, reason
        super().__init__(reason)
