"""Rules over resources, whichever way these came: findings with their level, exceptions applied."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from policies.configuration import Configuration
from policies.data import Undecided
from policies.rule import Level, Options, Props, Resource, Rule, root
from policies.suppressions import Suppression

UNDECIDED = "cannot be decided: unknown before the deployment has run, secret, or not told to the engine: {}"


@dataclass(frozen=True)
class Finding:
    """A violation, or (``undecided``) a rule that met a value which it cannot read."""

    rule: Rule
    level: Level
    urn: str  # the root's for the whole stack
    message: str
    undecided: bool = False
    suppression: Suppression | None = None  # the exception under which it is accepted

    @property
    def fails(self) -> bool:
        return self.level in (Level.MANDATORY, Level.REMEDIATE) and not self.undecided and self.suppression is None


class Evaluation:
    """Rules, their configuration and the exceptions to them."""

    def __init__(
        self,
        rules: Sequence[Rule],
        configuration: Configuration,
        suppressions: Sequence[Suppression] = (),
        today: datetime.date | None = None,
    ) -> None:
        self._configuration = configuration
        self.ended = [item for item in suppressions if today is not None and item.ended(today)]
        self._suppressions = [item for item in suppressions if item not in self.ended]
        active = [rule for rule in rules if configuration.level(rule) is not Level.DISABLED]
        self._resource_rules = tuple(rule for rule in active if rule.check is not None)
        self._stack_rules = tuple(rule for rule in active if rule.check_stack is not None)
        self._of_type = lru_cache(maxsize=None)(self._matching)

    def _matching(self, resource_type: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self._resource_rules if rule.applies(resource_type))

    def resource(self, resource: Resource) -> Iterator[Finding]:
        """What the resource rules say of one resource's inputs."""
        for rule in self._of_type(resource.type):
            options = self._configuration.options(rule)
            for message in check(rule, resource.props, options):
                yield self._finding(rule, resource.urn, message)

    def stack(self, resources: Sequence[Resource]) -> Iterator[Finding]:
        """What the stack rules say of all resources together."""
        for rule in self._stack_rules:
            for urn, message in check_stack(rule, resources, self._configuration.options(rule)):
                yield self._finding(rule, urn or root(resources), message)

    def _finding(self, rule: Rule, urn: str, message: str) -> Finding:
        level = self._configuration.level(rule)
        if isinstance(message, Undecided):
            return Finding(rule, level, urn, UNDECIDED.format(message), undecided=True)
        accepted = next((item for item in self._suppressions if item.covers(rule.name, urn)), None)
        return Finding(rule, level, urn, message, suppression=accepted)

    def unused(self, findings: Iterable[Finding], resources: Sequence[Resource]) -> list[Suppression]:
        """The exceptions for these resources' stack, not ended, that none of the findings needed."""
        used = [finding.suppression for finding in findings if finding.suppression]
        return [item for item in self._suppressions if item not in used and item.about(root(resources))]


def check(rule: Rule, props: Props, options: Options) -> list[str]:
    """The messages of a resource rule, each once. A rule that breaks is itself a violation: it found nothing out."""
    assert rule.check is not None
    try:
        return list(dict.fromkeys(rule.check(props, options)))
    except Exception as error:  # noqa: BLE001 a broken rule must neither pass nor end the run, nor show a value
        return [_broken(error)]


def check_stack(rule: Rule, resources: Sequence[Resource], options: Options) -> list[tuple[str, str]]:
    """As ``check``, for a stack rule: (URN, message)."""
    assert rule.check_stack is not None
    try:
        return list(dict.fromkeys(rule.check_stack(resources, options)))
    except Exception as error:  # noqa: BLE001 as above
        return [("", _broken(error))]


def _broken(error: Exception) -> str:
    return f"the rule itself failed ({type(error).__name__}); this is a mistake in the rule, not in the stack"
