"""Helm releases: pinned, from a verified place, and of the operators that handle secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.data import UNKNOWN, Undecided, dig, duration, flag, items, opaque, text, texts
from policies.rule import Options, Props, Rule, Severity, ttl

TYPES = ("kubernetes:helm.sh/v3:Release", "kubernetes:helm.sh/v3:Chart", "kubernetes:helm.sh/v4:Chart")
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_PERIOD_FLAG = re.compile(r"--key-renew-period[= ](\S+)")


def chart(props: Props, name: str) -> bool:
    return text(props.get("chart")).rstrip("/").rpartition("/")[2] == name


def value(props: Props, *path: str) -> Any:
    """A value of the release; opaque where a values file may have it, which a rule cannot read."""
    found = dig(props.get("values"), *path)
    return UNKNOWN if found is None and props.get("valueYamlFiles") else found


def token_creation(props: Props, _: Options) -> Iterator[str]:
    if opaque(props.get("chart")):
        yield Undecided("chart")
    if not chart(props, "external-secrets"):
        return
    create, rbac = value(props, "rbac", "serviceAccountTokenCreate"), value(props, "rbac", "create")
    scope = [value(props, name) for name in ("scopedRBAC", "scopedNamespace")]
    if flag(create) is False or flag(rbac) is False or (flag(scope[0]) and text(scope[1])):
        return
    if flag(create) is not True and any(opaque(found) for found in (create, rbac, *scope)):
        yield Undecided("values.rbac.serviceAccountTokenCreate")
    else:
        yield "values.rbac.serviceAccountTokenCreate: the operator may make tokens of every service account"


def renewal(props: Props, options: Options) -> Iterator[str]:
    if opaque(props.get("chart")):
        yield Undecided("chart")
    if not chart(props, "sealed-secrets"):
        return
    given = value(props, "keyrenewperiod")
    for name in ("args", "commandArgs"):
        arguments = items(value(props, name))
        if any(opaque(argument) for argument in arguments) and not opaque(given):
            yield Undecided(f"values.{name}")
        if found := _PERIOD_FLAG.search(" ".join(texts(arguments))):
            given = found[1]
    if opaque(given):
        yield Undecided("values.keyrenewperiod")
    elif given not in (None, "") and not duration(given):  # unset is the controller's own 720 hours
        yield "values.keyrenewperiod: a sealing key that leaks once opens every later secret too"
    elif (seconds := duration(given) or 0) > options.seconds("maxPeriod"):
        yield f"values.keyrenewperiod: {seconds / 86400:g} days are longer than {options.seconds('maxPeriod') / 86400:g}"


def pinned(props: Props, _: Options) -> Iterator[str]:
    name, fetch = props.get("chart"), props.get("fetchOpts")
    version = props.get("version") or dig(fetch, "version")
    repository = dig(props.get("repositoryOpts"), "repo") or dig(fetch, "repo") or props.get("repo")
    if text(props.get("path")) or text(name).startswith((".", "/", "file://")):
        return  # a chart of the checkout itself
    if name is None:
        yield Undecided("chart")  # a Chart is a component, of which some SDKs tell the engine nothing
        return
    for path, found in (("chart", name), ("version", version), ("repositoryOpts.repo", repository)):
        if opaque(found):
            yield Undecided(path)
    # An archive's address and a digest say which one it is.
    exact = _EXACT.fullmatch(text(version)) or re.search(r"\.tgz$|@sha256:[0-9a-f]{64}$", text(name))
    if not opaque(version) and not opaque(name) and not exact:
        yield "version: it is no exact version, so the next run may install another"
    place = text(name) if "://" in text(name) else repository or name
    if not opaque(place) and not text(place).lower().startswith(("https://", "oci://")):
        yield "repositoryOpts.repo: the chart does not come from an https:// or oci:// address"


RULES = (
    Rule(
        number=45, name="operator-token-creation", title="The operator makes tokens of named service accounts only",
        severity=Severity.MEDIUM, source=("ESO best practices",), tags=("external-secrets", "rbac"), types=TYPES,
        remediation="Set rbac.serviceAccountTokenCreate to false, and grant create on serviceaccounts/token by name.",
        link="https://external-secrets.io/latest/guides/security-best-practices/", check=token_creation,
    ),
    Rule(
        number=47, name="sealing-key-renewal", title="The sealing key is renewed", severity=Severity.HIGH, source=("NEW",),
        tags=("sealed-secrets",), types=TYPES, remediation="Leave keyrenewperiod out (720h), or give a shorter one; never 0.",
        link="https://github.com/bitnami-labs/sealed-secrets#sealing-key-renewal", check=renewal,
        options={"maxPeriod": ttl("2160h", "the longest time between two keys")},
    ),
    Rule(
        number=53, name="chart-pinned", title="A chart is pinned, and comes from a verified place", severity=Severity.HIGH,
        source=("NEW",), tags=("helm", "supply-chain"), types=TYPES,
        remediation="Give an exact version, and a repository with https:// or oci://.",
        link="https://www.pulumi.com/registry/packages/kubernetes/api-docs/helm/v3/release/", check=pinned,
    ),
)  # fmt: skip
