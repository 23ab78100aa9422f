"""Parses the bytes of one connection into requests, strictly and with limits on every size.

The grammar is that of llhttp in its strict mode (through httptools). `rules` checks what llhttp
leaves to the server.
"""

from __future__ import annotations

from time import perf_counter
from typing import IO, Protocol

import httptools

from modelsync.server.buffers import SMALL
from modelsync.server.request import Request
from modelsync.server.rules import (
    ProtocolError,
    check_credentials,
    check_fields,
    check_method,
    expects_continue,
    split_target,
    unknown_method,
)
from modelsync.server.uploads import IN_MEMORY, METHODS, Uploads

MAX_URL = 8 * 1024
"""Bytes of a request target."""

MAX_HEADERS = 100
"""Header fields of a request."""

MAX_HEADER_BYTES = 32 * 1024
"""Bytes of all header fields."""

MAX_FIELD_BYTES = MAX_URL + MAX_HEADER_BYTES
"""Bytes in a row that are no part of a body."""

CHUNKING = 8
"""The factor by which a chunked message may exceed its body; chunks of one byte make it six."""


class ParserEvents(Protocol):
    """Receives the parser's events; each method may raise ProtocolError."""

    def begun(self) -> None:
        """A request begins."""

    def head_read(self, *, waits: bool) -> None:
        """A head is complete; `waits`: the client sends the body after `100 Continue` only."""

    def growing(self) -> None:
        """A large body has become larger."""

    def received(self, request: Request, whole: bytes) -> None:
        """A request is complete; `whole` is its bytes if they came in one piece, else empty."""


class RequestParser:
    """Parses the requests of one connection; `max_body` is in bytes, for all but `uploads`.

    `in_message`: a request has begun and not ended; `in_head`: nor has its head.
    """

    __slots__ = (
        "_body", "_body_size", "_events", "_fields", "_header_bytes", "_largest", "_max_body",
        "_parser", "_received", "_request", "_seen", "_upload", "_uploads", "_url", "_whole",
        "in_head", "in_message",
    )  # fmt: skip

    def __init__(self, events: ParserEvents, max_body: int, uploads: Uploads | None) -> None:
        self._events = events
        self._max_body = self._largest = max_body
        self._uploads = uploads
        self._upload: IO[bytes] | None = None
        self._seen = 0
        self._parser = self._new_parser()
        self._request = Request()
        self._url = b""
        self._body: list[bytes] = []
        self._body_size = 0
        self._header_bytes = 0
        self._received = 0
        self._fields = 0
        self._whole = b""
        self.in_message = False
        self.in_head = False

    def feed(self, data: bytes, *, begins: bool) -> None:
        """Parse data; `begins`: it starts a request, and no answer is due before it.

        Raises ProtocolError; the parser must not be used afterwards.
        """
        self._whole = data if begins else b""
        while data:
            data = self._feed(data)
        self._whole = b""

    @property
    def buffered(self) -> int:
        """The bytes in memory of the body that is being received."""
        return self._body_size if self.in_message and self._upload is None else 0

    def goes_on(self) -> bool:
        """Return whether more of an upload has come since this was asked last."""
        seen, self._seen = self._seen, self._body_size
        return self._upload is not None and self._body_size > seen

    def drop(self) -> Request:
        """Drop the request that is being parsed, the last one; return the part that has been."""
        request = self._request if self.in_message else Request()
        request.keep_alive = False
        request.started = request.started or perf_counter()
        self.in_message = False
        self._body = []
        self._upload = None
        return request

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # Blanks before the semicolon of an extension are allowed (RFC 9112 section 7.1.1).
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)
        return parser

    def _feed(self, data: bytes) -> bytes:
        """Parse data; return the data that is left after a request for another protocol."""
        request, body_size = self._request if self.in_message else None, self._body_size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as failed:
            if isinstance(failed.__context__, ProtocolError):
                raise failed.__context__ from None
            raise
        except httptools.HttpParserInvalidMethodError:
            raise unknown_method(data) from None
        except httptools.HttpParserError as error:
            raise ProtocolError(400, f"malformed request: {error}") from None
        if self.in_message and self._request is request:  # all of it belonged to one message
            self._limit(len(data), grown=self._body_size != body_size)
        return b""

    def _limit(self, size: int, *, grown: bool) -> None:
        """Limit fields, chunk extensions and trailers that never end. Raises ProtocolError.

        `size` is in bytes; `grown`: these bytes held a part of the body.
        """
        self._received += size
        self._fields = 0 if grown else self._fields + size
        if self._fields > MAX_FIELD_BYTES:
            raise ProtocolError(
                431, f"fields, or a chunk's extension, are larger than {MAX_FIELD_BYTES} bytes"
            )
        if self._received > MAX_FIELD_BYTES + CHUNKING * self._largest:
            raise ProtocolError(
                413, f"the message is more than {CHUNKING} times larger than the largest body"
            )

    # --- the parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._events.begun()
        self._request = Request()
        self._request.started = perf_counter()
        self._url = b""
        self._body = []
        self._body_size = 0
        self._header_bytes = 0
        self._received = self._fields = self._seen = 0
        self._largest, self._upload = self._max_body, None
        self.in_message = self.in_head = True

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_URL:
            raise ProtocolError(414, f"the request target is longer than {MAX_URL} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if not self.in_head:
            return  # a trailer: fields after the body must not change what was decided before it
        value = (value or b"").rstrip(b" \t")
        self._header_bytes += len(name) + len(value) + 4
        headers = self._request.headers
        if self._header_bytes > MAX_HEADER_BYTES or len(headers) >= MAX_HEADERS:
            raise ProtocolError(
                431, f"more than {MAX_HEADERS} header fields or {MAX_HEADER_BYTES} bytes of them"
            )
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check a complete head, and decide how large the body may be."""
        request = self._request
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        check_method(request)
        if self._parser.should_upgrade():
            return
        split_target(request, self._url)
        length = check_fields(request)
        check_credentials(request)
        if request.method in METHODS and self._uploads:
            self._largest = self._uploads.largest(request, self._max_body)
        if length > self._largest:
            raise ProtocolError(413, f"the body is larger than {self._largest} bytes")
        self.in_head = False
        self._events.head_read(waits=expects_continue(request))

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._largest:
            raise ProtocolError(413, f"the body is larger than {self._largest} bytes")
        if self._upload is not None and self._uploads:
            self._uploads.write(self._upload, body)
            return
        self._body.append(body)
        if self._body_size > SMALL:
            if self._body_size > IN_MEMORY and self._uploads and self._request.method in METHODS:
                self._upload = self._uploads.open(self._body)
                self._body = []
            self._events.growing()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self.in_message = False
        request = self._request
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.upload, self._upload = self._upload, None
        self._body = []
        self._events.received(request, self._whole)

    def _without_upgrade(self, rest: bytes) -> bytes:
        """Return a request for another protocol without its `Upgrade`, as bytes for a new parser.

        A server may ignore that field (RFC 9110 section 7.8). llhttp stops at such a head and reads
        no body. `rest` is the data after the head.
        """
        method, version = self._parser.get_method(), self._parser.get_http_version()
        fields = [b"%s: %s" % field for field in self._request.headers if field[0] != b"upgrade"]
        head = b"\r\n".join(
            [b"%s %s HTTP/%s" % (method, self._url, version.encode()), *fields, b"", b""]
        )
        self._parser = self._new_parser()
        self._whole = b""
        return head + rest
