"""Schedules of Secrets Manager: ``rate(30 days)`` and ``cron(0 8 1 * ? *)``, and the longest time they leave between two runs.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html
"""

from __future__ import annotations

import datetime
import itertools
import re
from functools import lru_cache
from typing import Final

_RATE: Final = re.compile(r"rate\(\s*(\d{1,9})\s+(hour|day)s?\s*\)")
_CRON: Final = re.compile(r"cron\(\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+(\S+))?\s*\)")
_MONTHS: Final = ("", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_START: Final = datetime.date(2023, 1, 1)
_DAYS: Final = 3 * 366  # with a leap year, and room for a schedule of one day a year
_PART: Final = re.compile(r"(?:\*|(\w+)(?:-(\w+))?)(?:/(\d+))?")


@lru_cache(maxsize=1024)
def longest_gap(expression: str) -> float | None:
    """Days between two runs at most; infinity where there is no second one; None where it is no schedule."""
    text = expression.strip()[:256]
    if rate := _RATE.fullmatch(text):
        return int(rate[1]) / (24 if rate[2] == "hour" else 1)
    cron = _CRON.fullmatch(text)
    if cron is None:
        return None
    _, _, day, month, weekday, _ = cron.groups()
    try:
        months = _numbers(month, 1, 12, _MONTHS)
        dates = (_START + datetime.timedelta(days=at) for at in range(_DAYS))
        runs = [date for date in dates if date.month in months and _falls_on(date, day, weekday)]
    except ValueError:
        return None
    return max(((later - run).days for run, later in itertools.pairwise(runs)), default=float("inf"))


def _falls_on(date: datetime.date, day: str, weekday: str) -> bool:
    last = (date.replace(day=28) + datetime.timedelta(days=4)).replace(day=1) - datetime.timedelta(days=1)
    if weekday != "?":
        own = date.isoweekday() % 7 + 1  # 1 is Sunday
        name, mark, nth = weekday.partition("#")
        if mark:
            return own in _numbers(name, 1, 7, _WEEKDAYS) and (date.day + 6) // 7 == int(nth)
        if weekday.upper().endswith("L"):
            return own in _numbers(weekday[:-1] or "7", 1, 7, _WEEKDAYS) and date.day > last.day - 7
        return own in _numbers(weekday, 1, 7, _WEEKDAYS)
    if day.upper() in ("L", "LW"):
        return date == last
    return date.day in _numbers(day.upper().removesuffix("W"), 1, 31, ())


@lru_cache(maxsize=1024)
def _numbers(field: str, first: int, last: int, names: tuple[str, ...]) -> frozenset[int]:
    """The numbers that a field names. Raises ValueError."""
    found: set[int] = set()
    for part in field.upper().split(","):
        match = _PART.fullmatch(part)
        if match is None or match[3] == "0":
            raise ValueError(field)
        low = _number(match[1], names) if match[1] else first
        high = _number(match[2], names) if match[2] else last if not match[1] or match[3] else low
        found.update(range(low, min(high, last) + 1, int(match[3] or 1)))
    return frozenset(found)


def _number(word: str, names: tuple[str, ...]) -> int:
    return names.index(word) if word in names else int(word)
