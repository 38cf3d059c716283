"""What can go wrong in the engine.

EngineError                  base: the message is what the user reads
├── UsageError               the command line or a file that it names is wrong (exit code 2)
├── ConfigError              the project's or the stack's configuration is wrong; found before anything runs
├── StateError               the state file cannot be read, or holds what this engine does not know
│   └── StateLocked          another engine runs on the same state
├── SecretsError             no passphrase, or not the one that the secrets were encrypted with
├── Unsupported              the program asks for something that this engine does not do; it is named
├── ProviderError            a provider cannot be loaded, or does not answer as a provider does
└── ResourceError            a resource's registration is refused; carries its URN
"""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error that the engine raises on purpose."""


class UsageError(EngineError):
    """An argument is wrong: the message names it, what was expected and the fix."""


class ConfigError(EngineError):
    """One or more configuration keys are wrong; one line each."""


class StateError(EngineError):
    """The state cannot be used."""


class StateLocked(StateError):
    """Another engine works on the same state."""


class SecretsError(EngineError):
    """Secrets cannot be encrypted or decrypted."""


class Unsupported(EngineError):
    """The program uses an option or a call that this engine does not have."""


class ProviderError(EngineError):
    """A provider cannot be used."""


class ResourceError(EngineError):
    """A resource is refused before anything is done to it. ``urn`` may be empty where none could be made."""

    def __init__(self, urn: str, message: str) -> None:
        self.urn = urn
        super().__init__(message)
