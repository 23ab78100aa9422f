"""`GET /metrics` for Prometheus: requests of all workers, state of the models, and syncs.

Labels hold names of this release's models, known reasons and commits, never anything that a client
sent. The route needs no token, as Prometheus expects, and exposes no secret.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from time import time

from flask import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import HistogramMetricFamily as Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from modelsync import __version__, problems
from modelsync.api import compiled, drift, models, operations, replies, shadow, sync
from modelsync.api.resource import Context, Route
from modelsync.inference.process_runner import ProcessRunner
from modelsync.inference.serving import Service
from modelsync.observability.counters import BATCH_SIZES, BUCKETS, LOST
from modelsync.problems import Answer

_SIZES = (*map(str, BATCH_SIZES), "+Inf")
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


def routes(context: Context) -> list[Route]:
    """The route that Prometheus scrapes."""

    def metrics() -> Response:
        return replies.respond(Answer(200, render(context.service), CONTENT_TYPE_PLAIN_0_0_4))

    about = operations.read("metrics", "Metrics for Prometheus", "text/plain")
    return [Route("GET", "/metrics", metrics, about, link="metrics")]


def render(service: Service) -> bytes:
    """All metrics in Prometheus' text format, version 0.0.4."""
    return generate_latest(_Families(service))


class _Families(Collector):
    """Collects the metric families at each scrape, through the interface of prometheus_client."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """All families."""
        yield from _requests(self._service)
        yield from _models(self._service)
        yield from _runners(self._service)
        yield from _release(self._service)
        yield from compiled.families(self._service)
        yield from drift.families(self._service)
        yield from shadow.families(self._service)


def _requests(service: Service) -> Iterator[Metric]:
    """Requests, failures, durations, running calls and batch sizes by model, of all workers."""
    requests = Counter(
        "modelsync_requests",
        "Requests by status of the answer (0: any other; lost: not answered, the process died).",
        labels=["model", "code"],
    )
    failures = Counter(
        "modelsync_request_failures", "Requests answered with 5xx, or lost.", labels=["model"]
    )
    seconds = Histogram(
        "modelsync_request_duration_seconds",
        "Time from a request's body to its answer.",
        labels=["model"],
    )
    running = Gauge(
        "modelsync_requests_in_flight", "Calls of a model that run now.", labels=["model"]
    )
    sizes = Histogram(
        "modelsync_batch_size",
        "Requests answered by one call, of models that take several.",
        labels=["model"],
    )
    for name, total in sorted(service.totals().items()):
        codes = _by_code(total.reasons)
        for code, count in sorted(codes.items()):
            requests.add_metric([name, code], count)
        failed = (count for code, count in codes.items() if code == LOST or code.startswith("5"))
        failures.add_metric([name], sum(failed))
        buckets = list(zip(_BOUNDS, accumulate(total.buckets), strict=True))
        seconds.add_metric([name], buckets, total.seconds)
        running.add_metric([name], total.in_flight)
        if name in service.models and service.models[name].call_batch is not None:
            sizes.add_metric(
                [name], list(zip(_SIZES, accumulate(total.batches), strict=True)), total.batched
            )
    yield from (requests, failures, seconds, running, sizes)


def _by_code(reasons: Mapping[str, float]) -> dict[str, float]:
    """Add up the counts of all reasons that have the same status; `lost` has none."""
    codes: dict[str, float] = defaultdict(float)
    for reason, count in reasons.items():
        code = LOST if reason == LOST else str(problems.STATUS_BY_REASON.get(reason, 0))
        codes[code] += count
    return codes


def _models(service: Service) -> Iterator[Metric]:
    """Which models are loaded, and which are switched off."""
    loaded = Gauge(
        "modelsync_model_loaded",
        "1 if a version of the model serves, else 0.",
        labels=["model", "state", "version"],
    )
    off = Gauge(
        "modelsync_model_switched_off",
        "1 if the model is switched off because its calls ended several workers, else 0.",
        labels=["model"],
    )
    for model in models.summaries(service):
        serves = model.state in {"ready", "stale"}
        loaded.add_metric([model.name, model.state, model.version], float(serves))
        off.add_metric([model.name], float(model.state == "switched_off"))
    yield from (loaded, off)


def _runners(service: Service) -> Iterator[Metric]:
    """The processes of models that run outside of the workers."""
    up = Gauge(
        "modelsync_runner_up",
        "1 if the process of a model, or of the models of an environment, serves, else 0.",
        labels=["runner"],
    )
    restarts = Counter(
        "modelsync_runner_restarts",
        "How often it has been started again because it had ended.",
        labels=["runner"],
    )
    channels = {
        runner.channel.runner: runner.channel
        for runner in service.dataplane.runners.values()
        if isinstance(runner, ProcessRunner)
    }
    for name, channel in sorted(channels.items()):
        up.add_metric([name], float(channel.up))
        restarts.add_metric([name], channel.restarts)
    yield from (up, restarts)


def _release(service: Service) -> Iterator[Metric]:
    """The release that is served, the syncs, and the build."""
    status = service.status()
    release = Gauge(
        "modelsync_release_info",
        "The release that this process serves.",
        labels=["release", "commit"],
    )
    if service.release:
        release.add_metric([service.release.id, service.release.commit], 1.0)
    commits = Gauge(
        "modelsync_commit_info",
        "The wanted commit, and the newest commit whose models are served.",
        labels=["which", "commit"],
    )
    for which, commit in (
        ("wanted", status.wanted_commit),
        ("served", sync.served_commit(service, status)),
    ):
        if commit:
            commits.add_metric([which, commit], 1.0)
    failures = Counter(
        "modelsync_sync_failures", "Syncs that failed, by reason.", labels=["reason"]
    )
    for reason, count in sorted(status.failures.items()):
        failures.add_metric([reason], count)
    yield from (release, commits, failures)
    yield _gauge(
        "modelsync_sync_in_step",
        "1 if the models of the wanted commit are served, else 0.",
        sync.is_in_step(service, status),
    )
    if status.last_success:
        succeeded = datetime.fromisoformat(status.last_success).timestamp()
        yield _gauge(
            "modelsync_sync_last_success_timestamp_seconds",
            "Unix time of the last sync that succeeded.",
            succeeded,
        )
        yield _gauge(
            "modelsync_sync_last_success_age_seconds",
            "Seconds since the last sync that succeeded.",
            max(0.0, time() - succeeded),
        )
    build = Gauge(
        "modelsync_build_info",
        "The versions of modelsync and Python.",
        labels=["version", "python"],
    )
    build.add_metric([__version__, platform.python_version()], 1.0)
    yield build


def _gauge(name: str, documentation: str, value: float) -> Gauge:
    """A gauge without labels."""
    return Gauge(name, documentation, value=float(value))
