"""`GET /<base>/<Model>/shadow`: how the candidate has answered copies of a model's predictions; and
their metrics.

Whoever may predict sees how many; requests and answers of other clients are for admins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from flask import Response
from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import HistogramMetricFamily as Histogram
from prometheus_client.metrics_core import Metric

from modelsync.api import replies
from modelsync.api.components import reference
from modelsync.api.operations import Operation, operation, success
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.errors import RequestError
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel, ModelName
from modelsync.monitoring.shadow import record
from modelsync.monitoring.shadow.record import RESULTS, ModelShadow
from modelsync.observability.counters import BUCKETS

_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


def routes(context: Context) -> list[Route]:
    """The route of one model's shadow requests."""

    def shadow(name: str) -> Response:
        context.require("predict")
        if ModelName(name) not in context.service.entries:
            context.service.dataplane.model(name)  # raises, with similar names
        return replies.json(_described(context.service, name, whole=_is_admin(context)))

    about = PerModel(lambda model: _operation(context, model))
    return [Route("GET", f"{context.base}/{MODEL_NAME}/shadow", shadow, about)]


def summary(service: Service, name: str) -> dict[str, int] | None:
    """How many copies had which result; None if none was made."""
    found = record.read(service.settings.state.home).models.get(name)
    return dict(found.results) if found and service.settings.shadow.on else None


def families(service: Service) -> Iterator[Metric]:
    """The metrics of all models of this release of which a prediction was copied."""
    requests = Counter(
        "modelsync_shadow_requests",
        "Predictions copied to the candidate, by how its answer compares.",
        labels=["model", "result"],
    )
    seconds = Histogram(
        "modelsync_shadow_duration_seconds",
        "Time that the candidate took to answer a copy.",
        labels=["model"],
    )
    if service.settings.shadow.on:
        for name, found in sorted(record.read(service.settings.state.home).models.items()):
            if name in service.entries:
                for result in RESULTS:
                    requests.add_metric([name, result], found.results[result])
                buckets = list(zip(_BOUNDS, accumulate(found.buckets), strict=True))
                seconds.add_metric([name], buckets, found.seconds)
    yield from (requests, seconds)


def _described(service: Service, name: str, *, whole: bool) -> dict[str, Any]:
    """What was found of a model; `whole`: with what clients have sent and got."""
    settings = service.settings.shadow
    figures = record.read(service.settings.state.home)
    if not settings.on or figures.candidate != settings.url:  # they are of another candidate
        figures = record.ShadowFigures()
    found = figures.models.get(name, ModelShadow())
    answers = sum(found.buckets)
    return {
        "rate": settings.rate if settings.on else 0.0,
        "candidate": (settings.url or None) if whole else None,
        "since": figures.since or None,
        "requests": dict(found.results),
        "seconds": found.seconds / answers if answers else None,
        "failure": found.failure or None,
        "differences": [asdict(one) for one in reversed(found.differences)] if whole else None,
    }


def _is_admin(context: Context) -> bool:
    try:
        context.require("admin")
    except RequestError:
        return False
    return True


def _operation(context: Context, model: LoadedModel) -> Operation:
    body = success("How the answers compare", schema=reference("schemas", "modelsync.Shadow"))
    return operation(
        f"shadow_{model.name}",
        "models",
        f"How a candidate answers copies of {model.name}'s predictions",
        {"200": body},
        problems=("404",),
        needs_token=context.predict_needs_token,
        description="Requests and answers that differ are shown to admin tokens alone.",
    )
