"""HTTP/1.1 on one connection: parse strictly, limit everything, answer in order.

The grammar is llhttp's in its strict mode (through httptools). What it leaves to the server is here: RFC 9112's rules
on Host, Content-Length, framing and pipelining, and limits in time and size. A request that breaks a rule is answered
with a problem and ends the connection; none reaches a model.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING

import httptools

from modelsync.http.problems import Answer

if TYPE_CHECKING:
    from modelsync.http.loopside import LoopModel
    from modelsync.http.server import Server

MAX_URL = 8 * 1024
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 * 1024
MAX_PIPELINED = 32
"""Requests of one connection that may be in work at once; reading pauses there."""

LINGER = 2.0
"""Seconds a closing connection still reads, so that the answer is not lost to a reset (RFC 9112 section 9.6)."""

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


class Rejected(Exception):
    """The request breaks the protocol or a limit: answer `status` and end the connection."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Request:
    """One request as it came; header names are in lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query", "request_id", "started", "version")

    def __init__(self) -> None:
        self.method = b""
        self.path = b""
        self.query = b""
        self.version = "1.1"
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.keep_alive = True
        self.request_id = ""
        self.started = 0.0

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, None where there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Head:
    """A request's head that has been parsed once: what was found out about exactly these bytes.

    Clients that keep a connection send the same head again and again, and the same bytes mean the same. `length` of the
    body in bytes; `admitted_until`, a time of `perf_counter`, says how long nobody needs to ask again whether its token
    may predict.
    """

    __slots__ = ("admitted_until", "fields", "length", "line", "model", "request", "request_id")

    def __init__(self, request: Request, model: LoopModel | None) -> None:
        self.request = request
        self.length = len(request.body)
        self.model = model
        self.admitted_until = 0.0
        self.fields = b""
        self.line = b""
        self.request_id = b""

    def again(self, body: bytes, started: float) -> Request:
        """A request with this head."""
        known, request = self.request, Request()
        request.method, request.path, request.query = known.method, known.path, known.query
        request.headers = known.headers
        request.body = body
        request.started = started
        return request


class Exchange:
    """A request and the bytes of its answer, once there is one."""

    __slots__ = ("close", "output", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.output: bytes | None = None
        self.close = not request.keep_alive


class Connection(asyncio.Protocol):
    """One client. `deadline` is a time of the loop's clock, 0 where nothing is awaited from the client."""

    __slots__ = (
        "_body", "_body_size", "_closing", "_exchanges", "_header_bytes", "_in_message", "_parser", "_paused",
        "_request", "_server", "_unsent", "_url", "_whole", "_writable", "client", "deadline", "transport",
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
        self._in_message = False
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
        self._server.connections.add(self)
        self.deadline = self._server.now() + self._server.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._closing = True
        self._exchanges.clear()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._in_message and not self._exchanges and self._writable:
            end = data.find(b"\r\n\r\n") + 4
            head = self._server.heads.get(data[:end])
            if head is not None and len(data) == end + head.length:
                self._server.known(self, head, data[end:])
                return
            self._whole = data
        self._parse(data)
        self._whole = b""

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            reason = error.__context__
            if not isinstance(reason, Rejected):
                raise
            self._reject(reason.status, reason.detail)
        except httptools.HttpParserInvalidMethodError:
            self._reject(400, "unknown method")
        except httptools.HttpParserError as error:
            self._reject(400, f"malformed request: {error}")

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
        self.deadline = 0.0
        self._flush()

    # --- the parser's callbacks -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._exchanges and self._exchanges[-1].close:
            raise Rejected(400, "more data after Connection: close")
        self._request = Request()
        self._request.started = perf_counter()
        self._url = b""
        self._body = []
        self._body_size = 0
        self._header_bytes = 0
        self._in_message = True
        self.deadline = self._server.now() + self._server.header_timeout

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > MAX_URL:
            raise Rejected(414, f"the request target is longer than {MAX_URL} bytes")

    def on_header(self, name: bytes, value: bytes | None) -> None:
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
        self._check_method()
        if self._parser.should_upgrade():
            return
        self._split_target()
        length = self._check_fields()
        if length > self._server.max_body:
            raise Rejected(413, f"the body is larger than {self._server.max_body} bytes")
        self.deadline = self._server.now() + self._server.body_timeout

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > self._server.max_body:
            raise Rejected(413, f"the body is larger than {self._server.max_body} bytes")
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self._in_message = False
        self.deadline = 0.0
        request = self._request
        request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._whole:
            self._server.learn(self._whole, request)
        self.exchange(request)

    def exchange(self, request: Request) -> None:
        """Have a whole request answered, after those before it."""
        request.request_id = self._server.request_id(request.header(b"x-request-id"))
        exchange = Exchange(request)
        self._exchanges.append(exchange)
        self._server.dispatch(request, lambda answer: self._answered(exchange, answer))
        self._update_reading()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read a request that asks for another protocol as if it did not, which RFC 9110 section 7.8 allows.

        llhttp ends at such a head and takes no body, so the head goes through a new parser without its `Upgrade`.
        """
        method, version = self._parser.get_method(), self._parser.get_http_version()
        fields = [b"%s: %s" % field for field in self._request.headers if field[0] != b"upgrade"]
        head = b"\r\n".join([b"%s %s HTTP/%s" % (method, self._url, version.encode()), *fields, b"", b""])
        self._parser = httptools.HttpRequestParser(self)
        self._whole = b""
        self._parse(head + rest)

    # --- the rules that llhttp leaves to the server -----------------------------------------------------------------

    def _check_method(self) -> None:
        if self._request.method not in METHODS:
            raise Rejected(501, "this server does not know the method")
        if self._request.version not in ("1.1", "1.0"):
            raise Rejected(505, "this server speaks HTTP/1.1")

    def _split_target(self) -> None:
        """The path and the query of the request target, in origin or absolute form (RFC 9112 section 3.2)."""
        target = self._url
        if not target.startswith(b"/"):
            if target == b"*" and self._request.method == b"OPTIONS":
                self._request.path = b"*"
                return
            scheme, separator, rest = target.partition(b"://")
            if not separator or scheme.lower() not in (b"http", b"https"):
                raise Rejected(400, "the request target must start with a slash")
            slash = rest.find(b"/")
            target = rest[slash:] if slash >= 0 else b"/"
        if b"#" in target or any(byte <= 32 or byte >= 127 for byte in target):
            raise Rejected(400, "the request target holds a character that must be escaped")
        self._request.path, _, self._request.query = target.partition(b"?")

    def _check_fields(self) -> int:
        """Check Host, framing and expectations; returns the announced length of the body, 0 where there is none."""
        hosts = lengths = codings = 0
        length = 0
        expect = b""
        for name, value in self._request.headers:
            if name == b"host":
                hosts += 1
                if b"@" in value or b"/" in value or b" " in value or b"," in value:
                    raise Rejected(400, "the Host header is malformed")
            elif name == b"content-length":
                lengths += 1
                length = int(value) if value.isdigit() and len(value) < 19 else -1
            elif name == b"transfer-encoding":
                codings += 1
                if value.lower() != b"chunked":
                    raise Rejected(501, "the only transfer coding this server knows is chunked")
            elif name == b"expect":
                expect = value.lower()
            if b"\0" in value or b"\r" in value or b"\n" in value:
                raise Rejected(400, "a header holds a control character")
        if hosts > 1 or (hosts == 0 and self._request.version == "1.1"):
            raise Rejected(400, "a request needs exactly one Host header")
        if lengths > 1 or length < 0 or codings > 1 or (lengths and codings):
            raise Rejected(400, "the length of the body is given in more than one way or malformed")
        if codings and self._request.version == "1.0":
            raise Rejected(400, "HTTP/1.0 has no transfer codings")
        if expect:
            self._expect(expect, length)
        return length

    def _expect(self, expect: bytes, length: int) -> None:
        if expect != b"100-continue":
            raise Rejected(417, "the only expectation this server knows is 100-continue")
        # Behind unanswered requests the client hears nothing and sends its body anyway (RFC 9110 section 10.1.1).
        if length <= self._server.max_body and not self._exchanges and self._request.version == "1.1":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # --- answering --------------------------------------------------------------------------------------------------

    def _reject(self, status: int, detail: str) -> None:
        """Answer what is due, then this problem, then end the connection."""
        request = self._request if self._in_message else Request()
        self._in_message = False
        self._closing = True
        request.keep_alive = False
        request.request_id = self._server.request_id(None)
        request.started = request.started or perf_counter()
        exchange = Exchange(request)
        self._exchanges.append(exchange)
        self._answered(exchange, self._server.problem(status, detail, request))

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

    def _answered(self, exchange: Exchange, answer: Answer) -> None:
        if self.transport.is_closing():
            return
        exchange.close = exchange.close or self._server.draining
        exchange.output = self._server.render(exchange.request, answer, close=exchange.close)
        self._server.answered(exchange.request, answer, self.client)
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
        if not exchanges and not self._in_message and self._writable:
            self.deadline = self._server.now() + self._server.idle_timeout
        self._update_reading()

    def _linger(self) -> None:
        """Send no more, and read and drop what is still on its way, until the client closes or LINGER is over."""
        self._closing = True
        self._exchanges.clear()
        self.deadline = self._server.now() + LINGER
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
