"""Heads of requests that have been seen before: the short way from a client that keeps its connection to a model.

Such a client sends the same bytes before each body, and the same bytes mean the same: the parser's verdict on them is
kept, and, for a second, that their token may predict. What is not plain sailing goes the long way, through `dispatch`.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from modelsync import errors
from modelsync.http.access import REREAD
from modelsync.http.messages import Exchange, Head, Request
from modelsync.http.pace import BRIEF, LIMIT
from modelsync.http.problems import Answer
from modelsync.http.request_ids import accepted

if TYPE_CHECKING:
    from modelsync.http.loopside import LoopModel
    from modelsync.http.protocol import Connection
    from modelsync.http.server import Server

MAX_HEADS = 1024
"""Heads that are remembered; over it all are forgotten, and learnt again as they come."""

MAX_SEEN = 8192
"""Heads of which it is remembered that they have been seen once."""

MAX_HEAD = 4096
"""Bytes of a head that is worth remembering."""

_NOT_AGAIN = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class Heads:
    """The heads that one server has learnt, in `known`, by their bytes."""

    def __init__(self, server: Server) -> None:
        self.known: dict[bytes, Head] = {}
        self._seen: set[int] = set()
        self._server = server
        self._log = server.log

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the head of a whole request that has come as `data`, so that the same bytes need no parser again."""
        end = data.find(b"\r\n\r\n") + 4
        plain = request.version == "1.1" and request.keep_alive and data.startswith(b"POST ")
        if not plain or len(data) != end + len(request.body) or end > MAX_HEAD:
            return
        # Only what comes a second time: a client whose every head is new (a trace id) must not pay for the others.
        mark = hash(data[:end])
        if mark not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return
        if any(name in _NOT_AGAIN for name, _ in request.headers):
            return
        if len(self.known) >= MAX_HEADS:
            self.known.clear()
        self.known[data[:end]] = self._read(request)

    def _read(self, request: Request) -> Head:
        head = Head(request, self._server.turn_of(request.path))
        if head.turn:
            given = request.header(b"x-request-id")
            head.request_id = (accepted(given.decode("latin-1") if given else None) or "").encode()
            version = head.turn.model.model.version
            head.fields = f"Content-Type: application/json\r\nX-Modelsync-Model-Version: {version}\r\n".encode()
            head.line = self._log.template(f"POST {request.path.decode('latin-1')}", head.turn.model.name)
        return head

    def answer(self, connection: Connection, head: Head, body: bytes) -> None:
        """Answer a request whose head is known: at once, or at the end of this turn of the loop with those like it."""
        started = perf_counter()
        server, turn = self._server, head.turn
        if turn is None or server.draining or not (started < head.admitted_until or self._admitted(head, started)):
            connection.exchange(head.again(body, started))
        elif (model := turn.model).brief and model.fast:
            server.requests += 1
            self._call(connection, head, model, body, started)
        elif model.fast or turn.batches:
            server.requests += 1
            repeat = Repeat(server, connection, head, body, started)
            connection.wait(repeat)
            turn.add(repeat)
        else:
            connection.exchange(head.again(body, started))

    def _call(self, connection: Connection, head: Head, model: LoopModel, body: bytes, started: float) -> None:
        server = self._server
        identity = head.request_id or server.new_id()
        try:
            payload = model.run(body)
        except BaseException as error:  # noqa: BLE001  the edge of the model's code: nothing of it may pass
            request = head.again(body, started)
            request.request_id = identity.decode()
            answer = model.failure(error, request.request_id)
            connection.transport.write(server.render(request, answer, close=False))
            seconds = perf_counter() - started
            model.observe(answer.status, seconds)
            server.answered(request, answer, connection.client)
        else:
            connection.transport.write(success(server.constant, identity, head.fields, payload))
            seconds = perf_counter() - started
            model.observe(200, seconds)
            if self._log.enabled:
                self._log.add_again(head.line, connection.client, identity, len(payload), seconds)
        if seconds > 2 * BRIEF:
            model.brief = False
            if seconds > LIMIT:
                model.slow(seconds)
        connection.deadline = server.idle_deadline

    def _admitted(self, head: Head, now: float) -> bool:
        """Whether requests with this head may predict; where not, `dispatch` finds out why."""
        try:
            self._server.admit(head.request)
        except errors.RequestError:
            return False
        head.admitted_until = now + REREAD
        return True


class Repeat(Exchange):
    """A request with a known head that waits for others: `turns.Waiting`."""

    __slots__ = ("_connection", "_head", "_server", "body", "started")

    def __init__(self, server: Server, connection: Connection, head: Head, body: bytes, started: float) -> None:
        super().__init__(head.request)
        self.body = body
        self.started = started
        self._head = head
        self._server = server
        self._connection = connection

    def identity(self) -> str:
        """The request's id; from now on it goes the long way."""
        if self.request is self._head.request:
            self.request = self._head.again(self.body, self.started)
            self.request.request_id = (self._head.request_id or self._server.new_id()).decode()
        return self.request.request_id

    def succeed(self, model: LoopModel, payload: bytes, seconds: float) -> None:
        """Answer with a result, `seconds` after it was asked for."""
        server, head = self._server, self._head
        if self.close or server.draining:
            self.answer(model.success(payload))
            return
        identity = head.request_id or server.new_id()
        self.output = success(server.constant, identity, head.fields, payload)
        self._connection.finished(self)
        if server.log.enabled:
            server.log.add_again(head.line, self._connection.client, identity, len(payload), seconds)

    def answer(self, answer: Answer) -> None:
        """Answer with anything else."""
        self.identity()
        self._connection.answered(self, answer)


def success(constant: bytes, identity: bytes, fields: bytes, payload: bytes) -> bytes:
    """The bytes of an answer with a result."""
    return b"HTTP/1.1 200 OK\r\n%bX-Request-ID: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (
        constant,
        identity,
        fields,
        len(payload),
        payload,
    )
