"""`GET /<base>/<Model>`: all about one model; of a trained one its versions and jobs too."""

from __future__ import annotations

from typing import Any

from flask import Response

from modelsync.api import fits, jobs, models, replies, runs
from modelsync.api.components import reference
from modelsync.api.operations import Operation, operation, query_parameter, success
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.api.trained import TrainedModels
from modelsync.errors import StoreUnavailable
from modelsync.models.types import LoadedModel, ModelName
from modelsync.problems import Answer

SHOWN_JOBS = 10
"""Jobs in the status of a model; `.../jobs` has more."""


def routes(context: Context) -> list[Route]:
    """The route of a model's state."""
    trained = TrainedModels(context)

    def model_status(name: str) -> Response:
        context.require("predict")
        return status_of(trained, name)

    about = PerModel(lambda model: _status_operation(context, model))
    return [Route("GET", f"{context.base}/{MODEL_NAME}", model_status, about)]


def status_of(trained: TrainedModels, name: str) -> Response:
    """The state of a model, or how far the version of a key is, if the query names one."""
    found = models.describe(trained.service, name)
    if not trained.service.entries[ModelName(name)].spec.trainable:
        return replies.json(found)
    key = fits.asked_version()

    def make() -> Answer:
        if key:
            return replies.json_answer(fits.progress_of(trained, name, key))
        found = models.describe(trained.service, name)
        return replies.json_answer({**found, **_training(trained, name, found)})

    return trained.when_heard(name, make)


def _training(trained: TrainedModels, name: str, found: dict[str, Any]) -> dict[str, Any]:
    """What a trained model's status has besides, or in place of, that of all models."""
    spec = trained.service.entries[ModelName(name)].spec
    code = {
        "trainable": True,
        "code_versions": found["versions"],
        "training": runs.training_of(trained, spec),
    }
    try:
        catalog = trained.store().catalog
        record = catalog.model(name)
        recent = catalog.jobs(name, limit=SHOWN_JOBS)
    except StoreUnavailable as error:
        return {**code, "store": str(error), **_mirrored(trained, name)}
    current = trained.current(record)
    unfitted = found["state"] == "ready" and current is None
    return {
        **code,
        "state": "not_fitted" if unfitted else found["state"],
        "store": None,
        "current": current,
        "versions": trained.versions(record),
        "labels": record.labels,
        "jobs": [jobs.described(trained, one) for one in recent],
    }


def _mirrored(trained: TrainedModels, name: str) -> dict[str, Any]:
    """What this machine knows of versions while the store is away."""
    known = trained.fitted.read().get(name)
    versions = (
        [
            {
                "number": one.number,
                "key": one.key,
                "current": one.number == known.current,
                "serializer": one.serializer,
                "size": one.size,
                "sha256": one.sha256,
                "libraries": one.libraries,
                "url": trained.url(name, "versions", one.number),
            }
            for one in sorted(known.versions.values(), key=lambda one: -one.number)
        ]
        if known
        else []
    )
    current = next((one for one in versions if one["current"]), None)
    return {"current": current, "versions": versions, "labels": {}, "jobs": []}


def _status_operation(context: Context, model: LoadedModel) -> Operation:
    key = query_parameter("key", {"type": "string"}, "Only how far the version of this key is")
    return operation(
        f"status_{model.name}",
        "models",
        f"State, version and schema of {model.name}",
        {"200": success("The state of the model", schema=reference("schemas", "modelsync.Status"))},
        problems=("404",),
        needs_token=context.predict_needs_token,
        **({"parameters": [key]} if model.spec.trainable else {}),
    )
