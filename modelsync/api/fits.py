"""`PUT`, `PATCH` and `DELETE /<base>/<Model>`: fit, update and delete versions of a trained model.

The answer to `PUT` and `PATCH` is a job (`modelsync.api.jobs`). The members `model-key` and
`model_key`, and `message`, are those of *ml-server*, an older system.
"""

from __future__ import annotations

from typing import Any

from flask import Response, request

from modelsync.api import jobs, preferences, replies
from modelsync.api.components import Schema, reference
from modelsync.api.operations import query_parameter, success
from modelsync.api.resource import MODEL_NAME, Context, Route
from modelsync.api.trained import METHODS, TrainedModels, flag
from modelsync.api.trained_operations import per_trained
from modelsync.errors import BodyTooLarge, NotTrainable, UnknownVersion
from modelsync.models.tables.bodies import KEYS
from modelsync.models.types import ModelEntry
from modelsync.problems import JSON
from modelsync.server.media_type import check_media_type
from modelsync.store.records import Job, JobKind
from modelsync.training import retries
from modelsync.training.operation import MESSAGES
from modelsync.training.submission import Intake, Submission

PROBLEMS = ("400", "404", "409", "413", "415", "422", "429", "503")


def routes(context: Context) -> list[Route]:
    """The routes that fit, update and delete."""
    trained = TrainedModels(context)

    def fit(name: str) -> Response:
        entry = trained.require(name, "train")
        return submitted(trained, entry, "fit")

    def update(name: str) -> Response:
        context.require("predict")
        refuse_update(trained, trained.entry(name))
        return submitted(trained, trained.require(name, "train"), "update")

    def delete(name: str) -> Response:
        trained.require(name, "train")
        return _delete(trained, name)

    path = f"{context.base}/{MODEL_NAME}"
    example = {"x": {"a": [1, 2], "b": [3, 4]}, "y": [0, 1], "params": {}, "name": "first"}
    media = {"schema": reference("schemas", "modelsync.Fit"), "example": example}
    body = {"required": False, "content": {JSON: media}}
    accepted: dict[str, Schema] = {
        "200": success("The job has ended, or it was asked for before"),
        "202": success("The job, whose path is in `Location`"),
    }
    about_fit = per_trained(
        context,
        "fit",
        "Fit {}; without a body, by its own method train",
        accepted,
        problems=PROBLEMS,
        scope="train",
        description="`Prefer: wait=n` waits for the end; an `Idempotency-Key` gives the same job "
        "again.",
        requestBody=body,
    )
    about_update = per_trained(
        context,
        "update",
        "Make a new version of {} by update or partial_fit",
        accepted,
        problems=(*PROBLEMS, "405"),
        scope="train",
        requestBody=body,
    )
    about_delete = per_trained(
        context,
        "delete",
        "Delete all versions of {}, or that of a key",
        {"200": success("How many are deleted")},
        problems=("404", "409", "422", "503"),
        scope="train",
        parameters=[
            query_parameter("key", {"type": "string"}, "Only this version"),
            query_parameter("force", {"type": "boolean"}, "Also the one in use"),
        ],
    )
    about_train = per_trained(
        context, "train", "Fit {}, as PUT does", accepted, problems=PROBLEMS, scope="train",
        requestBody=body,
    )  # fmt: skip
    return [
        Route("PUT", path, fit, about_fit),
        Route("PATCH", path, update, about_update),
        Route("DELETE", path, delete, about_delete),
        Route("POST", f"{path}/train", fit, about_train),
    ]


# --- jobs -----------------------------------------------------------------------------------------


def submitted(
    trained: TrainedModels,
    entry: ModelEntry,
    kind: JobKind,
    *,
    name: str = "",
    serializer: str = "",
    wait: float | None = None,
) -> Response:
    """Make a job of the current request, and answer with it.

    `name` and `serializer`: of an upload. `wait`: seconds to wait where the client prefers nothing.
    """
    service = trained.service
    size, limit = request.content_length, service.settings.training.max_upload
    if (size or 0) > limit:
        raise BodyTooLarge(f"the body is over {limit} bytes (MODELSYNC_MAX_UPLOAD); use a source")
    if size != 0 and kind != "upload":
        check_media_type(
            request.headers.get("Content-Type"), request.headers.get("Content-Encoding")
        )
    key = request.headers.get("Idempotency-Key", "").strip()
    loaded = service.models.get(entry.name)
    asked = Submission(
        kind,
        request.stream,
        size,
        name=name,
        version=asked_version() if kind == "update" else "",
        retrain=flag("retrain"),
        serializer=serializer,
        idempotency_key=key,
        instance=loaded.instance if loaded else None,
    )
    assert service.release
    intake = Intake(
        trained.store(),
        service.settings,
        service.release.path,
        service.release.commit or "",
        service.release.id,
    )
    with retries.alone(service.settings.state.home, entry.name, key):
        job, _ = intake.submit(entry, asked)
    seconds = preferences.preferred_wait()
    return jobs.answer_when_done(
        trained, job, wait if seconds is None else seconds, facts(trained, job)
    )


def facts(trained: TrainedModels, job: Job) -> dict[str, Any]:
    """What the answer to a request that made a job holds beside the job itself."""
    key = job.asked.key
    return {
        "key": key,
        "model-key": key,
        "model_key": key,
        "version": job.number,
        "job": trained.url(job.model, "jobs", job.id),
    }


def refuse_update(trained: TrainedModels, entry: ModelEntry) -> None:
    """Refuse an update of a model that has none. Raises NotTrainable.

    What `fit` returns may have scikit-learn's `partial_fit`. Where it serves in another process
    that is not known here, and the job finds out.
    """
    if "update" in entry.spec.methods:
        return
    loaded = trained.service.models.get(entry.name)
    fitted = getattr(loaded.instance, "model", None) if loaded and loaded.fitted else None
    if fitted is not None and not hasattr(fitted, "partial_fit"):
        raise NotTrainable(
            f"{entry.name} has no method update, and what its fit returns, a "
            f"{type(fitted).__name__}, has no partial_fit; fit a new version with PUT",
            (*METHODS, "PUT", "DELETE"),
        )


# --- what the older system asked ------------------------------------------------------------------


def asked_version() -> str:
    """The version that the query of the current request names, empty without one."""
    return next((request.args[name] for name in KEYS if request.args.get(name)), "")


def progress_of(trained: TrainedModels, name: str, key: str) -> dict[str, Any]:
    """How far the newest job of a key is, as *ml-server* told it. Raises UnknownVersion."""
    catalog = trained.store().catalog
    job = next((one for one in catalog.jobs(name, limit=1000) if one.asked.key == key), None)
    if job is None:
        version = catalog.version(name, key)  # raises, with those that exist
        job = catalog.job(name, version.job)
    found = jobs.described(trained, job)
    return {"message": MESSAGES[job.state], **facts(trained, job), **found}


# --- deleting -------------------------------------------------------------------------------------


def _delete(trained: TrainedModels, name: str) -> Response:
    catalog, force = trained.store().catalog, flag("force")
    if key := asked_version():
        return deleted(trained, name, key)
    count = catalog.delete_all(name, force=force)
    message = f"{count} versions of {name} are deleted"
    return trained.when_settled(
        name, lambda: replies.json_answer({"message": message, "deleted": count})
    )


def deleted(trained: TrainedModels, name: str, version: str) -> Response:
    """Delete one version. Raises UnknownVersion, VersionConflict if it is current."""
    catalog = trained.store().catalog
    try:
        found = catalog.version(name, version)
    except UnknownVersion:
        if not _cancelled(trained, name, version):
            raise
        body = {"message": f"the job of {version} is cancelled", "deleted": 0}
        return replies.json(body)
    catalog.delete(name, found.number, force=flag("force"))
    message = f"version {found.number} of {name} ({found.key}) is deleted"
    return trained.when_settled(
        name,
        lambda: replies.json_answer({"message": message, "deleted": 1, "version": found.number}),
    )


def _cancelled(trained: TrainedModels, name: str, key: str) -> bool:
    """Cancel the job of a key that has no version yet; false if there is none."""
    catalog = trained.store().catalog
    for job in catalog.jobs(name, limit=1000, live=True):
        if job.asked.key == key:
            jobs.cancelled(trained, name, job.id)
            return True
    return False
