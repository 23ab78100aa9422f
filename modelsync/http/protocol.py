"""HTTP/1.1 on one connection: parse strictly, limit everything, answer in order.

The grammar is llhttp's in its strict mode (through httptools). What it leaves to the server is in
`rules`; pipelining and the limits in time and size are here. A request that breaks a rule is answered
with a problem and ends the connection; none reaches a model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING

import httptools

from modelsync.http.messages import Exchange, Request
from modelsync.http.problems import Answer
from modelsync.http.rules import Rejected, check_fields, check_method, expects_continue, split_target

if TYPE_CHECKING:
    from modelsync.http.server import Server

MAX_URL = 8 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
CHUNKING = 8
"""How many times larger than its body a chunked message may be: a byte in a chunk of its own takes six."""

MAX_PIPELINED = 32
"""Requests of one connection that may be in work at once; reading pauses there."""

LINGER = 2.0
"""Seconds a closing connection still reads, so that the answer is not lost to a reset (RFC 9112 section 9.6)."""


class Connection(asyncio.Protocol):
    """One client. `deadline` is a time of the loop's clock, 0 where nothing is awaited from the client."""

    __slots__ = (
        "_body", "_body_size", "_closing", "_exchanges", "_fields", "_header_bytes", "_in_head", "_in_message",
        "_parser", "_paused", "_received", "_request", "_server", "_unsent", "_url", "_whole", "_writable",
        "client", "deadline", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._exchanges: deque[Exchange] = deque()
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._url = b""
        self._body: list[bytes] = []
        self._body_size = 0
        self._header_bytes = 0
        self._received = 0
        self._fields = 0
        self._in_message = False
        self._in_head = False
        self._closing = False
        self._paused = False
        self._writable = True
        self._unsent = 0
        self._whole = b""  # what has just come, where a request began with it
        self.client = b""
        self.deadline = 0.0

    # --- the transport's callbacks ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]).encode() if isinstance(peer, tuple) else b""
        self._server.opened(self)
        self.deadline = self._server.now() + self._server.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)
        self._closing = True
        self._exchanges.clear()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._in_message and not self._exchanges and self._writable:
            end = data.find(b"\r\n\r\n") + 4
            heads = self._server.heads
            known = heads.known.get(data[:end]) or heads.like(data[:end])
            if known is not None:
                head, length, request_id = known
                if len(data) == end + length:
                    heads.answer(self, head, data[end:], request_id)
                    return
            self._whole = data
        self._parse(data)
        self._whole = b""

    def _parse(self, data: bytes) -> None:
        while data:
            data = self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        """Parse; returns what is to be parsed after a request for another protocol."""
        request, body_size = self._request if self._in_message else None, self._body_size
        try:
            self._parser.feed_data(data)
            if self._in_message and self._request is request:  # all of it belonged to one message
                self._limit(len(data), grown=self._body_size != body_size)
        except httptools.HttpParserUpgrade as upgrade:
            return self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, Rejected):
                raise
            self._reject(reason.status, reason.detail)
        except Rejected as rejected:
            self._reject(rejected.status, rejected.detail)
        except httptools.HttpParserInvalidMethodError:
            self._reject(400, "unknown method")
        except httptools.HttpParserError as error:
            self._reject(400, f"malformed request: {error}")
        return b""

    def _limit(self, size: int, *, grown: bool) -> None:
        """Bound what the parser may hold of fields, chunk extensions and trailers that never end.

        `grown`: there was more of the body among these bytes.
        """
        self._received += size
        self._fields = 0 if grown else self._fields + size
        if self._fields > MAX_URL + MAX_HEADER_BYTES:
            raise Rejected(431, f"fields, or a chunk's extension, are larger than {MAX_URL + MAX_HEADER_BYTES} bytes")
        if self._received > MAX_URL + MAX_HEADER_BYTES + CHUNKING * self._server.max_body:
            raise Rejected(413, f"the message is more than {CHUNKING} times larger than the largest body")

    def eof_received(self) -> bool:
        """Keep the connection for the answers that are still due, else close it."""
        if self._in_message or not self._exchanges:
            return False
        self._exchanges[-1].close = True
        return True

    def pause_writing(self) -> None:
        self._writable = False
        self._unsent = self.transport.get_write_buffer_size()
        self.deadline = self._server.now() + self._server.write_timeout
        self._update_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self._closing and not self._exchanges:
            self._expect(LINGER)
        elif self._in_message:
            self._expect(self._server.header_timeout if self._in_head else self._server.body_timeout)
        else:
            self._expect(0.0)
        self._flush()

    def _expect(self, seconds: float) -> None:
        """Give the client so long for what it has to do next, 0: nothing; first it has to read what is sent to it."""
        if self._writable:
            self.deadline = self._server.now() + seconds if seconds else 0.0

    # --- the parser's callbacks -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._ends():
            raise Rejected(400, "more data after Connection: close")
        self._request = Request()
        self._request.started = perf_counter()
        self._url = b""
        self._body = []
        self._body_size = 0
        self._header_bytes = 0
        self._received = self._fields = 0
        self._in_message = self._in_head = True
        self._expect(self._server.header_timeout)

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_URL:
            raise Rejected(414, f"the request target is longer than {MAX_URL} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if not self._in_head:
            return  # a trailer: nothing that comes after the body may change what was decided before it
        value = (value or b"").rstrip(b" \t")
        self._header_bytes += len(name) + len(value) + 4
        headers = self._request.headers
        if self._header_bytes > MAX_HEADER_BYTES or len(headers) >= MAX_HEADERS:
            raise Rejected(431, f"more than {MAX_HEADERS} header fields or {MAX_HEADER_BYTES} bytes of them")
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method()
        request.version = self._parser.get_http_version()
        request.keep_alive = self._parser.should_keep_alive()
        check_method(request)
        if self._parser.should_upgrade():
            return
        split_target(request, self._url)
        if check_fields(request) > self._server.max_body:
            raise Rejected(413, f"the body is larger than {self._server.max_body} bytes")
        # Behind unanswered requests the client hears nothing, and sends its body anyway.
        if expects_continue(request) and not self._exchanges:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._in_head = False
        self._expect(self._server.body_timeout)

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._server.max_body:
            raise Rejected(413, f"the body is larger than {self._server.max_body} bytes")
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self._in_message = False
        request = self._request
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request.request_id = self._server.request_id(request.header(b"x-request-id"))
        if self._whole:
            self._server.heads.learn(self._whole, request)
        self.exchange(request)

    def exchange(self, request: Request) -> None:
        """Have a whole request answered, after those before it."""
        exchange = Exchange(request)
        self._exchanges.append(exchange)
        self._expect(0.0)
        self._server.dispatch(request, lambda answer: self.answered(exchange, answer))
        self._update_reading()

    def wait(self, exchange: Exchange) -> None:
        """Take note of a request whose answer comes later; `answered` or `finished` gives it."""
        self._exchanges.append(exchange)
        self.deadline = 0.0

    def _ignore_upgrade(self, rest: bytes) -> bytes:
        """Read a request that asks for another protocol as if it did not, which RFC 9110 section 7.8 allows.

        llhttp ends at such a head and takes no body, so the head goes through a new parser without its `Upgrade`.
        """
        method, version = self._parser.get_method(), self._parser.get_http_version()
        fields = [b"%s: %s" % field for field in self._request.headers if field[0] != b"upgrade"]
        head = b"\r\n".join([b"%s %s HTTP/%s" % (method, self._url, version.encode()), *fields, b"", b""])
        self._parser = httptools.HttpRequestParser(self)
        self._whole = b""
        return head + rest

    # --- answering --------------------------------------------------------------------------------------------------

    def _reject(self, status: int, detail: str) -> None:
        """Answer what is due, then this problem, then end the connection."""
        request = self._request if self._in_message else Request()
        self._in_message = False
        if self._ends():
            return
        self._closing = True
        request.keep_alive = False
        request.request_id = self._server.request_id(None)
        request.started = request.started or perf_counter()
        exchange = Exchange(request)
        self._exchanges.append(exchange)
        self._expect(0.0)
        self.answered(exchange, self._server.problem(status, detail, request))

    def _ends(self) -> bool:
        """Whether nothing is said any more behind what is due: what still comes is for nobody."""
        return self._closing or bool(self._exchanges and self._exchanges[-1].close)

    def timed_out(self) -> None:
        """The client did not do in time what it had to: tell it where that makes sense, and end the connection."""
        self.deadline = 0.0
        if not self._writable and (unsent := self.transport.get_write_buffer_size()) < self._unsent:
            self._unsent = unsent  # slow, but it reads
            self.deadline = self._server.now() + self._server.write_timeout
        elif self._closing or not self._writable:
            self.transport.abort()
        elif self._in_message:
            self._reject(408, "the request did not arrive in time")
        else:
            self.transport.close()

    def close_when_idle(self) -> None:
        """End the connection now if nothing is due on it; what is due says `Connection: close` anyway."""
        if not self._exchanges and not self._in_message and not self._closing:
            self.transport.close()

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Answer a request that waits, when those before it have been."""
        self._server.answered(exchange.request, answer, self.client)
        if self.transport.is_closing():
            return
        # Those behind it in the pipeline are in work already: the last one ends the connection.
        last = not self._exchanges or exchange is self._exchanges[-1]
        exchange.close = exchange.close or (self._server.draining and last)
        exchange.output = self._server.render(exchange.request, answer, close=exchange.close)
        self._flush()

    def finished(self, exchange: Exchange) -> None:
        """`answered` for an exchange that has its output and keeps the connection."""
        if self.transport.is_closing():
            return
        if len(self._exchanges) == 1 and self._writable and not self._in_message:
            self._exchanges.clear()
            self.deadline = self._server.idle_deadline
            self.transport.write(exchange.output or b"")  # may set another: a client that does not read
        else:
            self._flush()

    def _flush(self) -> None:
        """Write the answers whose turn it is."""
        exchanges = self._exchanges
        while exchanges and (output := exchanges[0].output) is not None and self._writable:
            exchange = exchanges.popleft()
            self.transport.write(output)
            if exchange.close:
                self._linger()
                return
        if not exchanges and not self._in_message and not self._closing:
            self._expect(self._server.idle_timeout)
        self._update_reading()

    def _linger(self) -> None:
        """Send no more, and read and drop what is still on its way, until the client closes or LINGER is over."""
        self._closing = True
        self._exchanges.clear()
        self._expect(LINGER)
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _update_reading(self) -> None:
        """Stop reading while the client asks faster than it takes answers."""
        pause = len(self._exchanges) >= MAX_PIPELINED or not self._writable
        if pause is not self._paused and not self._closing and not self.transport.is_closing():
            self._paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()
