"""One line a request, cheap enough to stay on: formatted by hand, written together a few times a
second.

The lines are what `modelsync.observability.logs` would write for the same record. Only the detail
of a problem needs redaction: the path comes without its query, the request id is of a safe
alphabet. To a person's terminal they go through the ordinary logger.
"""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import UTC, datetime
from time import perf_counter, time

import orjson

from modelsync import problems
from modelsync.observability.logs import JsonFormatter
from modelsync.observability.redaction import redacted
from modelsync.problems import Answer
from modelsync.server.request import Request

log = logging.getLogger("modelsync.access")

_STANDARD = {"time", "level", "logger"}

LONGEST = 300
"""Characters of a problem's detail."""

MOST = 512
"""Lines that are written at once even if their time has not come."""


class AccessLog:
    """The access log of one worker. `flush` is called a few times a second, and at the end."""

    def __init__(self) -> None:
        self.enabled = log.isEnabledFor(logging.INFO)
        self._fd = _json_stream()
        self._pid = os.getpid()
        self._lines: list[bytes] = []
        self._millisecond = 0
        self._moment = b""

    def add(
        self,
        what: str,
        status: int,
        *,
        client: str | None,
        request_id: str,
        model: str | None,
        size: int,
        seconds: float,
        detail: str = "",
    ) -> None:
        """Note an answered request; `what` is its method and path, `size` in bytes, `detail` what
        was the matter.
        """
        fields = {"client": client, "request_id": request_id, "model": model}
        if detail:
            fields["detail"] = redacted(detail, LONGEST)
        if self._fd is None:
            measured = {"bytes": size, "seconds": round(seconds, 6), "pid": self._pid}
            log.info("%s %d", what, status, extra={"fields": fields | measured})
            return
        head, tail = orjson.dumps(f"{what} {status}"), orjson.dumps(fields)
        self._append(
            b'{"time":"%b","level":"info","logger":"modelsync.access","message":%b,%b,"bytes":%d,"seconds":%.6f,"pid":%d}\n'
            % (self._now(), head, tail[1:-1], size, seconds, self._pid)
        )

    def answered(self, request: Request, answer: Answer, client: bytes, model: str | None) -> None:
        """Log one line for a request; `model` is the name of the one that it was for."""
        if self.enabled:
            self.add(
                f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}",
                answer.status,
                client=client.decode() or None,
                request_id=request.request_id,
                model=model,
                size=len(answer.body),
                seconds=perf_counter() - request.started,
                detail=problems.detail_of(answer) if answer.status >= 400 else "",
            )

    def template(self, what: str, model: str) -> bytes:
        """A line for successes that differ in client, id, size and time only, for `add_again`."""
        fixed = (
            b'","level":"info","logger":"modelsync.access","message":%b,"model":%b,"client":"'
            % (
                orjson.dumps(f"{what} 200"),
                orjson.dumps(model),
            )
        )
        return (
            fixed.replace(b"%", b"%%")
            + b'%%b","request_id":"%%b","bytes":%%d,"seconds":%%.6f,"pid":%d}\n' % self._pid
        )

    def add_again(
        self, template: bytes, client: bytes, request_id: bytes, size: int, seconds: float
    ) -> None:
        """Note an answered request whose line has been prepared; `client` is an address, or empty."""
        if self._fd is None:
            line = orjson.loads(b'{"time":"' + template % (client, request_id, size, seconds))
            message = line.pop("message")
            log.info(
                "%s", message, extra={"fields": {key: line[key] for key in line.keys() - _STANDARD}}
            )
            return
        self._append(b'{"time":"' + self._now() + template % (client, request_id, size, seconds))

    def flush(self) -> None:
        """Write what has been noted."""
        if self._lines and self._fd is not None:
            data, self._lines = b"".join(self._lines), []
            with contextlib.suppress(
                OSError
            ):  # a full disk, a reader that has gone: as logging does, go on without
                while data:
                    data = data[os.write(self._fd, data) :]

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= MOST:
            self.flush()

    def _now(self) -> bytes:
        millisecond = int(time() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            moment = datetime.fromtimestamp(millisecond / 1000, UTC).isoformat(
                timespec="milliseconds"
            )
            self._moment = moment.replace("+00:00", "Z").encode()
        return self._moment


def _json_stream() -> int | None:
    """A descriptor of its own for the stream that JSON lines go to; None where the log is text."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(
            handler.formatter, JsonFormatter
        ):
            try:
                return os.dup(handler.stream.fileno())
            except (OSError, ValueError):  # a stream in memory, in tests
                return None
    return None
