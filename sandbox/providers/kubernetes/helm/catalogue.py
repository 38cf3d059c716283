"""The charts that the sandbox knows, and what a release's properties say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pulumi.runtime.rpc import UNKNOWN

from sandbox.providers.kubernetes.helm import external_secrets, sealed_secrets, vault
from sandbox.providers.kubernetes.helm.chart import Chart, Plan, Release
from sandbox.providers.kubernetes.helm.values import Values
from sandbox.providers.kubernetes.resource import Problem

CHARTS: Mapping[str, Chart] = {
    chart.name: chart for chart in (external_secrets.CHART, sealed_secrets.CHART, vault.CHART)
}
_NO_CONTROLLER = {
    "reloader": "Reloader is in no package registry, and without a kubelet nothing would restart: in the sandbox leave this "
    "release out (the applications' own pools follow a rotation without a restart)",
}
# Properties that the sandbox honours, and those that mean nothing where no chart is rendered and no Pod is waited for.
HONOURED = frozenset(
    {"atomic", "chart", "createNamespace", "name", "namespace", "repositoryOpts", "skipCrds", "takeOwnership", "timeout",
     "values", "version"}
)  # fmt: skip
WITHOUT_EFFECT = frozenset(
    {"allowNullValues", "cleanupOnFail", "compat", "dependencyUpdate", "description", "devel", "disableCRDHooks",
     "disableOpenapiValidation", "disableWebhooks", "forceUpdate", "lint", "maxHistory", "recreatePods",
     "renderSubchartNotes", "replace", "resetValues", "skipAwait", "waitForJobs"}
)  # fmt: skip
# Ignoring these would install something else than was asked for.
REFUSED = {
    "keyring": "the sandbox fetches no chart, so it can verify none",
    "verify": "the sandbox fetches no chart, so it can verify none",
    "manifest": "computed by the provider: leave it out",
    "postrender": "the sandbox renders no chart, so nothing can be done to what it renders",
    "resourceNames": "computed by the provider: leave it out",
    "reuseValues": "give all values: with this one, what is installed depends on earlier runs",
    "valueYamlFiles": "not offered here: give the files' content as `values`",
}


def bare_name(chart: str) -> str:
    """``external-secrets`` of ``external-secrets/external-secrets`` or of ``oci://host/path/external-secrets``."""
    return chart.rstrip("/").rpartition("/")[2]


def problems(inputs: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a release's properties, as far as they are known."""
    for name in sorted(inputs):
        if name in REFUSED and inputs[name] not in (None, False, "", {}, []):
            yield Problem(name, REFUSED[name])
        elif name not in HONOURED | WITHOUT_EFFECT | set(REFUSED):
            known = ", ".join(sorted(HONOURED | WITHOUT_EFFECT))
            yield Problem(name, f"a Release has no property {name!r}; it has: {known}")
    chart = inputs.get("chart")
    if chart == UNKNOWN:
        return
    if not isinstance(chart, str) or not chart:
        yield Problem("chart", "missing: the chart's name")
        return
    name = bare_name(chart)
    if chart.startswith((".", "/")):
        yield Problem(
            "chart", f"{chart!r} is a folder: the sandbox renders no charts; it knows {', '.join(CHARTS)} by name"
        )
    elif name in _NO_CONTROLLER:
        yield Problem("chart", _NO_CONTROLLER[name])
    elif name not in CHARTS:
        yield Problem(
            "chart",
            f"the sandbox does not know the chart {chart!r}; it knows {', '.join(CHARTS)}, whose controllers it can run. "
            "Leave the release out of this stack's configuration, or use a real cluster",
        )
    else:
        yield from planned(inputs)[1]


def planned(inputs: Mapping[str, Any]) -> tuple[Plan, list[Problem]]:
    """The plan of a known chart, and what is wrong with its values."""
    release = release_of(inputs)
    given = inputs.get("values")
    if given is not None and given != UNKNOWN and not isinstance(given, Mapping):
        return planned({**inputs, "values": {}})[0], [Problem("values", "expected a map")]
    values = Values(given if isinstance(given, Mapping) else {})
    plan = CHARTS[release.chart].plan(release, values)
    unknown = given == UNKNOWN
    return plan, [] if unknown else values.problems


def release_of(inputs: Mapping[str, Any]) -> Release:
    return Release(
        name=str(inputs.get("name", "")),
        namespace=str(inputs.get("namespace", "")),
        chart=bare_name(str(inputs["chart"])),
        version=str(inputs.get("version") or ""),
        create_namespace=bool(inputs.get("createNamespace")),
        skip_crds=bool(inputs.get("skipCrds")),
        take_ownership=bool(inputs.get("takeOwnership")),
    )
