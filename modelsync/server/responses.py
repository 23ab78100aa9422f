"""Renders the bytes of answers; all response headers of modelsync are named and written here.

For successes with a cached head, most fields are rendered once and reused; all other answers are
rendered field by field. Both ways give the same fields in the same order.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import orjson

from modelsync import problems
from modelsync.problems import Answer
from modelsync.server import cors
from modelsync.server.cors import Cors
from modelsync.server.request import Exchange, Request
from modelsync.server.request_ids import HEADER as REQUEST_ID
from modelsync.server.streams import StreamedAnswer

RELEASE = "X-Modelsync-Release"
MODEL_VERSION = "X-Modelsync-Model-Version"
STALE = ("X-Modelsync-Model-State", "stale")
"""The field of answers by an earlier version of a model, whose newest one is broken."""

RENDERED = frozenset(
    name.lower()
    for name in (
        "Content-Length",
        "Content-Type",
        "Connection",
        "Date",
        "Server",
        REQUEST_ID,
        RELEASE,
        cors.ALLOW_ORIGIN,
        cors.CREDENTIALS,
        cors.EXPOSE,
    )
)
"""Fields, in lower case, that `Responses` writes itself instead of those of a WSGI application."""

_PHRASES: Final = {int(status): status.phrase.encode() for status in HTTPStatus}


def signature(
    request_id: str, release: str | None, version: str | None, *, stale: bool = False
) -> dict[str, str]:
    """Return the fields that name the request, the release and the model version of an answer."""
    fields = {REQUEST_ID: request_id, RELEASE: release, MODEL_VERSION: version}
    found = {name: value for name, value in fields.items() if value}
    return found | dict([STALE]) if stale else found


class Responses:
    """Renders the answers of one worker; `release` is the commit that serves, `origins` are those
    whose pages may read answers.
    """

    def __init__(self, release: str | None, origins: tuple[str, ...] = ()) -> None:
        self.release = release
        self.cors = Cors(origins)
        self._release = f"{RELEASE}: {release}\r\n" if release else ""
        self._constant = self._success = b""
        self.tick()

    def tick(self) -> None:
        """Update the date; called a few times a second."""
        self._constant = f"Date: {formatdate(usegmt=True)}\r\n{self._release}".encode()
        self._success = b"HTTP/1.1 200 OK\r\n%bX-Request-ID: " % self._constant

    def render(self, request: Request, answer: Answer, *, close: bool) -> bytes:
        """Return the bytes of an answer, head and body; `close` ends the connection.

        Those of a streamed answer are its head alone.
        """
        head = [
            b"HTTP/1.1 %d %s\r\n" % (answer.status, _PHRASES.get(answer.status, b"")),
            self._constant,
            _field(REQUEST_ID, request.request_id),
        ]
        if answer.content_type:
            head.append(_field("Content-Type", answer.content_type))
        if answer.version:
            head.append(_field(MODEL_VERSION, answer.version))
        if answer.stale:
            head.append(_field(*STALE))
        if type(answer) is StreamedAnswer:
            head.append(_framing(answer, request))
        elif answer.status != 304 and answer.status != 204:
            head.append(b"Content-Length: %d\r\n" % len(answer.body))
        head.extend(_field(name, value) for name, value in answer.headers)
        if self.cors.enabled:
            head.append(self._cors_fields(request, answer.headers))
        if close:
            head.append(b"Connection: close\r\n")
        elif request.version == "1.0":
            head.append(b"Connection: keep-alive\r\n")
        head.append(b"\r\n")
        if request.method != b"HEAD" and type(answer) is not StreamedAnswer:
            head.append(answer.body)
        return b"".join(head)

    def refusal(self, exchange: Exchange, detail: str) -> bytes:
        """Return the bytes of a 503 in place of an answer for which there is no room."""
        answer = self.problem(503, detail, exchange.request.request_id)
        return self.render(exchange.request, answer, close=exchange.close)

    def success_fields(self, version: str, request: Request, *, stale: bool = False) -> bytes:
        """Return the fields of all successful answers of one version of a model to requests with
        this head; they end the line of the request id.
        """
        fields = _field("Content-Type", problems.JSON) + _field(MODEL_VERSION, version)
        state = _field(*STALE) if stale else b""
        return b"\r\n" + fields + state + self._cors_fields(request)

    def _cors_fields(self, request: Request, known: problems.Headers = ()) -> bytes:
        fields = self.cors.fields(cors.text(request.header(b"origin")))
        return b"".join(_field(*field) for field in fields if field not in known)

    def success(self, request_id: bytes, fields: bytes, payload: bytes) -> bytes:
        """Return the bytes of an answer with a result; `fields` are those of `success_fields`."""
        size = len(payload)
        length = _LENGTHS[size] if size < _MAX_LENGTHS else _length(size)
        return b"".join((self._success, request_id, fields, length, payload))

    def problem(self, status: int, detail: str, request_id: str) -> Answer:
        """Return the answer to a request that breaks the protocol."""
        body = problems.document(status, detail, request_id=request_id, release=self.release)
        headers = (("Retry-After", "1"),) if status == 503 else ()
        return Answer(status, orjson.dumps(body), problems.PROBLEM, headers)


def _length(size: int) -> bytes:
    """Return the last field of a head, and its end."""
    return b"Content-Length: %d\r\n\r\n" % size


_MAX_LENGTHS: Final = 1024
_LENGTHS: Final = [_length(size) for size in range(_MAX_LENGTHS)]


def _framing(answer: StreamedAnswer, request: Request) -> bytes:
    """Return the field from which the client learns where a streamed body ends (RFC 9112 section
    6); an HTTP/1.0 client learns it from the end of the connection.
    """
    if answer.length is not None:
        return b"Content-Length: %d\r\n" % answer.length
    return b"" if request.version == "1.0" else b"Transfer-Encoding: chunked\r\n"


def _field(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("latin-1")
