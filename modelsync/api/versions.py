"""`/<base>/<Model>/versions`: the fitted versions of a model, which of them serves, ready files."""

from __future__ import annotations

from flask import Response, request

from modelsync.api import fits, predict, replies
from modelsync.api.components import Schema, reference
from modelsync.api.operations import query_parameter, success
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.api.trained import TrainedModels
from modelsync.api.trained_operations import per_trained
from modelsync.errors import UnsupportedBody
from modelsync.problems import JSON, Answer
from modelsync.server.media_type import check_media_type

MEDIA_TYPES = {
    "application/octet-stream": "",
    "application/onnx": "onnx",
    "application/x-onnx": "onnx",
    "application/vnd.onnx": "onnx",
    "application/zip": "skops",
    "application/x-skops": "skops",
    "application/vnd.skops": "skops",
}
"""The formats of uploads by their media types; empty: that of the file's first bytes."""


def routes(context: Context) -> list[Route]:
    """The routes of versions."""
    trained = TrainedModels(context)
    path = f"{context.base}/{MODEL_NAME}"
    one = f"{path}/versions/<version>"

    def versions(name: str) -> Response:
        trained.require(name, "predict")

        def make() -> Answer:
            record = trained.store().catalog.model(name)
            return replies.json_answer(
                {
                    "versions": trained.versions(record),
                    "current": record.current,
                    "labels": record.labels,
                }
            )

        return trained.when_heard(name, make)

    def version(name: str, version: str) -> Response:
        trained.require(name, "predict")

        def make() -> Answer:
            catalog = trained.store().catalog
            found = catalog.version(name, version)
            return replies.json_answer(trained.version(found, catalog.model(name)))

        return trained.when_heard(name, make)

    def predict_version(name: str, version: str) -> Response:
        trained.require(name, "predict")
        return _predict(trained, name, version)

    def upload(name: str, version: str) -> Response:
        entry = trained.require(name, "train")
        return fits.submitted(trained, entry, "upload", name=version, serializer=_format())

    def delete(name: str, version: str) -> Response:
        trained.require(name, "train")
        return fits.deleted(trained, name, version)

    def promote(name: str, version: str) -> Response:
        trained.require(name, "train")
        catalog = trained.store().catalog
        return _chosen(
            trained, name, catalog.promote(name, catalog.version(name, version).number).number
        )

    def rollback(name: str) -> Response:
        trained.require(name, "train")
        return _chosen(trained, name, trained.store().catalog.rollback(name).number)

    media = {
        "schema": {
            "anyOf": [
                reference("schemas", name)
                for name in ("modelsync.Variables", "modelsync.Rows", "modelsync.Data")
            ]
        },
        "example": {"x": {"a": [1, 2], "b": [3, 4]}},
    }
    prediction = {"content": {JSON: media}, "required": True}
    return [
        Route(
            "GET",
            f"{path}/versions",
            versions,
            per_trained(context, "versions", "Versions of {}, newest first"),
        ),
        Route("GET", one, version, per_trained(context, "version", "A version of {}")),
        Route(
            "POST",
            one,
            predict_version,
            per_trained(
                context,
                "predict_version",
                "Predict with a version of {}",
                problems=("400", "404", "409", "413", "415", "422", "500", "503", "504"),
                requestBody=prediction,
            ),
        ),
        Route("PUT", one, upload, _about_upload(context)),
        Route(
            "DELETE",
            one,
            delete,
            per_trained(
                context,
                "delete_version",
                "Delete a version of {}",
                problems=("404", "409", "422", "503"),
                scope="train",
                parameters=[query_parameter("force", {"type": "boolean"}, "Also if it is in use")],
            ),
        ),
        Route(
            "POST",
            f"{one}/promote",
            promote,
            per_trained(context, "promote", "Predict with this version of {}", scope="train"),
        ),
        Route(
            "POST",
            f"{path}/rollback",
            rollback,
            per_trained(
                context,
                "rollback",
                "Predict with the version of {} that was current before",
                problems=("404", "409", "503"),
                scope="train",
            ),
        ),
    ]


def _about_upload(context: Context) -> PerModel:
    """The operation of an upload: the body is the file as it is."""
    binary: Schema = {"schema": {"type": "string", "format": "binary"}}
    return per_trained(
        context,
        "upload",
        "Upload a version of {}: ONNX or skops",
        {
            "200": success("The file is a version by now, or was refused"),
            "202": success("The job that loads and tries the file"),
        },
        problems=fits.PROBLEMS,
        scope="train",
        requestBody={
            "required": True,
            "content": {"application/octet-stream": binary},
        },
    )


def _format() -> str:
    """The format of the file that is uploaded, as its media type names it."""
    given = request.headers.get("Content-Type", "application/octet-stream")
    kind = given.partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise UnsupportedBody(
            f"Content-Type {given[:100]!r} is not supported: send an ONNX or a skops file as it "
            "is, with Content-Type: application/octet-stream"
        )
    return MEDIA_TYPES[kind]


def _chosen(trained: TrainedModels, name: str, number: int) -> Response:
    """The answer once the workers have taken over that this version is current."""

    def make() -> Answer:
        record = trained.store().catalog.model(name)
        found = next((one for one in record.versions if one.number == number), None)
        body = trained.version(found, record) if found else {"number": number}
        return replies.json_answer({"message": f"version {number} of {name} is current", **body})

    return trained.when_settled(name, make)


def _predict(trained: TrainedModels, name: str, version: str) -> Response:
    service = trained.service
    check_media_type(request.headers.get("Content-Type"), request.headers.get("Content-Encoding"))
    body = replies.body(service.settings.server.max_body)
    return predict.with_version(service, name, version, body)
