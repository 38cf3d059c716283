"""Durations as text, such as ``"45m"`` or ``"1h30m"``: read to seconds, written in the short form of Vault and Kubernetes."""

import re

from components.errors import DurationError

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"^(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?$")


def parse_duration(text: str, argument: str) -> int:
    """Whole seconds of a duration: days, hours, minutes and seconds in this order, e.g. ``"1h30m"`` is 5400.

    ``argument``: named in the error. Zero is refused, since for Vault and for External Secrets it means "never" or
    "the system's default". Raises DurationError.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        raise DurationError(f'{argument}: {text!r} is not a duration; expected one such as "45m", "1h30m" or "90s"')
    seconds = sum(int(number) * unit for number, unit in zip(match.groups("0"), _UNITS.values(), strict=True))
    if seconds == 0:
        raise DurationError(f"{argument}: {text!r} is no time at all; expected a duration of at least one second")
    return seconds


def format_duration(seconds: int) -> str:
    """The shortest text of a duration without days, which Go's parser (Vault, Kubernetes) reads: 5400 is ``"1h30m"``."""
    if seconds <= 0:
        raise DurationError(f"seconds: {seconds} is no time at all; expected at least 1")
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def go_duration(seconds: int) -> str:
    """A duration exactly as Go writes it (`time.Duration.String`): 2700 is ``"45m0s"``.

    Controllers write it back so, and any other form would look like a change by somebody else.
    """
    if seconds <= 0:
        raise DurationError(f"seconds: {seconds} is no time at all; expected at least 1")
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
