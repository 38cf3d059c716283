"""What a component refuses, before anything is created.

    ValueError
    └── ComponentError           any contradictory or unsafe argument
        ├── ArgumentError        an argument has the wrong form, or two contradict each other
        │   └── DurationError    a text is not a duration
        ├── LifetimeError        TTLs and intervals that do not fit each other
        ├── UnsafeError          an unsafe choice that was not asked for by name
        └── ConfigError          a key of the stack's configuration

Every message names the argument, what was given (never a secret's value), what was expected and the fix.
"""


class ComponentError(ValueError):
    """An argument that would not do what it says."""


class ArgumentError(ComponentError):
    """An argument has the wrong form, is missing, or contradicts another one."""


class DurationError(ArgumentError):
    """A text is not a duration such as ``"45m"`` or ``"1h30m"``."""


class LifetimeError(ComponentError):
    """TTLs and intervals do not fit each other; the message names both."""


class UnsafeError(ComponentError):
    """An unsafe choice that was not asked for by its name; the message says which argument asks for it."""


class ConfigError(ComponentError):
    """Keys of the stack's configuration are wrong, unknown or missing; the message lists every one of them."""
