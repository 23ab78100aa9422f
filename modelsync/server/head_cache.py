"""The cache of parsed heads: a request with a known head goes to its model without the parser.

What the parser and the rules have found for a head holds for all heads with the same `head_key`;
that their token may predict is cached for a second. All other requests go through the router.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final, Protocol

from modelsync.errors import RequestError
from modelsync.inference.batcher import LARGE_BODY, RequestQueue
from modelsync.inference.outcome import Outcome
from modelsync.monitoring.shadow.requests import FIELD
from modelsync.problems import Answer
from modelsync.server.access_log import AccessLog
from modelsync.server.auth import REREAD
from modelsync.server.cached_head import CachedHead, KnownHead
from modelsync.server.head_key import DECISIVE, head_key
from modelsync.server.request import Exchange, Request
from modelsync.server.responses import Responses
from modelsync.server.router import KEY, Router
from modelsync.server.state import ServerState

MAX_HEADS: Final = 1024
"""Heads in the cache; when it is full it is emptied, and filled again by the next requests."""

MAX_SEEN: Final = 8192
"""Heads that are known to have come once; a head is cached when it comes again."""

_NOT_CACHED: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade", FIELD})
"""Fields whose requests always need the parser, or are not counted as others are."""


class Channel(Protocol):
    """What the cache needs of a connection."""

    client: bytes
    deadline: float
    transport: asyncio.Transport

    def exchange(self, request: Request) -> None:
        """Send a request to the router."""

    def wait(self, exchange: Exchange) -> None:
        """Queue a request whose answer comes later."""

    def answered(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer of a queued request."""

    def finished(self, exchange: Exchange) -> None:
        """Send the `output` of a queued request."""


class HeadCache:
    """The cached heads of one worker."""

    def __init__(
        self, state: ServerState, router: Router, responses: Responses, log: AccessLog
    ) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self._max_length = min(state.max_body, LARGE_BODY)
        self._by_key: dict[bytes, CachedHead] = {}
        self._seen: set[int] = set()
        self.state = state
        self._router = router
        self.responses = responses
        self.log = log
        self.sampler = router.sampler
        self.shadow = router.shadow
        self.noted = log.enabled or self.sampler is not None or self.shadow is not None

    def known(self, data: bytes) -> KnownHead | None:
        """Return the head with which the bytes begin, None if it is not known."""
        end = data.find(b"\r\n\r\n") + 4
        return self._known.get(data[:end]) or self._find(data[:end])

    def _find(self, data: bytes) -> KnownHead | None:
        """Return the known head with the same `head_key` as these bytes, None without one."""
        found = head_key(data)
        if found is None:
            return None
        key, length, request_id = found
        head = self._by_key.get(key)
        if head is None or length > self._max_length:
            return None
        known = KnownHead(data, head, length, request_id)
        if self._seen_before(data):
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            self._known[data] = known
        return known

    def learn(self, data: bytes, request: Request) -> None:
        """Cache the head of a request that has come as `data`, in one piece."""
        end = data.find(b"\r\n\r\n") + 4
        whole = len(data) == end + len(request.body)
        if request.version != "1.1" or not request.keep_alive or not whole:
            return
        if any(name in _NOT_CACHED for name, _ in request.headers):
            return
        queue = self._router.queue_at(request.path)
        if queue is None:  # all other routes may look at any field
            return
        if request.query and queue.model.runner.replaceable:  # it may name a version
            return
        found = head_key(data[:end])
        if found is None or not self._seen_before(found[0]):
            return
        if len(self._by_key) >= MAX_HEADS:
            self._by_key.clear()
        self._by_key[found[0]] = self._cached(request, queue)

    def _seen_before(self, data: bytes) -> bool:
        """Return whether these bytes have come before; heads that come once are not cached."""
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
        model = queue.model.runner.model
        stale = queue.model.name in self._router.stale
        fields = self.responses.success_fields(model.version, general, stale=stale)
        return CachedHead(general, queue, line, fields)

    def answer(self, channel: Channel, known: KnownHead, body: bytes) -> None:
        """Answer a request with a known head, now or at the end of this turn of the loop."""
        started = perf_counter()
        state, head = self.state, known.head
        queue = head.queue
        model = queue.model
        identity = known.request_id or state.new_id()
        admitted = (
            started < head.admitted_until
            or (started < head.trusted_until and body.find(KEY) < 0)
            or self._admitted(head, body, started)
        )
        if state.draining or not admitted or not (model.in_loop or queue.batches):
            channel.exchange(head.request_with(body, identity, started))
            return
        state.requests += 1
        if not (model.inline and model.in_loop):
            exchange = CachedExchange(self, channel, head, body, identity, started)
            channel.wait(exchange)
            queue.add(exchange)
            return
        outcome = model.call(body, queue.codec, started, started)
        if type(outcome) is not bytes:
            exchange = CachedExchange(self, channel, head, body, identity, started)
            channel.wait(exchange)
            queue.explain(outcome, exchange)
            del outcome  # an exception that holds this frame: see `Invocation.take`
            return
        channel.deadline = state.idle_deadline
        # May set another deadline: that of a client that does not read.
        channel.transport.write(self.responses.success(identity, head.fields, outcome))
        # What comes after the answer delays no client.
        if self.noted:
            self.note(head, channel.client, identity, body, outcome, started)

    def note(
        self,
        head: CachedHead,
        client: bytes,
        identity: bytes,
        body: bytes,
        outcome: bytes,
        started: float,
    ) -> None:
        """Log an answer, and count it for the samples and the candidate."""
        if self.log.enabled:
            self.log.add_success(head.log_line, client, identity, len(outcome), started)
        if (sampler := self.sampler) is not None:
            sampler.left -= 1
            if sampler.left < 0:
                queue = head.queue
                sampler.take(queue.model.runner.model, queue.codec, identity, body, outcome)
        if (shadow := self.shadow) is not None:
            shadow.left -= 1
            if shadow.left < 0:
                shadow.take(head.queue.model.name, head.request, identity, body, 200, outcome)

    def failure(self, outcome: Outcome, head: CachedHead, request: Request) -> Answer:
        """Return the answer of a request that failed, or that ends its connection."""
        model = head.queue.model
        return self._router.answer(outcome, model.name, model.runner.model, request.request_id)

    def forget_replaced(self) -> None:
        """Forget the heads whose queue is `replaced`."""
        self._by_key = {key: head for key, head in self._by_key.items() if not head.queue.replaced}
        self._known = {
            data: known for data, known in self._known.items() if not known.head.queue.replaced
        }

    def _admitted(self, head: CachedHead, body: bytes, now: float) -> bool:
        """Return whether requests with this head may predict; else the router answers them."""
        if head.by_version and KEY in body:
            return False
        try:
            self._router.admit(head.request)
        except RequestError:
            return False
        head.trusted_until = now + REREAD
        if not head.by_version:
            head.admitted_until = head.trusted_until
        return True


class CachedExchange(Exchange):
    """A request with a known head in a queue of the batcher (`Pending`)."""

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
        """Return the request's id, and set the full `request`: all answers but success need it."""
        if self.request is self._head.request:
            self.request = self._head.request_with(self.payload, self._identity, self.started)
        return self.request.request_id

    def finish(self, outcome: Outcome) -> None:
        """Answer the request."""
        cache, head = self._cache, self._head
        if type(outcome) is bytes and not (self.close or cache.state.draining):
            self.output = cache.responses.success(self._identity, head.fields, outcome)
            self._channel.finished(self)
            if cache.noted:
                cache.note(
                    head,
                    self._channel.client,
                    self._identity,
                    self.payload,
                    outcome,
                    self.started,
                )
            return
        self.identity()
        answer = cache.failure(outcome, head, self.request)
        self._channel.answered(self, answer)
        if cache.shadow is not None:
            cache.shadow.heard(head.queue.model.name, self.request, answer)
