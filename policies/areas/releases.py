"""Helm releases: pinned, from a verified place, and of the operators that handle secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.data import Undecided, dig, duration, flag, items, opaque, text
from policies.rule import Options, Props, Rule, Severity, ttl

TYPES = ("kubernetes:helm.sh/v3:Release", "kubernetes:helm.sh/v3:Chart", "kubernetes:helm.sh/v4:Chart")
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_PERIOD_FLAG = re.compile(r"--key-renew-period[= ](\S+)")


def chart(props: Props, name: str) -> bool:
    return text(props.get("chart")).rstrip("/").rpartition("/")[2] == name


def value(props: Props, *path: str) -> Any:
    """A value of the release; opaque where a values file may have it, which a rule cannot read."""
    found = dig(props.get("values"), *path)
    return found if found is not None or not props.get("valueYamlFiles") else dig({"file": _FILE}, "file")


_FILE = Undecided("valueYamlFiles")


def token_creation(props: Props, _: Options) -> Iterator[str]:
    if opaque(props.get("chart")):
        yield Undecided("chart")
    if not chart(props, "external-secrets"):
        return
    create, rbac = value(props, "rbac", "serviceAccountTokenCreate"), value(props, "rbac", "create")
    scoped = flag(dig(props.get("values"), "scopedRBAC")) and dig(props.get("values"), "scopedNamespace")
    if flag(create) is False or flag(rbac) is False or scoped:
        return
    if opaque(create) or opaque(rbac) or create is _FILE:
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
        for argument in items(value(props, name)):
            if found := _PERIOD_FLAG.search(text(argument)):
                given = found[1]
    if opaque(given) or given is _FILE:
        yield Undecided("values.keyrenewperiod")
    elif given not in (None, "") and not duration(given):  # unset is the controller's own 720 hours
        yield "values.keyrenewperiod: a sealing key that leaks once opens every later secret too"
    elif (seconds := duration(given) or 0) > options.seconds("maxPeriod"):
        yield f"values.keyrenewperiod: {seconds / 86400:g} days are longer than {options.seconds('maxPeriod') / 86400:g}"


def pinned(props: Props, _: Options) -> Iterator[str]:
    name, version = props.get("chart"), props.get("version")
    repository = dig(props.get("repositoryOpts"), "repo") or dig(props.get("fetchOpts"), "repo") or props.get("repo")
    for path, found in (("chart", name), ("version", version), ("repositoryOpts.repo", repository)):
        if opaque(found):
            yield Undecided(path)
    if opaque(name) or text(name).startswith((".", "/")) or text(props.get("path")):
        return  # a chart of the checkout itself
    if version is None and dig(props.get("fetchOpts"), "version") is not None:
        version = dig(props.get("fetchOpts"), "version")
    if not opaque(version) and not _EXACT.fullmatch(text(version)):
        yield "version: it is no exact version, so the next run may install another"
    place = text(repository) or text(name)
    if not opaque(repository) and not place.lower().startswith(("https://", "oci://")):
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
