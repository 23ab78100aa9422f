"""What one connection handles: a request, the bytes of its answer, and a head like one that has
been seen before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelsync.inference.batcher import RequestQueue


class Request:
    """One request as it came; header names are in lower case."""

    __slots__ = (
        "body",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "request_id",
        "started",
        "version",
    )

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


class CachedHead:
    """What was found out about all heads of one `essence` when the parser saw the first of them.

    `admitted_until`, a time of `perf_counter`, says how long nobody needs to ask again whether its
    token may predict; `turn` is where requests wait for the model that answers here.
    """

    __slots__ = ("admitted_until", "fields", "line", "request", "turn")

    def __init__(self, request: Request, turn: RequestQueue) -> None:
        self.request = request
        self.turn = turn
        self.admitted_until = 0.0
        self.fields = b""
        self.line = b""

    def again(self, body: bytes, request_id: bytes, started: float) -> Request:
        """A request with such a head."""
        known, request = self.request, Request()
        request.method, request.path, request.query = known.method, known.path, known.query
        request.headers = known.headers
        request.body = body
        request.request_id = request_id.decode()
        request.started = started
        return request


class Exchange:
    """A request and the bytes of its answer, once there is one."""

    __slots__ = ("close", "output", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.output: bytes | None = None
        self.close = not request.keep_alive
