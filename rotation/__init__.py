"""What an application imports: connection pools and credentials that survive rotation.

    from rotation import RotatingConnectionPool, VaultDynamic

    with RotatingConnectionPool("host=db dbname=myapp", credentials=VaultDynamic("app-readwrite"), open=True) as pool:
        with pool.connection() as connection:
            connection.execute("SELECT 1")

Nothing heavy is imported before it is used: no driver, no SDK, no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotation._credential import Credential, Source
    from rotation._credentials import Credentials
    from rotation._environment import Environment
    from rotation._files import MountedFiles
    from rotation._health import Health
    from rotation._metrics import instrument
    from rotation._pool import RotatingConnectionPool
    from rotation._pool_async import AsyncRotatingConnectionPool
    from rotation._redaction import RedactingFilter
    from rotation._secrets_manager import SecretsManager
    from rotation._vault import VaultDynamic, VaultStatic
    from rotation._vault_session import VaultKubernetesAuth, VaultTokenAuth
    from rotation.errors import (
        CredentialExpired,
        InvalidArgument,
        RotationError,
        SourceDenied,
        SourceError,
        SourceMalformed,
        SourceUnavailable,
    )

_HOMES = {
    "RotatingConnectionPool": "_pool",
    "AsyncRotatingConnectionPool": "_pool_async",
    "Credentials": "_credentials",
    "Credential": "_credential",
    "Source": "_credential",
    "SecretsManager": "_secrets_manager",
    "VaultDynamic": "_vault",
    "VaultStatic": "_vault",
    "VaultKubernetesAuth": "_vault_session",
    "VaultTokenAuth": "_vault_session",
    "MountedFiles": "_files",
    "Environment": "_environment",
    "Health": "_health",
    "RedactingFilter": "_redaction",
    "instrument": "_metrics",
    "RotationError": "errors",
    "InvalidArgument": "errors",
    "SourceError": "errors",
    "SourceUnavailable": "errors",
    "SourceDenied": "errors",
    "SourceMalformed": "errors",
    "CredentialExpired": "errors",
}

__all__ = [
    "RotatingConnectionPool",
    "AsyncRotatingConnectionPool",
    "Credentials",
    "Credential",
    "Source",
    "SecretsManager",
    "VaultDynamic",
    "VaultStatic",
    "VaultKubernetesAuth",
    "VaultTokenAuth",
    "MountedFiles",
    "Environment",
    "Health",
    "RedactingFilter",
    "instrument",
    "RotationError",
    "InvalidArgument",
    "SourceError",
    "SourceUnavailable",
    "SourceDenied",
    "SourceMalformed",
    "CredentialExpired",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
