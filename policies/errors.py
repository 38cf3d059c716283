"""What can go wrong around the rules; the rules themselves never raise.

PolicyError              base: the message names the file, the key, what was expected and the fix
├── ConfigurationError   a rule's level or settings
├── SuppressionError     the exceptions file
└── StateError           an exported state
"""

from __future__ import annotations


class PolicyError(Exception):
    """Base of every error that is raised on purpose."""


class ConfigurationError(PolicyError):
    """The configuration is wrong; one line for each mistake."""


class SuppressionError(PolicyError):
    """The exceptions file is wrong; one line for each mistake."""


class StateError(PolicyError):
    """The file is no exported state."""
