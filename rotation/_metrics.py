"""Counters and gauges for prometheus_client, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rotation._credentials import Credentials

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_GAUGES = {
    "age_seconds": "Since this name and password were first read",
    "ends_in_seconds": "Until the credential stops working; absent where the source does not know",
    "rotates_in_seconds": "Until the source expects to change it; absent where it does not know",
    "generation": "How many different credentials there have been",
    "healthy": "1 while there is a valid credential and the source answers",
}
_COUNTERS = {
    "refreshes": "Fetches and renewals that succeeded",
    "failures": "Fetches and renewals that failed",
    "rotations": "Changes of name or password",
    "rejections": "Logins that the server refused",
    "connections_replaced": "Connections closed because their credential was no longer the newest",
}


def instrument(credentials: Credentials, *, name: str | None = None, registry: CollectorRegistry | None = None) -> Any:
    """Export ``rotation_credential_*`` and ``rotation_*_total``, labelled with the source. Needs prometheus_client.

    ``name``: the label's value; default the source's kind. Give one where there are two of a kind.
    Returns the collector, for ``registry.unregister``.
    """
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    label = name or credentials.source.name

    class Collector:
        def collect(self) -> Iterator[Any]:
            health = credentials.health().as_dict()
            for key, text in _GAUGES.items():
                gauge = GaugeMetricFamily(f"rotation_credential_{key}", text, labels=["source"])
                if health[key] is not None:
                    gauge.add_metric([label], float(health[key]))
                yield gauge
            for key, text in _COUNTERS.items():
                counter = CounterMetricFamily(f"rotation_{key}", text, labels=["source"])
                counter.add_metric([label], float(health[key]))
                yield counter

        def describe(self) -> list[Any]:
            return []  # two collectors may share names and differ in the label

    collector = Collector()
    (registry or REGISTRY).register(collector)
    return collector
