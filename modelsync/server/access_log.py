"""The access log: one JSON line for each request, written a few times a second.

It formats the lines itself, which is cheap enough to leave it on; they equal the lines that
`modelsync.observability.logs` writes for the same record. Only the detail of a problem needs
redaction: the path comes without its query, and the request id has a safe alphabet. Where the log
is text, for a terminal, the records go through the ordinary logger.
"""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import UTC, datetime
from time import perf_counter, time

import orjson

from modelsync import problems
from modelsync.observability.logs import JsonFormatter, escaped
from modelsync.observability.redaction import redacted
from modelsync.problems import Answer
from modelsync.server.request import Request
from modelsync.settings import AccessLogged

log = logging.getLogger("modelsync.access")

_STANDARD = {"time", "level", "logger"}
"""Members of a line that the ordinary logger adds itself."""

MAX_DETAIL = 300
"""Characters of a problem's detail."""

READY = 1024
"""Sizes in bytes, and durations in microseconds, below which their text is ready."""

MAX_LINES = 512
"""Lines after which the log is written without waiting for the next `flush`."""


class AccessLog:
    """The access log of one worker; `flush` is called a few times a second, and at the end."""

    def __init__(
        self, which: AccessLogged = "all", unlogged: frozenset[bytes] = frozenset()
    ) -> None:
        """Log `which` requests; `unlogged` are the paths of those that only `all` logs.

        `enabled`: whether requests that succeed are logged.
        """
        heard = log.isEnabledFor(logging.INFO)
        self.enabled = heard and which in {"all", "requests"}
        self._errors = heard and which != "off"
        self._unlogged = frozenset() if which == "all" else unlogged
        self._fd = _json_stream()
        self._pid = os.getpid()
        self._lines: list[bytes] = []
        self._until = 0.0
        self._moment = self._begin = b""
        # Nearly all sizes and durations in microseconds, formatted once.
        self._sizes = [_size(size) for size in range(READY)]
        self._endings = [self._ending(duration) for duration in range(READY)]

    def add(
        self,
        endpoint: str,
        status: int,
        *,
        client: str | None,
        request_id: str,
        model: str | None,
        size: int,
        seconds: float,
        detail: str = "",
    ) -> None:
        """Add the line of a request.

        `endpoint` is its method and path, `size` that of the answer's body in bytes, `seconds` the
        time from the request's arrival, `detail` the reason of a failure.
        """
        fields = {"client": client, "request_id": request_id, "model": model}
        if detail:
            fields["detail"] = redacted(detail, MAX_DETAIL)
        if self._fd is None:
            measured = {"bytes": size, "seconds": round(seconds, 6), "pid": self._pid}
            log.info("%s %d", endpoint, status, extra={"fields": fields | measured})
            return
        head, tail = orjson.dumps(f"{endpoint} {status}"), orjson.dumps(fields)
        self._append(
            b'{"time":"%b","level":"info","logger":"modelsync.access","message":%b,%b,'
            b'"bytes":%d,"seconds":%.6f,"pid":%d}\n'
            % (self._now(), head, escaped(tail)[1:-1], size, seconds, self._pid)
        )

    def answered(
        self,
        request: Request,
        answer: Answer,
        client: bytes,
        model: str | None,
        size: int | None = None,
    ) -> None:
        """Add the line of a request and its answer; `model` is the name of its model, if any.

        `size`: the bytes of the body that were sent, None: all of it.
        """
        is_error = answer.status >= 400
        if (self._errors if is_error else self.enabled) and request.path not in self._unlogged:
            self.add(
                f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}",
                answer.status,
                client=client.decode() or None,
                request_id=request.request_id,
                model=model,
                size=len(answer.body) if size is None else size,
                seconds=perf_counter() - request.started,
                detail=problems.detail_of(answer) if is_error else "",
            )

    def template(self, endpoint: str, model: str) -> bytes:
        """Return what the lines of successful requests have between time and client, for
        `add_success`.
        """
        message, name = orjson.dumps(f"{endpoint} 200"), orjson.dumps(model)
        return (
            b'","level":"info","logger":"modelsync.access","message":%b,"model":%b,"client":"'
            % (message, name)
        )

    def add_success(
        self, template: bytes, client: bytes, request_id: bytes, size: int, started: float
    ) -> None:
        """Add the line of a successful request that arrived at `started`, a time of `perf_counter`.

        It is joined from bytes that are there already: formatting takes twice as long. `client` may
        be empty.
        """
        now = perf_counter()
        if now >= self._until:
            self._read_clock(now)
        sizes, endings = self._sizes, self._endings
        duration = int((now - started) * 1e6)
        line = b"".join(
            (
                self._begin,
                template,
                client,
                b'","request_id":"',
                request_id,
                sizes[size] if size < len(sizes) else _size(size),
                endings[duration] if duration < len(endings) else self._ending(duration),
            )
        )
        if self._fd is None:
            self._hand_over(line)
        else:
            self._append(line)

    def _hand_over(self, line: bytes) -> None:
        """Give the fields of a line to the ordinary logger."""
        fields = orjson.loads(line)
        message = fields.pop("message")
        fields = {key: fields[key] for key in fields.keys() - _STANDARD}
        log.info("%s", message, extra={"fields": fields})

    def flush(self) -> None:
        """Write all lines that have been added."""
        if self._lines and self._fd is not None:
            data, self._lines = b"".join(self._lines), []
            # On a full disk, or without a reader, the lines are lost, as with `logging`.
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(self._fd, data) :]

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= MAX_LINES:
            self.flush()

    def _now(self) -> bytes:
        """Return the time, as it is in a line."""
        now = perf_counter()
        if now >= self._until:
            self._read_clock(now)
        return self._moment

    def _read_clock(self, now: float) -> None:
        """Read the wall clock, at `now` of `perf_counter`, for the lines of this millisecond."""
        wall = time()
        millisecond = int(wall * 1000)
        self._until = now + (millisecond + 1) / 1000 - wall
        moment = datetime.fromtimestamp(millisecond / 1000, UTC)
        text = moment.isoformat(timespec="milliseconds")
        self._moment = text.replace("+00:00", "Z").encode()
        self._begin = b'{"time":"' + self._moment

    def _ending(self, duration: int) -> bytes:
        """Return the end of a line, with its `duration` in microseconds."""
        seconds, rest = divmod(duration, 1_000_000)
        return b'%d.%06d,"pid":%d}\n' % (seconds, rest, self._pid)


def _size(size: int) -> bytes:
    """Return the part of a line between request id and duration."""
    return b'","bytes":%d,"seconds":' % size


def _json_stream() -> int | None:
    """Return a new descriptor of the stream of JSON lines, None if the log is text."""
    for handler in logging.getLogger().handlers:
        is_json = isinstance(handler.formatter, JsonFormatter)
        if isinstance(handler, logging.StreamHandler) and is_json:
            try:
                return os.dup(handler.stream.fileno())
            except (OSError, ValueError):  # a stream in memory, in tests
                return None
    return None
