"""Requests as the client sent them, and exchanges: requests with the bytes of their answers."""

from __future__ import annotations

import io
from typing import IO


class Request:
    """One request: header names are in lower case, `started` is a time of `perf_counter`.

    `upload` is the file with the body if that is large, in place of `body`.
    """

    __slots__ = (
        "body",
        "headers",
        "keep_alive",
        "method",
        "path",
        "query",
        "request_id",
        "started",
        "upload",
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
        self.upload: IO[bytes] | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of a header, None if there is none."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def content(self) -> tuple[int, IO[bytes]]:
        """Return the size of the body in bytes, and a file to read it from."""
        if self.upload is None:
            return len(self.body), io.BytesIO(self.body)
        size = self.upload.seek(0, io.SEEK_END)
        self.upload.seek(0)
        return size, self.upload


class Exchange:
    """A request and the bytes of its answer; `close`: the connection ends after it."""

    __slots__ = ("close", "output", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.output: bytes | None = None
        self.close = not request.keep_alive
