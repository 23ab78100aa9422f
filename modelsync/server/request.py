"""Requests as the client sent them, and exchanges: requests with the bytes of their answers."""

from __future__ import annotations


class Request:
    """One request: header names are in lower case, `started` is a time of `perf_counter`."""

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
        """Return the first value of a header, None if there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Exchange:
    """A request and the bytes of its answer; `close`: the connection ends after it."""

    __slots__ = ("close", "output", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.output: bytes | None = None
        self.close = not request.keep_alive
