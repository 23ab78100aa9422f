"""What is told of the compiled form of a model's estimator, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import Metric

from modelsync.inference.serving import Service
from modelsync.models.compilation import Compilation
from modelsync.models.types import LoadedModel, ModelEntry

UNUSED = (
    "its compiled form does not load in this process, which has other libraries or another "
    "processor than those with which it was made, as the log says; the next sync makes it again"
)


def of(service: Service, entry: ModelEntry) -> Compilation | None:
    """What came of compiling a model, and whether that serves in this process; None if it has
    nothing to compile, or nothing that serves.
    """
    found, loaded = entry.compilation, service.models.get(entry.name)
    if found is None or loaded is None:
        return None
    if found.state == "compiled" and _is_unused(entry, loaded):
        return replace(found, state="refused", reason=UNUSED)
    return found


def _is_unused(entry: ModelEntry, loaded: LoadedModel) -> bool:
    return bool(entry.spec.compiled and loaded.artefact and not loaded.artefact.backend)


def described(service: Service, entry: ModelEntry) -> dict[str, Any] | None:
    """The same for JSON."""
    found = of(service, entry)
    return found.described() if found else None


def families(service: Service) -> Iterator[Metric]:
    """The metrics of all models that have something to compile."""
    compiled = Gauge(
        "modelsync_model_compiled",
        "1 if a compiled form answers for a model's estimator, else 0.",
        labels=["model", "backend"],
    )
    speedup = Gauge(
        "modelsync_model_compiled_speedup",
        "How many times less processor time a call with one row takes than the estimator.",
        labels=["model"],
    )
    estimator = Counter(
        "modelsync_model_compiled_fallbacks",
        "Rows that the estimator has answered in the place of its compiled form, in the workers.",
        labels=["model"],
    )
    totals = service.totals()
    for name, entry in sorted(service.entries.items()):
        if (found := of(service, entry)) is None:
            continue
        serves = found.state == "compiled"
        compiled.add_metric([name, found.backend if serves else ""], float(serves))
        if serves and found.speedup:
            speedup.add_metric([name], found.speedup)
        if serves:
            estimator.add_metric([name], totals[name].fallbacks if name in totals else 0.0)
    yield from (compiled, speedup, estimator)
