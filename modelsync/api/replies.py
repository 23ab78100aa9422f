"""One Flask request and what is sent back: its id, its body within bounds, answers and problems as
responses.
"""

from __future__ import annotations

import orjson
from flask import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from modelsync import problems
from modelsync.errors import BodyTooLarge
from modelsync.problems import JSON, PROBLEM, Answer, Headers
from modelsync.server import request_ids


def request_id() -> str:
    """The id of the current request; the worker's, where it has made one already."""
    if "request_id" not in g:
        made: str | None = request.environ.get("modelsync.request_id")
        g.request_id = made or request_ids.request_id(request.headers.get(request_ids.HEADER))
    identity: str = g.request_id
    return identity


def body(limit: int) -> bytes:
    """The request's body, of at most `limit` bytes; raises BodyTooLarge before more than that is in
    memory.
    """
    # One byte more than allowed: of a chunked body werkzeug reads as far as its limit and says
    # nothing of the rest.
    request.max_content_length = limit + 1
    try:
        data = request.get_data(cache=False)
    except RequestEntityTooLarge:
        data = None
    if data is None or len(data) > limit:
        raise BodyTooLarge(f"the body is over {limit} bytes")
    return data


def respond(answer: Answer) -> Response:
    """An answer of the dataplane or a probe as Flask sends it."""
    return Response(
        answer.body, answer.status, list(answer.headers), content_type=answer.content_type
    )


def json(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """A JSON response."""
    return respond(
        Answer(status, orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), JSON, headers)
    )


def problem(
    status: int, detail: str, *, model: str | None, release: str | None, headers: Headers = ()
) -> Response:
    """A problem document for what is no RequestError: Flask's own errors, and what a route cannot
    do now.
    """
    document = problems.document(
        status, detail, request_id=request_id(), model=model, release=release
    )
    return respond(Answer(status, orjson.dumps(document), PROBLEM, headers))
