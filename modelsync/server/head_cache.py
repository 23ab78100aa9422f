"""HeadCache of requests like some that have been seen before: the short way from a client to a
model.

What the parser and the rules have found out about a head holds for all heads of the same `essence`;
and, for a second, that their token may predict. What is not plain sailing goes the long way,
through `dispatch`.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from modelsync import errors
from modelsync.inference.latency import INLINE_MAX, LOOP_MAX
from modelsync.problems import Answer
from modelsync.server.auth import REREAD
from modelsync.server.head_key import DECISIVE, head_key
from modelsync.server.request import CachedHead, Exchange, Request

if TYPE_CHECKING:
    from modelsync.inference.batcher import RequestQueue
    from modelsync.inference.loop_executor import LoopModel
    from modelsync.server.connection import Connection
    from modelsync.server.server import Server

MAX_HEADS = 1024
"""HeadCache that are remembered; over it all are forgotten, and learnt again as they come."""

MAX_SEEN = 8192
"""HeadCache of which it is remembered that they have been seen once."""

_NOT_AGAIN = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


Known = tuple[CachedHead, int, bytes]
"""What is known of a request by its head: what it shares with others, the bytes of its body, the
client's own id for it, empty without one.
"""


class HeadCache:
    """The heads that one server has learnt: in `known` by their bytes."""

    def __init__(self, server: Server) -> None:
        self.known: dict[bytes, Known] = {}
        self._alike: dict[bytes, CachedHead] = {}
        self._seen: set[int] = set()
        self._server = server
        self._log = server.log

    def like(self, data: bytes) -> Known | None:
        """What is known of a head that may have come never before, from one with the same essence.
        """
        found = head_key(data)
        if found is None:
            return None
        key, length, request_id = found
        head = self._alike.get(key)
        if head is None or length > self._server.max_body:
            return None
        known = head, length, request_id
        if self._seen_before(data):
            if len(self.known) >= MAX_HEADS:
                self.known.clear()
            self.known[data] = known
        return known

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the head of a whole request that has come as `data`: those like it need no
        parser.
        """
        end = data.find(b"\r\n\r\n") + 4
        if (
            request.version != "1.1"
            or not request.keep_alive
            or len(data) != end + len(request.body)
        ):
            return
        if any(name in _NOT_AGAIN for name, _ in request.headers):
            return
        turn = self._server.turn_of(request.path)
        if turn is None:  # all other routes may look at any field
            return
        found = head_key(data[:end])
        if found is None or not self._seen_before(found[0]):
            return
        if len(self._alike) >= MAX_HEADS:
            self._alike.clear()
        self._alike[found[0]] = self._read(request, turn)

    def _seen_before(self, data: bytes) -> bool:
        """Whether these bytes come again: what comes once only must not push out the others."""
        mark = hash(data)
        if mark in self._seen:
            return True
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def _read(self, request: Request, turn: RequestQueue) -> CachedHead:
        general = Request()
        general.method, general.path, general.query = request.method, request.path, request.query
        general.headers = [field for field in request.headers if field[0] in DECISIVE]
        head = CachedHead(general, turn)
        version = turn.model.model.version
        head.fields = (
            f"Content-Type: application/json\r\nX-Modelsync-Model-Version: {version}\r\n".encode()
        )
        head.line = self._log.template(f"POST {request.path.decode('latin-1')}", turn.model.name)
        return head

    def answer(
        self, connection: Connection, head: CachedHead, body: bytes, request_id: bytes
    ) -> None:
        """Answer a request whose head is known: at once, or at the end of this turn of the loop
        with those like it.
        """
        started = perf_counter()
        server, turn = self._server, head.turn
        identity = request_id or server.new_id()
        if server.draining or not (started < head.admitted_until or self._admitted(head, started)):
            connection.exchange(head.again(body, identity, started))
        elif (model := turn.model).brief and model.fast:
            server.requests += 1
            self._call(connection, head, model, body, identity, started)
        elif model.fast or turn.batches:
            server.requests += 1
            repeat = CachedExchange(server, connection, head, body, identity, started)
            connection.wait(repeat)
            turn.add(repeat)
        else:
            connection.exchange(head.again(body, identity, started))

    def _call(
        self,
        connection: Connection,
        head: CachedHead,
        model: LoopModel,
        body: bytes,
        identity: bytes,
        started: float,
    ) -> None:
        server = self._server
        try:
            payload = model.run(body)
        except BaseException as error:  # noqa: BLE001  the edge of the model's code: nothing of it may pass
            request = head.again(body, identity, started)
            answer = model.failure(error, request.request_id)
            connection.deadline = server.idle_deadline
            connection.transport.write(server.render(request, answer, close=False))
            seconds = perf_counter() - started
            model.observe(answer.status, seconds)
            server.answered(request, answer, connection.client)
        else:
            connection.deadline = server.idle_deadline
            connection.transport.write(success(server.constant, identity, head.fields, payload))
            seconds = perf_counter() - started
            model.observe(200, seconds)
            if self._log.enabled:
                self._log.add_again(head.line, connection.client, identity, len(payload), seconds)
        if seconds > 2 * INLINE_MAX:
            model.brief = False
            if seconds > LOOP_MAX:
                model.slow(seconds)

    def _admitted(self, head: CachedHead, now: float) -> bool:
        """Whether requests with this head may predict; where not, `dispatch` finds out why."""
        try:
            self._server.admit(head.request)
        except errors.RequestError:
            return False
        head.admitted_until = now + REREAD
        return True


class CachedExchange(Exchange):
    """A request with a known head that waits for others: `turns.Waiting`."""

    __slots__ = ("_connection", "_head", "_identity", "_server", "body", "started")

    def __init__(
        self,
        server: Server,
        connection: Connection,
        head: CachedHead,
        body: bytes,
        identity: bytes,
        started: float,
    ) -> None:
        super().__init__(head.request)
        self.body = body
        self.started = started
        self._head = head
        self._identity = identity
        self._server = server
        self._connection = connection

    def identity(self) -> str:
        """The request's id; from now on it goes the long way."""
        if self.request is self._head.request:
            self.request = self._head.again(self.body, self._identity, self.started)
        return self.request.request_id

    def succeed(self, model: LoopModel, payload: bytes, seconds: float) -> None:
        """Answer with a result, `seconds` after it was asked for."""
        server, head = self._server, self._head
        if self.close or server.draining:
            self.answer(model.success(payload))
            return
        self.output = success(server.constant, self._identity, head.fields, payload)
        self._connection.finished(self)
        if server.log.enabled:
            server.log.add_again(
                head.line, self._connection.client, self._identity, len(payload), seconds
            )

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
