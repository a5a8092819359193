"""The ledger for Prometheus and OpenTelemetry, as far as the setting ``metrics`` names them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from django.core.exceptions import ImproperlyConfigured

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.hit import Kind

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

PREFIX = "codex_tracking"
DROPPED = "dropped_"


class Instrument(NamedTuple):
    """One figure; names by Prometheus' conventions, without prefix and ``_total``."""

    name: str
    description: str
    label: str
    """Name of its one label; empty for none."""
    read: Callable[[], dict[str, float]]
    """Returns label value -> figure."""


def _hits() -> dict[str, float]:
    counts = ledger.snapshot()
    return {kind: counts.get(kind, 0) for kind in get_args(Kind)}


def _dropped() -> dict[str, float]:
    return {name.removeprefix(DROPPED): n for name, n in ledger.snapshot().items() if name.startswith(DROPPED)}


def _counter(name: str) -> Callable[[], dict[str, float]]:
    return lambda: {"": ledger.snapshot().get(name, 0)}


def _age() -> dict[str, float]:
    oldest = get_buffer().oldest()
    return {"": max(0.0, time.time() - oldest) if oldest else 0.0}


COUNTERS = (
    Instrument("hits", "Requests and events that this process recorded, by what they count as.", "kind", _hits),
    Instrument("pushed_views", "Page views that Redis has taken.", "", _counter("pushed")),
    Instrument("flushed_views", "Page views that this process wrote to the database.", "", _counter("flushed")),
    Instrument("dropped", "Views, visitors and sketches that were dropped, by reason.", "reason", _dropped),
    Instrument("push_failures", "Pushes that failed and are repeated.", "", _counter("push_failures")),
    Instrument("flush_failures", "Flushes that failed and are repeated.", "", _counter("flush_failures")),
    Instrument("record_failures", "Requests that could not be recorded.", "", _counter("record_failures")),
    Instrument("rebases", "Times that Redis lost a day, which was written from memory.", "", _counter("rebases")),
)
GAUGES = (
    Instrument("oldest_unpushed_seconds", "Age of the oldest hit in this process' memory.", "", _age),
    Instrument("last_push_timestamp_seconds", "When Redis last took a push.", "", lambda: {"": ledger.pushed_at}),
    Instrument(
        "last_flush_timestamp_seconds",
        "When this process last flushed.",
        "",
        lambda: {"": ledger.flushed_at},
    ),
)


def register_prometheus(registry: CollectorRegistry | None = None) -> None:
    """Register the ledger with ``prometheus_client``; the project serves its metrics.

    Raises:
        ImportError: the extra ``metrics`` is not installed.
    """
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

    # Not the client's own counters: a hit would pay for their locks, and the ledger has the figures already.
    class LedgerCollector(Collector):
        def collect(self) -> Iterator[Any]:
            for family, instruments in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES)):
                for instrument in instruments:
                    labels = [instrument.label] if instrument.label else []
                    metric = family(f"{PREFIX}_{instrument.name}", instrument.description, labels=labels)
                    for label, figure in instrument.read().items():
                        metric.add_metric([label] if labels else [], figure)
                    yield metric

    (registry or REGISTRY).register(LedgerCollector())


def register_opentelemetry() -> None:
    """Register the ledger with OpenTelemetry's global meter provider.

    Raises:
        ImportError: ``opentelemetry-api`` is not installed.
    """
    from opentelemetry.metrics import CallbackOptions, Observation, get_meter

    def observe(instrument: Instrument) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(options: CallbackOptions) -> Iterable[Observation]:
            for label, figure in instrument.read().items():
                yield Observation(figure, {instrument.label: label} if instrument.label else {})

        return callback

    meter = get_meter(PREFIX)
    for counter in COUNTERS:
        meter.create_observable_counter(f"{PREFIX}.{counter.name}", [observe(counter)], description=counter.description)
    for gauge in GAUGES:
        meter.create_observable_gauge(
            f"{PREFIX}.{gauge.name.removesuffix('_seconds')}", [observe(gauge)], "s", gauge.description
        )


REGISTER = {"prometheus": register_prometheus, "opentelemetry": register_opentelemetry}
"""The values of the setting ``metrics``."""
PACKAGES = {"prometheus": "'codex-tracking[metrics]'", "opentelemetry": "opentelemetry-api"}
"""Arguments of ``pip install`` for them."""


def register(names: Iterable[str]) -> None:
    """Register with those metric systems that the setting names.

    Raises:
        ImproperlyConfigured: the package of one is not installed.
    """
    for name in names:
        try:
            REGISTER[name]()
        except ImportError as error:
            raise ImproperlyConfigured(
                f"CODEX_TRACKING['metrics'] has {name!r}, whose package is not installed: "
                f"pip install {PACKAGES[name]}, or leave it out."
            ) from error
