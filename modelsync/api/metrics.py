"""`/metrics` for Prometheus: what all workers have answered, what is loaded, and how following the
source goes.

Labels hold names of this release's models, known reasons and commits, never anything that a client
sent. It is open to everybody, as Prometheus expects it, and holds no secret.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate
from time import time

from flask import Flask, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import HistogramMetricFamily as Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from modelsync import __version__, problems
from modelsync.api import models, replies, sync
from modelsync.inference.serving import Service
from modelsync.observability.counters import BATCH_SIZES, BUCKETS, LOST
from modelsync.problems import Answer
from modelsync.server.auth import Authorizer

_SIZES = (*map(str, BATCH_SIZES), "+Inf")
_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the route."""

    @app.get("/metrics")
    def metrics() -> Response:
        return replies.respond(Answer(200, render(service), CONTENT_TYPE_PLAIN_0_0_4))


def render(service: Service) -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(_Families(service))


class _Families(Collector):
    """The metrics as prometheus_client takes them, made at each scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        """All families."""
        yield from _requests(self._service)
        yield from _models(self._service)
        yield from _release(self._service)


def _requests(service: Service) -> Iterator[Metric]:
    requests = Counter(
        "modelsync_requests",
        "Requests by status of the answer (0: any other; lost: none, the process has died).",
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
    loaded = Gauge(
        "modelsync_model_loaded",
        "1 where a version of the model serves, else 0.",
        labels=["model", "state", "version"],
    )
    off = Gauge(
        "modelsync_model_switched_off", "1 where it was, for ending workers.", labels=["model"]
    )
    for line in models.lines(service):
        loaded.add_metric(
            [line.name, line.state, line.version], float(line.state in {"ready", "stale"})
        )
        off.add_metric([line.name], float(line.state == "switched_off"))
    yield from (loaded, off)


def _release(service: Service) -> Iterator[Metric]:
    status = service.status()
    release = Gauge(
        "modelsync_release_info", "The release that answers.", labels=["release", "commit"]
    )
    if service.release:
        release.add_metric([service.release.id, service.release.commit], 1.0)
    commits = Gauge(
        "modelsync_commit_info",
        "The commit that is wanted, and the newest whose models answer.",
        labels=["which", "commit"],
    )
    for which, commit in (
        ("wanted", status.wanted_commit),
        ("served", sync.served(service, status)),
    ):
        if commit:
            commits.add_metric([which, commit], 1.0)
    failures = Counter(
        "modelsync_sync_failures", "Syncs that failed, by reason.", labels=["reason"]
    )
    for reason, count in sorted(status.failures.items()):
        failures.add_metric([reason], count)
    yield from (release, commits, failures)
    yield _one(
        "modelsync_sync_in_step",
        "1 where the models that answer are those of the wanted commit.",
        sync.in_step(service, status),
    )
    if status.last_success:
        succeeded = datetime.fromisoformat(status.last_success).timestamp()
        yield _one(
            "modelsync_sync_last_success_timestamp_seconds",
            "When a sync last succeeded.",
            succeeded,
        )
        yield _one(
            "modelsync_sync_last_success_age_seconds",
            "How long ago that was.",
            max(0.0, time() - succeeded),
        )
    build = Gauge("modelsync_build_info", "The program that answers.", labels=["version", "python"])
    build.add_metric([__version__, platform.python_version()], 1.0)
    yield build


def _one(name: str, about: str, value: float) -> Gauge:
    return Gauge(name, about, value=float(value))
