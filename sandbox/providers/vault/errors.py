"""What can go wrong between the provider and a Vault server.

VaultError
├── VaultApiError   the server refused a request; carries its own messages and the request's path
└── InvalidInput    an argument that the server would not understand
"""

from __future__ import annotations


class VaultError(Exception):
    """Base class: catch this to catch all of the provider's own errors."""


class VaultApiError(VaultError):
    """The server answered a request with an error."""

    def __init__(self, method: str, path: str, code: int, errors: list[str]) -> None:
        self.method, self.path, self.code, self.errors = method, path, code, errors
        text = "; ".join(error.strip() for error in errors if error) or f"HTTP {code}"
        super().__init__(f"{text} ({method} {path}: {code})")


class InvalidInput(VaultError):
    """An argument is wrong: ``property`` names it, the message says what was expected."""

    def __init__(self, property_: str, reason: str) -> None:
        self.property, self.reason = property_, reason
        super().__init__(reason)
