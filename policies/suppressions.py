"""Exceptions to rules: ``policies/exceptions.yaml``.

    exceptions:
      - rule: secret-recovery-window
        resource: "urn:pulumi:dev::*::aws:secretsmanager/secret:Secret::scratch-*"
        reason: throwaway secrets of the load test, deleted every night
        until: 2027-03-31

``resource`` is a URN, in which ``*`` and ``?`` are wildcards. ``until`` is the last day on which the exception holds; from
the next day on it suppresses nothing and is itself a violation. What is said of the whole stack belongs to its root, the
resource of the type ``pulumi:pulumi:Stack``. $STRONGROOM_POLICY_EXCEPTIONS names another file.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policies.configuration import suggestion
from policies.errors import SuppressionError

FILE = Path(__file__).resolve().parent / "exceptions.yaml"
VARIABLE = "STRONGROOM_POLICY_EXCEPTIONS"
_KEYS = ("rule", "resource", "reason", "until")


@dataclass(frozen=True)
class Suppression:
    """One exception."""

    rule: str
    resource: str
    reason: str
    until: datetime.date

    def ended(self, today: datetime.date) -> bool:
        return today > self.until

    def covers(self, rule: str, urn: str) -> bool:
        return rule == self.rule and self.covers_urn(urn)

    def covers_urn(self, urn: str) -> bool:
        return bool(_pattern(self.resource).fullmatch(urn))

    def about(self, urn: str) -> bool:
        """Whether it can be for a resource of the stack that ``urn`` is of."""
        own, theirs = self.resource.split("::"), urn.split("::")
        return len(own) < 3 or bool(_pattern("::".join(own[:2])).fullmatch("::".join(theirs[:2])))

    def __str__(self) -> str:
        return f"{self.rule} on {self.resource}, until {self.until}: {self.reason}"


def _pattern(glob: str) -> re.Pattern[str]:
    """Only ``*`` and ``?``: a URN may hold brackets."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", glob))
    return re.compile("".join(parts), re.DOTALL)


def default_file() -> Path:
    """Where the exceptions of this checkout are."""
    return Path(os.environ.get(VARIABLE) or FILE)


def load(path: Path, rules: Iterable[str]) -> tuple[Suppression, ...]:
    """The file's exceptions, those that have ended too. ``rules`` are the names there are. Raises SuppressionError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuppressionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date, or no UTF-8
        raise SuppressionError(f"{path}: expected YAML: {error}") from error
    if document is None:
        return ()
    known = sorted(rules)
    if not isinstance(document, dict):
        raise SuppressionError(f"{path}: expected a mapping with the key exceptions")
    problems = [
        f"{path}: {key}: unknown key{suggestion(str(key), ('exceptions',))}; expected exceptions"
        for key in document
        if key != "exceptions"
    ]
    entries = document.get("exceptions") or []
    if not isinstance(entries, list):
        raise SuppressionError(f"{path}: exceptions: expected a list")
    found: list[Suppression] = []
    for index, entry in enumerate(entries):
        wrong = list(_problems(entry, known))
        problems += [f"{path}: exceptions[{index}]: {problem}" for problem in wrong]
        if not wrong:
            found.append(Suppression(entry["rule"], entry["resource"], entry["reason"].strip(), entry["until"]))
    if problems:
        raise SuppressionError("\n".join(problems))
    return tuple(found)


def _problems(entry: Any, rules: Sequence[str]) -> Iterable[str]:
    if not isinstance(entry, dict):
        yield f"expected a mapping with {', '.join(_KEYS)}"
        return
    yield from (f"{key}: unknown key{suggestion(str(key), _KEYS)}" for key in entry if key not in _KEYS)
    yield from (f"{key}: missing" for key in _KEYS if entry.get(key) is None)
    rule, resource, reason, until = (entry.get(key) for key in _KEYS)
    if rule is not None and rule not in rules:
        yield f"rule: {rule}: there is no such rule{suggestion(str(rule), rules)}"
    if resource is not None and not isinstance(resource, str):
        yield "resource: expected a URN"
    elif isinstance(resource, str) and not resource.startswith("urn:pulumi:"):
        yield f"resource: {resource!r}: expected a URN that begins with urn:pulumi:, such as `pulumi stack --show-urns` shows"
    elif isinstance(resource, str) and not resource.rpartition("::")[2].strip("*?"):
        yield f"resource: {resource!r}: names every resource; end it with a resource's name"
    if reason is not None and (not isinstance(reason, str) or not reason.strip()):
        yield "reason: expected a sentence"
    # A date with a time is a datetime, which is a date too.
    if until is not None and (not isinstance(until, datetime.date) or isinstance(until, datetime.datetime)):
        yield f"until: {until!r}: expected a date such as 2027-03-31"


def today() -> datetime.date:
    """The day that exceptions are held against, in UTC."""
    return datetime.datetime.now(datetime.UTC).date()
