"""Heads of requests like some that have been seen before: the short way from a client to a model.

The verdict of the parser and the rules on a head holds for all heads of the same `head_key`; and,
for a second, that their token may predict. Everything else takes the long way, through the router.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Protocol

from modelsync.errors import RequestError
from modelsync.inference.batcher import RequestQueue
from modelsync.inference.outcome import Outcome
from modelsync.problems import Answer
from modelsync.server.access_log import AccessLog
from modelsync.server.auth import REREAD
from modelsync.server.head_key import DECISIVE, head_key
from modelsync.server.request import Exchange, Request
from modelsync.server.responses import Responses, success_fields
from modelsync.server.router import Router
from modelsync.server.state import ServerState

MAX_HEADS = 1024
"""Heads that are remembered; over it all are forgotten, and learnt again as they come."""

MAX_SEEN = 8192
"""Heads of which it is remembered that they have been seen once."""

_NOT_CACHED = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class CachedHead:
    """The verdict on all heads of one `head_key`, found when the parser saw the first of them.

    `admitted_until`, a time of `perf_counter`, says how long their token may predict without being
    asked for again; `queue` is where requests wait for the model that answers here.
    """

    __slots__ = ("admitted_until", "fields", "log_line", "queue", "request")

    def __init__(self, request: Request, queue: RequestQueue, log_line: bytes) -> None:
        self.request = request
        self.queue = queue
        self.admitted_until = 0.0
        self.fields = success_fields(queue.model.runner.model.version)
        self.log_line = log_line

    def request_with(self, body: bytes, request_id: bytes, started: float) -> Request:
        """Return a request with this head."""
        known, request = self.request, Request()
        request.method, request.path, request.query = known.method, known.path, known.query
        request.headers = known.headers
        request.body = body
        request.request_id = request_id.decode()
        request.started = started
        return request


KnownHead = tuple[CachedHead, int, bytes]
"""A cached head, the length of the request's body in bytes, and the client's own id for the request,
empty without one.
"""


class Channel(Protocol):
    """A connection as the cache uses it."""

    client: bytes
    deadline: float
    transport: asyncio.Transport

    def exchange(self, request: Request) -> None:
        """Have a request answered by the router."""

    def wait(self, exchange: Exchange) -> None:
        """Queue a request whose answer comes later."""

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Answer a request that waits."""

    def finished(self, exchange: Exchange) -> None:
        """Answer a request that waits and whose `output` is set."""


class HeadCache:
    """The heads that one worker has learnt: in `known` by their bytes."""

    def __init__(
        self, state: ServerState, router: Router, responses: Responses, log: AccessLog
    ) -> None:
        self.known: dict[bytes, KnownHead] = {}
        self._by_key: dict[bytes, CachedHead] = {}
        self._seen: set[int] = set()
        self.state = state
        self._router = router
        self.responses = responses
        self.log = log

    def find(self, data: bytes) -> KnownHead | None:
        """Return what is known of a head that may never have come before, by its `head_key`."""
        found = head_key(data)
        if found is None:
            return None
        key, length, request_id = found
        head = self._by_key.get(key)
        if head is None or length > self.state.max_body:
            return None
        known = head, length, request_id
        if self._seen_before(data):
            if len(self.known) >= MAX_HEADS:
                self.known.clear()
            self.known[data] = known
        return known

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the head of a request that has come whole as `data`."""
        end = data.find(b"\r\n\r\n") + 4
        whole = len(data) == end + len(request.body)
        if request.version != "1.1" or not request.keep_alive or not whole:
            return
        if any(name in _NOT_CACHED for name, _ in request.headers):
            return
        queue = self._router.queue_at(request.path)
        if queue is None:  # all other routes may look at any field
            return
        found = head_key(data[:end])
        if found is None or not self._seen_before(found[0]):
            return
        if len(self._by_key) >= MAX_HEADS:
            self._by_key.clear()
        self._by_key[found[0]] = self._cached(request, queue)

    def _seen_before(self, data: bytes) -> bool:
        """Return whether these bytes come again: what comes once must not push out the others."""
        mark = hash(data)
        if mark in self._seen:
            return True
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(mark)
        return False

    def _cached(self, request: Request, queue: RequestQueue) -> CachedHead:
        general = Request()
        general.method, general.path, general.query = request.method, request.path, request.query
        general.headers = [field for field in request.headers if field[0] in DECISIVE]
        line = self.log.template(f"POST {request.path.decode('latin-1')}", queue.model.name)
        return CachedHead(general, queue, line)

    def answer(self, channel: Channel, head: CachedHead, body: bytes, request_id: bytes) -> None:
        """Answer a request with a known head: now, or at the end of this turn of the loop."""
        started = perf_counter()
        state, queue = self.state, head.queue
        identity = request_id or state.new_id()
        admitted = started < head.admitted_until or self._admitted(head, started)
        if state.draining or not admitted:
            channel.exchange(head.request_with(body, identity, started))
            return
        model = queue.model
        if model.inline and model.in_loop:
            state.requests += 1
            self._call(channel, head, body, identity, started)
        elif model.in_loop or queue.batches:
            state.requests += 1
            exchange = CachedExchange(self, channel, head, body, identity, started)
            channel.wait(exchange)
            queue.add(exchange)
        else:
            channel.exchange(head.request_with(body, identity, started))

    def _call(
        self, channel: Channel, head: CachedHead, body: bytes, identity: bytes, started: float
    ) -> None:
        queue = head.queue
        outcome = queue.model.call(body, queue.codec, started)
        channel.deadline = self.state.idle_deadline
        if type(outcome) is bytes:
            # May set another deadline: that of a client that does not read.
            channel.transport.write(self.responses.success(identity, head.fields, outcome))
            if self.log.enabled:
                seconds = perf_counter() - started
                self.log.add_again(head.log_line, channel.client, identity, len(outcome), seconds)
            return
        request = head.request_with(body, identity, started)
        answer = self.failure(queue.explain(outcome, request.request_id), head, request)
        channel.transport.write(self.responses.render(request, answer, close=False))
        self.log.answered(request, answer, channel.client, queue.model.name)

    def failure(self, outcome: Outcome, head: CachedHead, request: Request) -> Answer:
        """Return the answer to a request that failed, or whose answer is not a plain one."""
        return self._router.answer(outcome, head.queue.model.name, request.request_id)

    def _admitted(self, head: CachedHead, now: float) -> bool:
        """Return whether requests with this head may predict; if not, the router says why."""
        try:
            self._router.admit(head.request)
        except RequestError:
            return False
        head.admitted_until = now + REREAD
        return True


class CachedExchange(Exchange):
    """A request with a known head that waits for others: a `Pending` of the batcher."""

    __slots__ = ("_cache", "_channel", "_head", "_identity", "payload", "started")

    def __init__(
        self,
        cache: HeadCache,
        channel: Channel,
        head: CachedHead,
        payload: bytes,
        identity: bytes,
        started: float,
    ) -> None:
        super().__init__(head.request)
        self.payload = payload
        self.started = started
        self._cache = cache
        self._channel = channel
        self._head = head
        self._identity = identity

    def identity(self) -> str:
        """Return the request's id; from now on the request takes the long way."""
        if self.request is self._head.request:
            self.request = self._head.request_with(self.payload, self._identity, self.started)
        return self.request.request_id

    def finish(self, outcome: Outcome) -> None:
        """Answer the request."""
        cache, head = self._cache, self._head
        if type(outcome) is bytes and not (self.close or cache.state.draining):
            self.output = cache.responses.success(self._identity, head.fields, outcome)
            self._channel.finished(self)
            if cache.log.enabled:
                seconds = perf_counter() - self.started
                cache.log.add_again(
                    head.log_line, self._channel.client, self._identity, len(outcome), seconds
                )
            return
        self.identity()
        self._channel.answered(self, cache.failure(outcome, head, self.request))
