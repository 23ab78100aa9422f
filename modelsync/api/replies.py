"""The id and the body of the current request, and the responses that views return."""

from __future__ import annotations

import orjson
from flask import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from modelsync import problems
from modelsync.errors import BodyTooLarge
from modelsync.problems import JSON, PROBLEM, Answer, Headers
from modelsync.server import request_ids


def request_id() -> str:
    """The id of the current request.

    Our worker assigns it before Flask is called. Otherwise it is the client's `X-Request-ID`, or a
    new one if that is missing or unsafe.
    """
    if "request_id" not in g:
        made: str | None = request.environ.get("modelsync.request_id")
        g.request_id = made or request_ids.request_id(request.headers.get(request_ids.HEADER))
    identity: str = g.request_id
    return identity


def body(limit: int) -> bytes:
    """The body of the current request, of at most `limit` bytes.

    Raises BodyTooLarge before more than that is in memory.
    """
    # One byte more than allowed, because werkzeug cuts a chunked body off at its limit without an
    # error.
    request.max_content_length = limit + 1
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        data = None
    if data is None or len(data) > limit:
        raise BodyTooLarge(f"the body is over {limit} bytes")
    return data


def respond(answer: Answer) -> Response:
    """An answer as a response of Flask."""
    return Response(
        answer.body, answer.status, list(answer.headers), content_type=answer.content_type
    )


def json(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON response."""
    return respond(json_answer(value, status, headers))


def json_answer(value: object, status: int = 200, headers: Headers = ()) -> Answer:
    """A JSON answer."""
    return Answer(status, orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), JSON, headers)


def problem(
    status: int, detail: str, *, model: str | None, release: str | None, headers: Headers = ()
) -> Response:
    """A problem document without a RequestError: for Flask's own errors, and for views that cannot
    do what was requested at present.
    """
    document = problems.document(
        status, detail, request_id=request_id(), model=model, release=release
    )
    return respond(Answer(status, orjson.dumps(document), PROBLEM, headers))
