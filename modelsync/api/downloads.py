"""`GET .../download`: a stored version as the file that it is, to be loaded by its library.

The headers tell what it is; `?metadata=true` gives all that is known of it, as JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from flask import Response, request

from modelsync.api import artefacts, replies
from modelsync.api.components import Schema
from modelsync.api.operations import query_parameter
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.api.trained import TrainedModels, flag
from modelsync.api.trained_operations import per_trained
from modelsync.errors import NotFitted
from modelsync.models.types import LoadedModel
from modelsync.problems import JSON
from modelsync.store.records import Version

PART = 256 * 1024
"""Bytes of a file that are read at a time."""

SUFFIXES = {
    "cloudpickle": ".pkl",
    "joblib": ".joblib",
    "skops": ".skops",
    "onnx": ".onnx",
    "own": ".bin",
}
"""The ends of files' names by their format."""

OCTETS = "application/octet-stream"


def routes(context: Context) -> list[Route]:
    """The routes of downloads."""
    trained = TrainedModels(context)
    path = f"{context.base}/{MODEL_NAME}"

    def download_version(name: str, version: str) -> Response:
        trained.require(name, "predict")
        return _download(trained, trained.store().catalog.version(name, version))

    return [
        Route(
            "GET",
            f"{path}/download",
            downloader(trained),
            replace(_about(context, "download", "Download {}"), applies=_has_file),
        ),
        Route(
            "GET",
            f"{path}/versions/<version>/download",
            download_version,
            _about(context, "download_version", "Download a version of {}"),
        ),
    ]


def downloader(trained: TrainedModels) -> Callable[[str], Response]:
    """The view of the file of a model: of an artefact, or of the current version."""

    def download(name: str) -> Response:
        trained.context.require("predict")
        flag("metadata")  # raises, also for an artefact, which has none
        if file := artefacts.download(trained.service, name):
            return file
        trained.entry(name)
        catalog = trained.store().catalog
        record = catalog.model(name)
        if record.current is None:
            raise NotFitted(f"{name} has no current version to download; fit one with PUT")
        return _download(trained, catalog.version(name, str(record.current)))

    return download


def _has_file(model: LoadedModel) -> bool:
    return model.spec.trainable or bool(model.spec.artefact)


def _about(context: Context, identity: str, summary: str) -> PerModel:
    content: Schema = {
        OCTETS: {"schema": {"type": "string", "format": "binary"}},
        JSON: {"schema": {"type": "object"}},
    }
    return per_trained(
        context,
        identity,
        summary,
        {"200": {"description": "The file, or its metadata", "content": content}},
        problems=("404", "409", "422", "503"),
        parameters=[
            query_parameter("metadata", {"type": "boolean"}, "All that is known of it, as JSON")
        ],
    )


def _download(trained: TrainedModels, version: Version) -> Response:
    """The file of a version, which is streamed; only its headers if the client has it already."""
    made = version.made
    metadata = trained.version(version, trained.store().catalog.model(version.model))
    if flag("metadata"):
        return replies.json(metadata)
    name = f"{version.model}-v{version.number}{SUFFIXES.get(made.serializer, '.bin')}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "ETag": f'"{made.sha256}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(made.sha256)).decode()}:",
        "X-Modelsync-Version": str(version.number),
        "X-Modelsync-Key": version.key,
        "X-Modelsync-Serializer": made.serializer,
        "X-Modelsync-Commit": version.commit,
        "Link": f'<{metadata["url"]}>; rel="describedby"',
    }
    if made.sha256 in request.if_none_match:
        return Response(status=304, headers=headers)
    file = trained.store.fetch(trained.store.artifacts().describe(version))
    response = Response(_parts(file), content_type=OCTETS, headers=headers)
    response.content_length = made.size
    return response


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(PART):
            yield part
