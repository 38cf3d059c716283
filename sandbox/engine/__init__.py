"""The embedded engine: runs an unmodified Pulumi Python program with provider classes in the same process.

    from sandbox.engine import run

    result = run("up", program="examples/app", project="app", stack="dev", state="app.json",
                 providers=["sandbox.providers.random:RandomProvider"])
    result.ok, result.changes, result.outputs

or ``python -m sandbox.engine up --program examples/app ...`` (see ``sandbox.engine.cli``). State, names and behaviour are
Pulumi's, so ``pulumi stack import`` takes the state over.
"""

from sandbox.engine.errors import (
    ConfigError,
    EngineError,
    ProviderError,
    ResourceError,
    SecretsError,
    StateError,
    StateLocked,
    Unsupported,
    UsageError,
)
from sandbox.engine.events import Audience, Diagnostic, Result, Silent, Step
from sandbox.engine.run import run
from sandbox.engine.values import UNKNOWN, Secret

__all__ = [
    "run",
    "Result",
    "Step",
    "Diagnostic",
    "Audience",
    "Silent",
    "Secret",
    "UNKNOWN",
    "EngineError",
    "UsageError",
    "ConfigError",
    "StateError",
    "StateLocked",
    "SecretsError",
    "Unsupported",
    "ProviderError",
    "ResourceError",
]
