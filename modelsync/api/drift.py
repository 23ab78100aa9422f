"""What is told of drift and live accuracy, as the collector has written it last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import Metric

from modelsync.inference.serving import Service
from modelsync.monitoring import figures
from modelsync.monitoring.figures import ColumnDrift


def described(service: Service, name: str) -> dict[str, Any] | None:
    """The figures of a model; None if none of its requests was sampled."""
    found = figures.read(service.settings.state.home).get(name)
    if found is None:
        return None
    return {
        "version": found.version,
        "samples": found.samples,
        "since": found.since,
        "updated": found.updated or None,
        "note": found.note or None,
        "columns": _by_name(found.columns),
        "target": _by_name(found.target),
        "live_accuracy": found.live_accuracy,
        "live_error": found.live_error,
        "compared": found.compared,
        "collected": found.total,
    }


def summary(service: Service, name: str) -> dict[str, Any] | None:
    """What the index page shows: the column that has drifted most, and live accuracy; None without
    either.
    """
    found = figures.read(service.settings.state.home).get(name)
    if found is None or not (found.columns or found.compared):
        return None
    worst = max(found.columns, key=lambda one: one.psi, default=None)
    return {
        "column": worst.name if worst else None,
        "psi": worst.psi if worst else None,
        "samples": found.samples,
        "live_accuracy": found.live_accuracy,
        "live_error": found.live_error,
        "compared": found.compared,
    }


def _by_name(columns: Iterable[ColumnDrift]) -> dict[str, Any]:
    facts = map(asdict, columns)
    return {one.pop("name"): one for one in facts}


def families(service: Service) -> Iterator[Metric]:
    """The metrics of all models of this release; columns are those that versions were fitted with,
    never names of a request.
    """
    psi = Gauge(
        "modelsync_drift_psi",
        "Population stability index of a column: samples against the data of the fit.",
        labels=["model", "column"],
    )
    ks = Gauge(
        "modelsync_drift_ks",
        "Two-sample Kolmogorov-Smirnov statistic of a column, from 0 to 1.",
        labels=["model", "column"],
    )
    accuracy = Gauge(
        "modelsync_live_accuracy",
        "Share of the current version's predictions that were right, where the truth is known.",
        labels=["model"],
    )
    error = Gauge(
        "modelsync_live_error",
        "Mean absolute error of the current version's predictions, where the truth is known.",
        labels=["model"],
    )
    samples = Counter("modelsync_samples", "Samples of requests that were kept.", labels=["model"])
    found = figures.read(service.settings.state.home)
    for name, one in sorted(found.items()):
        if name not in service.entries:
            continue
        for column in (*one.columns, *one.target):
            psi.add_metric([name, column.name], column.psi)
            if column.ks is not None:
                ks.add_metric([name, column.name], column.ks)
        if one.live_accuracy is not None:
            accuracy.add_metric([name], one.live_accuracy)
        if one.live_error is not None:
            error.add_metric([name], one.live_error)
        samples.add_metric([name], one.total)
    yield from (psi, ks, accuracy, error, samples)
