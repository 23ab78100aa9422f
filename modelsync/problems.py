"""Errors as HTTP answers: RFC 9457 problem details, one shape on every route, one place that knows
status codes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from modelsync import errors

JSON = "application/json"
PROBLEM = "application/problem+json"

STATUS: dict[type[errors.RequestError], int] = {
    errors.MalformedBody: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.UnknownModel: 404,
    errors.BodyTooLarge: 413,
    errors.UnsupportedBody: 415,
    errors.VariablesInvalid: 422,
    errors.ModelRaised: 500,
    errors.ModelUnavailable: 503,
    errors.Overloaded: 503,
    errors.DeadlineExceeded: 504,
}

STATUS_BY_REASON = {"ok": 200} | {kind.reason: status for kind, status in STATUS.items()}
"""The status of an answer by the reason under which it is counted."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, ready to be written.

    `headers` are those that belong to this answer alone, `version` is that of the model whose result
    it is.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Headers = ()
    version: str = ""


def status_of(error: errors.RequestError) -> int:
    """The status code of a request error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def members(error: errors.RequestError) -> dict[str, Any]:
    """What a problem of this kind tells besides its detail, for a program to read."""
    match error:
        case errors.VariablesInvalid():
            return {"errors": [{"field": f.field, "message": f.message} for f in error.fields]}
        case errors.MalformedBody(position=int()):
            return {"position": error.position}
        case errors.UnknownModel() if error.near:
            return {"near": list(error.near)}
        case errors.ModelRaised():
            return {"error": error.kind}
    return {}


def headers_of(error: errors.RequestError) -> Headers:
    """Headers that an error asks for: when to come back, how to authenticate."""
    match error:
        case (
            errors.Overloaded(retry_after=seconds)
            | errors.ModelUnavailable(retry_after=int() as seconds)
        ):
            return (("Retry-After", str(seconds)),)
        case errors.Unauthenticated():
            return (("WWW-Authenticate", "Bearer"),)
    return ()


def document(
    status: int,
    detail: str,
    *,
    request_id: str,
    model: str | None = None,
    release: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The members of a problem document (RFC 9457 section 3.1), `model` and `release` null where
    there is none.
    """
    return {
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "model": model,
        "release": release,
        "request_id": request_id,
        **more,
    }


def detail_of(answer: Answer) -> str:
    """What an answer says is the matter, where it is a problem document."""
    if answer.content_type != PROBLEM or not answer.body:
        return ""
    detail: str = orjson.loads(answer.body)["detail"]
    return detail


def of(
    error: errors.RequestError,
    *,
    request_id: str,
    model: str | None = None,
    release: str | None = None,
) -> dict[str, Any]:
    """The problem document of a request error."""
    return document(
        status_of(error),
        str(error),
        request_id=request_id,
        model=model,
        release=release,
        **members(error),
    )


def answer(
    error: errors.RequestError,
    *,
    request_id: str,
    model: str | None = None,
    release: str | None = None,
) -> Answer:
    """The answer to a request that failed with `error`."""
    body = of(error, request_id=request_id, model=model, release=release)
    return Answer(body["status"], _dump(body), PROBLEM, headers_of(error))


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a model's message may be text that UTF-8 has no bytes for
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
