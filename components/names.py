"""The forms of names and identifiers that more than one component checks."""

import re

from components.errors import ArgumentError

_DNS_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_DNS_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
_SQL_IDENTIFIER = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")
_VAULT_PATH = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
_VAULT_NAME = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$")


def dns_label(value: str, argument: str) -> str:
    """A namespace or the like (RFC 1123 label). Raises ArgumentError."""
    return _matching(_DNS_LABEL, value, argument, "lower-case letters, digits and '-', at most 63 characters")


def dns_name(value: str, argument: str) -> str:
    """The name of most Kubernetes objects (RFC 1123 subdomain). Raises ArgumentError."""
    return _matching(_DNS_NAME, value, argument, "lower-case letters, digits, '-' and '.', at most 253 characters")


def sql_identifier(value: str, argument: str) -> str:
    """A PostgreSQL identifier that needs no quoting. Raises ArgumentError."""
    return _matching(_SQL_IDENTIFIER, value, argument, "lower-case letters, digits and '_', at most 63 characters")


def vault_path(value: str, argument: str) -> str:
    """A path in Vault: no wildcard, no empty part, no slash at either end. Raises ArgumentError."""
    return _matching(
        _VAULT_PATH, value, argument, "parts of letters, digits, '.', '_', '-', joined by '/', no wildcard"
    )


def vault_name(value: str, argument: str) -> str:
    """The name of a role, a policy or a connection in Vault. Raises ArgumentError."""
    return _matching(_VAULT_NAME, value, argument, "letters, digits, '.', '_' and '-', no wildcard")


def https_url(value: str, argument: str) -> str:
    """An address that is reached over TLS, without a trailing slash. Raises ArgumentError."""
    if not isinstance(value, str) or not re.fullmatch(r"^https://[^/\s@]+(/[^\s]*)?$", value):
        raise ArgumentError(f"{argument}: {value!r} is not an https:// address; secrets travel over TLS only")
    return value.rstrip("/")


def _matching(form: re.Pattern[str], value: str, argument: str, expected: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ArgumentError(f"{argument}: {value!r} has the wrong form; expected {expected}")
    return value
