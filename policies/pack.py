"""The rules as a Pulumi policy pack: thin adapters to the SDK's policies.

Where a rule meets a value that is not known before the deployment, the SDK's UnknownValueError says so: Pulumi shows it as
an advisory "can't run policy". Exceptions are applied here and reported by policies of their own.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

from policies import suppressions
from policies.data import Undecided, mapping, plain
from policies.errors import PolicyError
from policies.evaluate import check, check_stack
from policies.registry import BY_NAME, RULES, VERSION
from policies.rule import Resource, Rule, root
from policies.servicer import ByType, listen
from policies.suppressions import Suppression

NAME = "strongroom"
STACK_TYPE = "pulumi:pulumi:Stack"


class Seen:
    """What one policy learns and another needs, within this process."""

    def __init__(self) -> None:
        self._inputs: dict[str, Mapping[str, Any]] = {}
        self._used: dict[str, list[Suppression]] = {}
        self._needed: set[Suppression] = set()

    def inputs(self, urn: str) -> Mapping[str, Any]:
        """What a resource was asked to be, as the resource policies saw it; stack policies are shown outputs only."""
        return self._inputs.get(urn, {})

    def remember(self, urn: str, props: Mapping[str, Any]) -> None:
        self._inputs[urn] = props

    def used(self, urn: str, exception: Suppression) -> None:
        self._used.setdefault(urn, []).append(exception)
        self._needed.add(exception)

    def unneeded(self, exceptions: Iterable[Suppression], urn: str) -> list[Suppression]:
        """The exceptions for the stack of this resource that nothing has needed."""
        return [item for item in exceptions if item not in self._needed and item.about(urn)]

    def take_used(self, urns: Iterable[str]) -> list[tuple[str, Suppression]]:
        """The exceptions that were used for these resources, once."""
        return [(urn, item) for urn in urns for item in dict.fromkeys(self._used.pop(urn, ()))]


def policies(
    found: Sequence[Rule], exceptions: Sequence[Suppression] = (), today: datetime.date | None = None
) -> list[Policy]:
    """The SDK's policies of the rules, between those that watch and report the exceptions. Their order matters."""
    day = today or suppressions.today()
    ended = [item for item in exceptions if item.ended(day)]
    seen = Seen()
    made: list[Policy] = [_first(ended, seen)]
    for rule in found:
        own = [item for item in exceptions if item.rule == rule.name and item not in ended]
        made.append(_resource_policy(rule, own, seen) if rule.check else _stack_policy(rule, own, seen))
    return [*made, *_last([item for item in exceptions if item not in ended], seen)]


def serve() -> None:
    """Serve the pack as the engine expects: the port on standard output, until the process is ended."""
    try:
        exceptions = suppressions.load(suppressions.default_file(), [rule.name for rule in RULES])
    except PolicyError as error:
        sys.exit(f"policy pack {NAME}: {error}")
    listen(servicer(policies(RULES, exceptions)))


def servicer(made: Sequence[Policy]) -> ByType:
    """The protocol's side of the policies, which asks each only about what concerns it."""
    return ByType(NAME, VERSION, made, _concerns)


@lru_cache(maxsize=65536)
def _concerns(policy: Policy, resource_type: str) -> bool:
    rule = BY_NAME.get(policy.name)
    if rule is not None:
        return rule.applies(resource_type)
    # What is around the rules: of no concern to a type without any, but for the root, where ended exceptions are told.
    return resource_type == STACK_TYPE or any(each.applies(resource_type) for each in RULES)


def _about(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.title,
        "enforcement_level": EnforcementLevel(rule.level.value),
        "config_schema": PolicyConfigSchema({name: option.json_schema() for name, option in rule.options.items()}),
        "display_name": f"{rule.number}. {rule.title}",
        "severity": Severity(rule.severity.value),
        "framework": PolicyComplianceFramework(NAME, VERSION, ", ".join(rule.source), f"rule {rule.number}"),
        "tags": list(rule.tags),
        "remediation_steps": rule.remediation,
        "url": rule.link,
    }


def _props(value: Any) -> Mapping[str, Any]:
    return mapping(plain(value))


def _resource_policy(rule: Rule, exceptions: Sequence[Suppression], seen: Seen) -> Policy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if rule.applies(args.resource_type):
            found = check(rule, _props(args.props), rule.with_options(args.get_config()))
            _report([(args.urn, message) for message in found], exceptions, seen, report, args.urn)

    remedy = rule.remedy
    if remedy is None:
        return ResourceValidationPolicy(validate=validate, **_about(rule))

    def remediate(args: ResourceValidationArgs) -> Mapping[str, Any] | None:
        if not rule.applies(args.resource_type) or any(item.covers_urn(args.urn) for item in exceptions):
            return None
        changes = remedy(_props(args.props), rule.with_options(args.get_config()))
        # The raw properties beneath the SDK's proxy: secrets stay marked, unknown values stay unknown.
        return {**_raw(args.props), **changes} if changes else None

    return ResourceValidationPolicy(validate=validate, remediate=remediate, **_about(rule))


def _raw(props: Any) -> Mapping[str, Any]:
    raw: Mapping[str, Any] = props if isinstance(props, dict) else props["__target"]
    return raw


def _stack_policy(rule: Rule, exceptions: Sequence[Suppression], seen: Seen) -> Policy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [
            Resource(
                urn=item.urn,
                type=item.resource_type,
                props=_props(item.props),
                inputs=seen.inputs(item.urn),
                depends={key: [other.urn for other in others] for key, others in item.property_dependencies.items()},
            )
            for item in args.resources
        ]
        found = check_stack(rule, resources, rule.with_options(args.get_config()))
        _report(found, exceptions, seen, report, root(resources))

    return StackValidationPolicy(validate=validate, **_about(rule))


def _report(
    found: Sequence[tuple[str, str]], exceptions: Sequence[Suppression], seen: Seen, report: ReportViolation, top: str
) -> None:
    """Every violation; then, where anything could not be read, the SDK's own error, which has to come last.

    ``top`` is the URN to which belongs what is said of the whole stack.
    """
    unread: list[str] = []
    for urn, message in found:
        accepted = next((item for item in exceptions if item.covers_urn(urn or top)), None)
        if isinstance(message, Undecided):
            unread.append(str(message))
        elif accepted:
            seen.used(urn or top, accepted)
        else:
            report(message, urn or None)
    if unread:
        raise UnknownValueError(UNKNOWN_STRING_VALUE, [", ".join(dict.fromkeys(unread))])


# -- what is around the rules ---------------------------------------------------------------------------------------


def _first(ended: Sequence[Suppression], seen: Seen) -> Policy:
    """Sees every resource before the rules do. The root resource comes first of all, so nothing has been made then."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        seen.remember(args.urn, _props(args.props))
        if args.resource_type == STACK_TYPE:
            for item in ended:
                report(f"{item}. Mend the resource and take the exception out, or give it a new end.", args.urn)

    return ResourceValidationPolicy(
        "exception-ended",
        "An exception to a rule has ended",
        validate,
        EnforcementLevel.MANDATORY,
        severity=Severity.HIGH,
        remediation_steps="Mend the resource and take the exception out of policies/exceptions.yaml.",
    )


def _last(exceptions: Sequence[Suppression], seen: Seen) -> list[Policy]:
    """Tell of the exceptions that the rules before used, and in the end of those that none did."""

    def resource(args: ResourceValidationArgs, report: ReportViolation) -> None:
        for urn, item in seen.take_used([args.urn]):
            report(str(item), urn)

    def stack(args: StackValidationArgs, report: ReportViolation) -> None:
        for urn, item in seen.take_used(one.urn for one in args.resources):
            report(str(item), urn)

    def unneeded(args: StackValidationArgs, report: ReportViolation) -> None:
        for one in args.resources:
            if one.resource_type == STACK_TYPE:
                for item in seen.unneeded(exceptions, one.urn):
                    report(f"{item}. Nothing needs it: take it out, or mend the URN.", one.urn)

    used, unused = "An exception to a rule is in use", "An exception to a rule is not needed"
    about: dict[str, Any] = {"enforcement_level": EnforcementLevel.ADVISORY, "severity": Severity.LOW}
    return [
        ResourceValidationPolicy("exception-used", used, resource, **about),
        StackValidationPolicy("exception-used-stack", used, stack, **about),
        StackValidationPolicy("exception-unused", unused, unneeded, **about),
    ]
