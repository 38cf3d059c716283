"""The sealed-secrets controller: the only one that can open what was sealed for the cluster."""

import datetime
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.durations import format_duration, parse_duration
from components.errors import ArgumentError, UnsafeError

CHART = "sealed-secrets"
CHART_VERSION = "2.18.5"
REPOSITORY = "https://bitnami-labs.github.io/sealed-secrets"
CONTROLLER = "sealed-secrets-controller"  # the name by which kubeseal looks for it
NAMESPACE = "kube-system"


class SealedSecretsControllerArgs(TypedDict):
    """Arguments of SealedSecretsController."""

    key_period: NotRequired[str]
    """How often a new sealing key is made, default `720h` (30 days). Old keys stay and still open what they sealed."""
    key_cutoff: NotRequired[str]
    """Make a new key at the start if the newest one is older than this date, e.g. after a key was exposed.
    RFC 1123 with a numeric zone, `Tue, 24 Nov 2026 21:00:00 +0000`."""
    key_ttl: NotRequired[str]
    """How long a certificate is good for sealing, default `87600h` (10 years)."""
    allow_no_renewal: NotRequired[bool]
    """Never make a new key by itself (key period 0); default false."""
    namespace: NotRequired[str]
    """Default `kube-system`, where kubeseal looks."""
    metrics: NotRequired[bool]
    """A ServiceMonitor; needs the Prometheus Operator's CRDs. Default false."""
    chart_version: NotRequired[str]
    """Version of the chart `sealed-secrets`, default 2.18.5."""
    values: NotRequired[Mapping[str, Any]]
    """More values of the chart; those that this component sets cannot be given."""


class SealedSecretsController(pulumi.ComponentResource):
    """The controller in kube-system under the name `sealed-secrets-controller`, so that `kubeseal` finds it.

    After every renewal back the keys up (`python -m gitops sealed backup`): without them every sealed file is lost with the
    cluster. Raises ArgumentError or UnsafeError. Source: https://github.com/bitnami-labs/sealed-secrets.
    """

    namespace: pulumi.Output[str]
    """Where the controller runs; depends on it, so what uses it comes after the controller."""

    def __init__(
        self, name: str, args: SealedSecretsControllerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("strongroom:kubernetes:SealedSecretsController", name, {}, opts)
        namespace = args.get("namespace", NAMESPACE)
        release = k8s.helm.v3.Release(
            f"{name}-release",
            name=CHART,
            chart=CHART,
            version=args.get("chart_version", CHART_VERSION),
            repository_opts={"repo": REPOSITORY},
            namespace=namespace,
            values=controller_values(name, args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.namespace = release.status.apply(lambda _: namespace)
        self.register_outputs({"namespace": self.namespace})


def controller_values(name: str, args: SealedSecretsControllerArgs) -> dict[str, Any]:
    """The chart's values. Raises ArgumentError or UnsafeError."""
    values: dict[str, Any] = {"fullnameOverride": CONTROLLER, "keyrenewperiod": _period(name, args)}
    ttl = parse_duration(args.get("key_ttl", "87600h"), "key_ttl")
    values["keyttl"] = format_duration(ttl)
    if "key_cutoff" in args:
        values["keycutofftime"] = _rfc1123(name, args["key_cutoff"])
    if args.get("metrics", False):
        values["metrics"] = {"serviceMonitor": {"enabled": True}}
    more = args.get("values", {})
    if taken := sorted(set(more) & set(values)):
        raise ArgumentError(f"values: {', '.join(taken)} of {name!r} are set by arguments of the component; use those")
    return {**more, **values}


def _period(name: str, args: SealedSecretsControllerArgs) -> str:
    if args.get("allow_no_renewal", False):
        if "key_period" in args:
            raise ArgumentError(f"key_period, allow_no_renewal: {name!r} has both; keep one")
        return "0"
    period = parse_duration(args.get("key_period", "720h"), "key_period")
    ttl = parse_duration(args.get("key_ttl", "87600h"), "key_ttl")
    if period >= ttl:
        raise UnsafeError(
            f"key_period: {name!r} makes a new key every {format_duration(period)}, but a certificate ends after "
            f"{format_duration(ttl)} (key_ttl); give a shorter period"
        )
    return format_duration(period)


def _rfc1123(name: str, text: str) -> str:
    """Refused here, as the controller ends at its start over a date that Go's RFC1123Z does not fit."""
    try:
        datetime.datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %z")
        if text[-5] not in "+-":
            raise ValueError
    except (ValueError, IndexError) as error:
        raise ArgumentError(
            f"key_cutoff: {name!r} has {text!r}; expected an RFC 1123 date with a numeric zone, "
            "such as 'Tue, 24 Nov 2026 21:00:00 +0000'"
        ) from error
    return text
