"""One HTTP/1.1 connection: answers requests in their order and limits every wait for the client.

Pipelining and time limits are here; `RequestParser` parses the bytes. A request that breaks a rule
never reaches a model: it is answered with a problem, and the connection ends.
"""

from __future__ import annotations

import asyncio

from modelsync.problems import Answer
from modelsync.server.access_log import AccessLog
from modelsync.server.buffers import TOO_MANY_ANSWERS, TOO_MANY_BODIES
from modelsync.server.cached_head import KnownHead
from modelsync.server.head_cache import HeadCache
from modelsync.server.parser import RequestParser
from modelsync.server.pipeline import Pipeline
from modelsync.server.request import Exchange, Request
from modelsync.server.responses import Responses
from modelsync.server.router import Router
from modelsync.server.rules import ProtocolError
from modelsync.server.state import ServerState
from modelsync.server.streams import StreamedAnswer

LINGER = 2.0
"""Seconds for which a closing connection still reads (RFC 9112 section 9.6): a reset would destroy
the answer before the client reads it.
"""


class Connection(asyncio.Protocol):
    """One client; `deadline` is a time of the loop's clock, 0 if the client has nothing to do.
    `unread`: it leaves so much of its answers unread that nothing more is written.
    """

    __slots__ = (
        "_closing", "_exchanges", "_heads", "_known", "_log", "_parser", "_paused", "_pipeline",
        "_responses", "_router", "_state", "_unsent", "client", "deadline", "transport", "unread",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(
        self,
        state: ServerState,
        router: Router,
        responses: Responses,
        heads: HeadCache,
        log: AccessLog,
    ) -> None:
        self._state = state
        self._router = router
        self._responses = responses
        self._heads = heads
        self._known: KnownHead | None = None
        self._log = log
        self._pipeline = Pipeline(state.buffers, self, self._start)
        self._exchanges = self._pipeline.exchanges
        self._parser = RequestParser(self, state.max_body, state.uploads)
        self._closing = self._paused = self.unread = False
        self._unsent = 0
        self.client = b""
        self.deadline = 0.0

    # --- the transport's callbacks ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.client = str(peer[0]).encode() if isinstance(peer, tuple) else b""
        self._state.opened(self)
        self.deadline = self._state.now() + self._state.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.closed(self)
        self._closing = True
        self._parser.drop()
        self._pipeline.forget()

    def data_received(self, data: bytes) -> None:
        """Answer a request with a known head at once; give everything else to the parser."""
        if self._closing:
            return
        begins = not self._parser.in_message and not self._exchanges and not self.unread
        if begins:
            known = self._known  # most clients send the same head again and again
            if known is None or not data.startswith(known.data) or known.head.queue.replaced:
                known = self._known = self._heads.known(data)
            if known is not None and len(data) == known.size:
                self._heads.answer(self, known, data[len(known.data) :])
                return
        try:
            self._parser.feed(data, begins=begins)
        except ProtocolError as rejected:
            self._reject(rejected.status, rejected.detail)

    def eof_received(self) -> bool:
        """Keep the connection for the answers that are still due, else close it."""
        if due := bool(self._exchanges) and not self._parser.in_message:
            self._exchanges[-1].close = True
        return due

    def pause_writing(self) -> None:
        self.unread = True
        self._unsent = self.transport.get_write_buffer_size()
        self.deadline = self._state.now() + self._state.write_timeout
        self._pipeline.measure()
        self._update_reading()

    def resume_writing(self) -> None:
        self.unread = False
        self._pipeline.measure()
        if self._closing and not self._exchanges:
            self._expect(LINGER)
        elif self._parser.in_message:
            self._expect(self._state.receive_timeout(in_head=self._parser.in_head))
        else:
            self._expect(0.0)
        self._pipeline.go_on()
        self.flush()

    def _expect(self, seconds: float) -> None:
        """Limit the time for the client's next step, 0: it has none.
        While the client does not read its answers, the limit for that stays.
        """
        if not self.unread:
            self.deadline = self._state.now() + seconds if seconds else 0.0

    # --- events of the parser ---------------------------------------------------------------------

    def begun(self) -> None:
        """A request begins. Raises ProtocolError after the last request of the connection."""
        if self._ends():
            raise ProtocolError(400, "more data after Connection: close")
        self._expect(self._state.header_timeout)

    def head_read(self, *, waits: bool) -> None:
        """A head is complete; `waits`: the client sends the body after `100 Continue` only."""
        # While earlier answers are due nothing may be sent; the client sends its body anyway.
        if waits and not self._exchanges:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._expect(self._state.body_timeout)

    def growing(self) -> None:
        """A large body has become larger. Raises ProtocolError if there is no memory for it."""
        self._pipeline.measure()
        if not self._state.buffers.relieve():
            raise ProtocolError(503, TOO_MANY_BODIES)

    def received(self, request: Request, whole: bytes) -> None:
        """A request is complete; `whole` is its bytes if they came in one piece, else empty."""
        request.request_id = self._state.request_id(request.header(b"x-request-id"))
        if whole:
            self._heads.learn(whole, request)
        self.exchange(request)

    def exchange(self, request: Request) -> None:
        """Route a complete request; its answer follows those of the requests before it."""
        self._state.requests += 1
        exchange = Exchange(request)
        self._expect(0.0)
        self._pipeline.add(exchange)
        self._update_reading()

    def _start(self, exchange: Exchange) -> None:
        self._router.route(exchange.request, lambda answer: self.answered(exchange, answer))

    def wait(self, exchange: Exchange) -> None:
        self._exchanges.append(exchange)
        self.deadline = 0.0

    # --- answering --------------------------------------------------------------------------------

    def _reject(self, status: int, detail: str) -> None:
        """Send the answers that are due, then a problem, then end the connection."""
        request = self._parser.drop()
        if self._ends():
            return
        self._closing = True
        request.request_id = self._state.request_id(None)
        exchange = Exchange(request)
        self._exchanges.append(exchange)
        self._expect(0.0)
        self.answered(exchange, self._responses.problem(status, detail, request.request_id))

    def _ends(self) -> bool:
        """Return whether the last answer is already determined: further requests are ignored."""
        return self._closing or bool(self._exchanges and self._exchanges[-1].close)

    def timed_out(self) -> None:
        """End the connection, because the client has missed its deadline.

        A request that has begun gets a 408; a client that reads slowly, but reads, more time.
        """
        self.deadline = 0.0
        if self.unread and (unsent := self.transport.get_write_buffer_size()) < self._unsent:
            self._unsent = unsent  # slow, but it does read
            self.deadline = self._state.now() + self._state.write_timeout
        elif self._closing or self.unread:
            self.transport.abort()
        elif self._parser.goes_on():
            self._expect(self._state.body_timeout)
        elif self._parser.in_message:
            self._reject(408, "the request did not arrive in time")
        else:
            self.transport.close()

    def close_when_idle(self) -> None:
        """End the connection if no answer is due; one that is due says `Connection: close`."""
        if self.idle:
            self.transport.close()

    @property
    def idle(self) -> bool:
        """Whether no request has begun and no answer is due."""
        return not self._exchanges and not self._parser.in_message and not self._closing

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer of a request, after the answers of those before it."""
        if type(answer) is StreamedAnswer:
            self._pipeline.stream(exchange, answer)
        else:
            self.log_answer(exchange, answer)
        if self.transport.is_closing():
            return
        # Later requests of the pipeline are under way already: the last one ends the connection.
        last = not self._exchanges or exchange is self._exchanges[-1]
        exchange.close = exchange.close or (self._state.draining and last)
        exchange.output = self._responses.render(exchange.request, answer, close=exchange.close)
        self._queue(exchange)

    def finished(self, exchange: Exchange) -> None:
        """Send the `output` of an exchange that keeps the connection, in its order."""
        if self.transport.is_closing():
            return
        if len(self._exchanges) == 1 and not self.unread and not self._parser.in_message:
            self._exchanges.clear()
            self.deadline = self._state.idle_deadline
            # May set another deadline: that of a client that does not read.
            self.transport.write(exchange.output or b"")
        else:
            self._queue(exchange)

    def log_answer(self, exchange: Exchange, answer: Answer, size: int | None = None) -> None:
        model = self._router.model_at(exchange.request.path)
        self._log.answered(exchange.request, answer, self.client, model, size)

    def flush(self) -> None:
        """Write all answers up to the first that is not ready."""
        exchanges = self._exchanges
        while exchanges and (output := exchanges[0].output) is not None and not self.unread:
            self.transport.write(output)
            if self._pipeline.senders and self._pipeline.sends_body(exchanges[0]):
                return
            exchange = exchanges.popleft()
            if exchange.close:
                self._linger()
                return
        if self._pipeline.held:
            self._pipeline.measure()
        if self._pipeline.waiting:
            self._pipeline.start_waiting()
        if not exchanges and not self._parser.in_message and not self._closing:
            self._expect(self._state.idle_timeout)
        self._update_reading()

    def _queue(self, exchange: Exchange) -> None:
        """Send an answer in its turn; one for which there is no room becomes a 503."""
        if not self._pipeline.keep(exchange):
            exchange.output = self._responses.refusal(exchange, TOO_MANY_ANSWERS)
        self.flush()

    def unsent(self) -> int:
        """Return the bytes of the body that arrives, and of answers that the client must read."""
        unread = self.unread and not self.transport.is_closing()
        return self._parser.buffered + (self.transport.get_write_buffer_size() if unread else 0)

    def cut_off(self) -> None:
        """Disconnect the client, and forget its answers."""
        self._closing = True
        self.transport.abort()
        self._parser.drop()
        self._pipeline.forget()

    def _linger(self) -> None:
        """Send no more, but read and drop data, until the client closes or `LINGER` is over."""
        self._closing = True
        self._pipeline.forget()
        self._expect(LINGER)
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self.transport.write_eof()

    def _update_reading(self) -> None:
        """Pause reading while the client sends requests faster than it reads answers."""
        pause = self._pipeline.is_full or self.unread
        if pause is not self._paused and not self._closing and not self.transport.is_closing():
            self._paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()
