"""`GET /<base>/openapi.json`: the OpenAPI 3.1 document, assembled from the routes' operations."""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson
from flask import Response

from modelsync import __version__
from modelsync.api import replies
from modelsync.api.components import Schema, components
from modelsync.api.operations import Operation, Tag
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route, Undocumented
from modelsync.models.types import LoadedModel
from modelsync.problems import Answer

TAGS: dict[Tag, str] = {
    "models": "A folder is a model",
    "training": "Models that are fitted, and their versions",
    "service": "The service itself",
}
"""The groups of operations, in the order in which the document and the docs page show them."""

PARAMETERS = {
    "version": "A number, a key or name, or a label",
    "label": "A label",
    "job_id": "The id of a job",
    "number": "The number of a training run",
}
"""What the parameters of paths mean, besides the name of the model."""

SHORT = 12
"""Digits of a commit in the version."""

_PARAMETER = re.compile(r"<(\w+)>")


def routes(context: Context) -> list[Route]:
    """The route of the document."""
    # The document is built once, because what a process serves never changes.
    cache: list[bytes] = []

    def openapi() -> Response:
        context.require("predict")
        if not cache:
            cache.append(orjson.dumps(document(context)))
        return replies.respond(Answer(200, cache[0]))

    undocumented = Undocumented("it is the document itself")
    return [Route("GET", f"{context.base}/openapi.json", openapi, undocumented, link="openapi")]


def document(context: Context) -> Schema:
    """The whole document.

    The operations of models come first: the docs page opens with the first operation.
    """
    service = context.service
    models = [model for _, model in sorted(service.models.items())]
    order = list(TAGS)
    operations = [found for route in context.routes for found in _operations(route, models)]
    operations.sort(key=lambda found: order.index(found[2]["tags"][0]))
    paths: Schema = {}
    for path, method, operation in operations:
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "modelsync",
            "version": version(service.commit),
            "summary": "Predictions by the models of a git repository",
            "description": f"Served by modelsync {__version__}, from the commit "
            f"{service.commit or 'none'}.",
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": components(_model_schemas(context.routes, models)),
    }


def version(commit: str | None) -> str:
    """The version of the service and the commit that it serves, such as `1.2.0+g01b36dea0c1f`.

    That is a version for pip (PEP 440) and for npm (SemVer 2.0.0), as generators of clients want
    for the packages that they make; a commit alone is none.
    """
    short = re.sub(r"[^0-9a-z]", "", (commit or "").lower())[:SHORT]
    return f"{__version__}+g{short}" if short else __version__


def _operations(route: Route, models: list[LoadedModel]) -> Iterator[tuple[str, str, Operation]]:
    """Path, method in lower case, and operation of each operation of a route."""
    method = route.method.lower()
    match route.operation:
        case PerModel(operation=describe):
            for model in filter(route.operation.applies, models):
                path = route.path.replace(MODEL_NAME, model.name)
                yield (*_with_parameters(path, method, describe(model)),)
        case Undocumented():
            return
        case operation:
            yield route.path, method, operation


def _with_parameters(path: str, method: str, operation: Operation) -> tuple[str, str, Operation]:
    """The path of a route in the notation of OpenAPI, and its operation with the parameters."""
    names = _PARAMETER.findall(path)
    if not names:
        return path, method, operation
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": PARAMETERS[name],
        }
        for name in names
    ]
    operation = {**operation, "parameters": [*parameters, *operation.get("parameters", ())]}
    return _PARAMETER.sub(r"{\1}", path), method, operation


def _model_schemas(routes: list[Route], models: list[LoadedModel]) -> dict[str, Schema]:
    """The components that the operations of models refer to."""
    schemas: dict[str, Schema] = {}
    for route in routes:
        if isinstance(route.operation, PerModel):
            for model in filter(route.operation.applies, models):
                schemas |= route.operation.schemas(model)
    return schemas
