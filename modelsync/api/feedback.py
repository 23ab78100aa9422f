"""`POST /<base>/<Model>/feedback`: clients tell what was true, so that accuracy can be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from flask import Response, request

from modelsync.api import replies
from modelsync.api.components import MOST_TRUTHS, reference
from modelsync.api.operations import Operation, operation, success
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.errors import InvalidField, MalformedBody, VariablesInvalid
from modelsync.models.types import LoadedModel, ModelName
from modelsync.problems import JSON
from modelsync.server.media_type import check_media_type
from modelsync.server.request_ids import acceptable

LONGEST = 10_000
"""Bytes of a truth as JSON."""

FORM = '{"request_id": "...", "truth": ...}, or {"feedback": [...]} with several of these'


def routes(context: Context) -> list[Route]:
    """The route of feedback."""

    def feedback(name: str) -> Response:
        context.require("predict")
        if ModelName(name) not in context.service.entries:
            context.service.dataplane.model(name)  # raises, with similar names
        check_media_type(
            request.headers.get("Content-Type"), request.headers.get("Content-Encoding")
        )
        truths = _truths(replies.body(context.service.settings.server.max_body))
        matched = context.store().catalog.tell_truths(name, truths)
        return replies.json({"accepted": len(truths), "matched": matched})

    about = PerModel(lambda model: _operation(context, model))
    return [Route("POST", f"{context.base}/{MODEL_NAME}/feedback", feedback, about)]


def _truths(body: bytes) -> dict[str, Any]:
    """What a body tells by request id; of one that comes twice, the last.

    Raises MalformedBody; VariablesInvalid with each entry that is wrong.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg}", error.pos) from None
    if isinstance(told, dict) and "feedback" in told:
        told, place = told["feedback"], "feedback.{}."
    else:
        place = "{}." if isinstance(told, list) else ""
    entries = told if isinstance(told, list) else [told]
    if not all(isinstance(one, dict) for one in entries):
        raise VariablesInvalid([InvalidField("feedback", f"expected {FORM}")])
    if len(entries) > MOST_TRUTHS:
        message = f"has {len(entries)} entries; a call may have {MOST_TRUTHS}"
        raise VariablesInvalid([InvalidField("feedback", message)])
    wrong = [
        InvalidField(f"{place.format(number)}{field}", message)
        for number, entry in enumerate(entries)
        for field, message in _faults(entry)
    ]
    if wrong:
        raise VariablesInvalid(wrong[:20])
    return {entry["request_id"]: entry["truth"] for entry in entries}


def _faults(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    identity = entry.get("request_id")
    if not isinstance(identity, str) or not acceptable(identity.encode(errors="replace")):
        came = "it is missing" if identity is None else f"came {str(identity)[:60]!r}"
        yield "request_id", f"expected the X-Request-ID of an answer; {came}"
    if entry.get("truth") is None:
        yield "truth", "expected what the prediction should have been; it is missing"
    elif len(orjson.dumps(entry["truth"])) > LONGEST:
        yield "truth", f"is longer than {LONGEST} bytes"


def _operation(context: Context, model: LoadedModel) -> Operation:
    """The Operation Object of a model's feedback."""
    example = {"request_id": "6bacf42b67030ba70000000a", "truth": 1}
    media = {"schema": reference("schemas", "modelsync.Feedback"), "example": example}
    return operation(
        f"feedback_{model.name}",
        "models",
        f"Tell {model.name} what was true",
        {"200": success("How many were accepted, and of how many the prediction is known")},
        problems=("400", "404", "413", "415", "422", "503"),
        needs_token=context.predict_needs_token,
        description="Live accuracy is computed of the requests that were sampled; a truth may come "
        "before its sample, and waits for it for a day.",
        requestBody={"required": True, "content": {JSON: media}},
    )
