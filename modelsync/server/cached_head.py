"""A head that is known: what the parser has found in the first request with such a head."""

from __future__ import annotations

from modelsync.inference.batcher import RequestQueue
from modelsync.server.request import Request


class CachedHead:
    """What all heads of one `head_key` have in common, as the parser found it in the first of them.

    `request` holds their decisive fields, `fields` are those of its successful answers, `queue`
    takes the requests for their model. Until `admitted_until`, a time of `perf_counter` in seconds,
    their token is not checked again. It is
    never set of a trained model, whose requests may name a version (`by_version`): there
    `trusted_until` stands for it.
    """

    __slots__ = (
        "admitted_until",
        "by_version",
        "fields",
        "log_line",
        "queue",
        "request",
        "trusted_until",
    )

    def __init__(
        self, request: Request, queue: RequestQueue, log_line: bytes, fields: bytes
    ) -> None:
        self.request = request
        self.queue = queue
        self.admitted_until = self.trusted_until = 0.0
        self.by_version = queue.model.runner.replaceable
        self.fields = fields
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


class KnownHead:
    """The bytes of a head, and what they say: `size` is that of the whole request in bytes,
    `request_id` the client's, or empty.
    """

    __slots__ = ("data", "head", "request_id", "size")

    def __init__(self, data: bytes, head: CachedHead, length: int, request_id: bytes) -> None:
        self.data = data
        self.head = head
        self.size = len(data) + length
        self.request_id = request_id
