"""`/<base>/<Model>/labels`: names for versions, such as stable and canary, which can move."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response

from modelsync.api import replies
from modelsync.api.operations import success
from modelsync.api.resource import MODEL_NAME, Context, Route
from modelsync.api.trained import TrainedModels
from modelsync.api.trained_operations import per_trained
from modelsync.errors import DataInvalid, MalformedBody, UnknownVersion
from modelsync.problems import JSON
from modelsync.training.training_request import valid_name

MAX_BODY = 64 * 1024
"""Bytes of the body that sets a label."""


def routes(context: Context) -> list[Route]:
    """The routes of labels."""
    trained = TrainedModels(context)
    path = f"{context.base}/{MODEL_NAME}/labels"

    def labels(name: str) -> Response:
        trained.require(name, "predict")
        return replies.json({"labels": trained.store().catalog.model(name).labels})

    def label_version(name: str, label: str) -> Response:
        trained.require(name, "train")
        valid_name(label, "label")
        catalog = trained.store().catalog
        version = catalog.version(name, _asked(replies.body(MAX_BODY)))
        catalog.set_label(name, label, version.number)
        found = {"label": label, "version": version.number, "key": version.key}
        return trained.when_settled(name, lambda: replies.json_answer(found))

    def remove(name: str, label: str) -> Response:
        trained.require(name, "train")
        catalog = trained.store().catalog
        if label not in catalog.model(name).labels:
            raise UnknownVersion(f"{name} has no label {label[:100]!r}")
        catalog.remove_label(name, label)
        message = {"message": f"the label {label} of {name} is removed"}
        return trained.when_settled(name, lambda: replies.json_answer(message))

    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"version": {"type": ["integer", "string"]}},
        "required": ["version"],
    }
    media = {"schema": schema, "example": {"version": 1}}
    return [
        Route("GET", path, labels, per_trained(context, "labels", "Labels of versions of {}")),
        Route(
            "PUT",
            f"{path}/<label>",
            label_version,
            per_trained(
                context,
                "label",
                "Let a label name a version of {}",
                {"200": success("The label and its version")},
                problems=("400", "404", "413", "422", "503"),
                scope="train",
                requestBody={"required": True, "content": {JSON: media}},
            ),
        ),
        Route(
            "DELETE",
            f"{path}/<label>",
            remove,
            per_trained(context, "remove_label", "Remove a label of {}", scope="train"),
        ),
    ]


def _asked(body: bytes) -> str:
    """The version that a body names. Raises MalformedBody, DataInvalid."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg}", error.pos) from None
    version = asked.get("version") if isinstance(asked, dict) else asked
    if isinstance(version, bool) or not isinstance(version, int | str) or version == "":
        raise DataInvalid('version: expected {"version": a number, a name or a label}')
    return str(version)
