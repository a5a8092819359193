"""The ledger as Prometheus and OpenTelemetry show it."""

from __future__ import annotations

import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import CollectorRegistry, generate_latest

from codex_tracking.counters.buffer import get_buffer
from codex_tracking.counters.ledger import ledger
from codex_tracking.hits.capture import bare_hit
from codex_tracking.pipeline.metrics import register, register_opentelemetry, register_prometheus


def figures() -> str:
    registry = CollectorRegistry()
    register_prometheus(registry)
    return generate_latest(registry).decode()


def test_prometheus_shows_counters_by_kind_and_reason() -> None:
    ledger.add("view", 3)
    ledger.dropped("visitor", 2)

    shown = figures()

    assert 'codex_tracking_hits_total{kind="view"} 3.0' in shown
    assert 'codex_tracking_dropped_total{reason="visitor"} 2.0' in shown


def test_prometheus_shows_the_age_of_what_waits() -> None:
    assert "codex_tracking_oldest_unpushed_seconds 0.0" in figures()
    get_buffer().put(bare_hit("event", "signup")._replace(at=1.0))

    assert "codex_tracking_oldest_unpushed_seconds 0.0" not in figures()


def test_opentelemetry_reads_the_same_ledger() -> None:
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

    reader = InMemoryMetricReader()
    set_meter_provider(MeterProvider([reader]))
    register_opentelemetry()
    ledger.add("pushed", 7)

    data = reader.get_metrics_data()
    assert data is not None
    shown = {
        metric.name: point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if isinstance(point, NumberDataPoint)
    }
    assert shown["codex_tracking.pushed_views"] == 7
    assert shown["codex_tracking.oldest_unpushed"] == 0


@pytest.mark.parametrize(
    ("name", "package", "remedy"),
    [
        ("prometheus", "prometheus_client", r"pip install 'codex-tracking\[metrics\]'"),
        ("opentelemetry", "opentelemetry.metrics", "pip install opentelemetry-api"),
    ],
)
def test_a_missing_package_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, remedy: str
) -> None:
    # None there makes an import fail as it does for a package that is not installed.
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImproperlyConfigured, match=remedy):
        register([name])
