"""Errors as HTTP answers: problem details (RFC 9457) of one shape on every route.

This is the one place that knows the status codes of errors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from modelsync import errors

JSON = "application/json"
NO_MODEL = "no_model"
"""The reason of a service that is not ready because no model of its release loads."""

FIRST_SYNC = "first_sync"
"""The reason of a service that is not ready because its first sync is under way."""

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
    errors.RequestRejected: 422,
    errors.ModelUnavailable: 503,
    errors.Overloaded: 503,
    errors.DeadlineExceeded: 504,
    errors.NotFitted: 409,
    errors.UnknownVersion: 404,
    errors.VersionRefused: 409,
    errors.NotTrainable: 405,
    errors.DataInvalid: 422,
    errors.VersionConflict: 409,
    errors.UnknownJob: 404,
    errors.IdempotencyMismatch: 422,
    errors.JobsFull: 429,
    errors.RequestInProgress: 409,
    errors.RunInProgress: 409,
    errors.UnknownRun: 404,
}

STATUS_BY_REASON = (
    {"ok": 200}
    | {kind.reason: status for kind, status in STATUS.items() if kind is not errors.RequestRejected}
    | {errors.rejected_as(status): status for status in errors.RequestRejected.COUNTED}
)
"""The status of an answer by the reason in the counters."""

_PHRASES = {int(status): status.phrase for status in HTTPStatus}

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer.

    `headers` are those of this answer only; `version` is that of the model whose result the body
    is, else empty, and `stale` says that a newer one is broken.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: Headers = ()
    version: str = ""
    stale: bool = False


def status_of(error: errors.RequestError) -> int:
    """Return the status code of a request error."""
    if isinstance(error, errors.RequestRejected):
        return error.status
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def members(error: errors.RequestError) -> dict[str, Any]:
    """Return the members of a problem document that only this kind of error has."""
    match error:
        case errors.VariablesInvalid():
            return {"errors": [{"field": f.field, "message": f.message} for f in error.fields]}
        case errors.MalformedBody(position=int()):
            return {"position": error.position}
        case errors.UnknownModel() if error.near:
            return {"near": list(error.near)}
        case errors.ModelRaised() | errors.RequestRejected():
            return {"error": error.kind}
    return {}


def headers_of(error: errors.RequestError) -> Headers:
    """Return the headers that an error needs: `Retry-After` in seconds, `WWW-Authenticate`."""
    match error:
        case (
            errors.Overloaded(retry_after=seconds)
            | errors.JobsFull(retry_after=seconds)
            | errors.RequestInProgress(retry_after=seconds)
            | errors.ModelUnavailable(retry_after=int() as seconds)
        ):
            return (("Retry-After", str(seconds)),)
        case errors.NotTrainable():
            return (("Allow", ", ".join(error.allowed)),)
        case errors.Unauthenticated() | errors.RequestRejected(status=401):
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
    """Return the members of a problem document (RFC 9457 section 3.1).

    `model` and `release` are null without one. `more` are further members.
    """
    return {
        "title": _PHRASES.get(status, "Request Rejected"),
        "status": status,
        "detail": detail,
        "model": model,
        "release": release,
        "request_id": request_id,
        **more,
    }


def detail_of(answer: Answer) -> str:
    """Return the `detail` of an answer that is a problem document, else empty."""
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
    """Return the problem document of a request error."""
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
    """Return the answer of a request that failed with `error`."""
    body = of(error, request_id=request_id, model=model, release=release)
    return Answer(body["status"], _dump(body), PROBLEM, headers_of(error))


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a model's message may hold surrogates, which UTF-8 cannot encode
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
