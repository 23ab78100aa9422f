"""Calls the Flask application as WSGI (PEP 3333), in a thread pool of its own.

It answers all requests but predictions and probes. Its threads are not the models' threads, so that
a status page answers while every model hangs, and a model answers while every page hangs.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import orjson

from modelsync import problems
from modelsync.errors import DeadlineExceeded
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket
from modelsync.problems import Answer
from modelsync.server.request import Request
from modelsync.server.responses import RENDERED
from modelsync.settings import ServerSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

THREADS = 8
"""Requests that the application answers at a time."""

MAX_QUEUE = 256
"""Requests that may wait for a thread; any more are refused."""


class WSGIBridge:
    """Calls a WSGI application for `THREADS` requests at a time."""

    def __init__(self, app: WSGIApplication, settings: ServerSettings) -> None:
        self._app = app
        self._host = settings.host
        self._port = settings.port
        # A page may wait for a prediction (`GET .../predict`), so it gets 5 seconds more than one.
        self._pool = ThreadPool(THREADS, MAX_QUEUE, settings.predict_timeout + 5)

    def submit(self, request: Request, done: Callable[[Answer], None]) -> None:
        """Answer one request through the application. Raises Overloaded if too many wait."""

        def work(ticket: Ticket) -> None:
            answer = self._call(request)
            if ticket.claim():
                done(answer)

        def on_expired(error: DeadlineExceeded) -> None:
            done(problems.answer(error, request_id=request.request_id))

        name, fields = request.path.decode("latin-1"), {"request_id": request.request_id}
        self._pool.submit(PoolTask(name, work, on_expired, fields))

    def _call(self, request: Request) -> Answer:
        """Run the application on one request; an exception of it becomes an answer with 500."""
        status: list[str] = []
        headers: list[tuple[str, str]] = []

        def start_response(
            line: str, fields: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], Any]:
            status[:] = [line]
            headers[:] = fields
            return written.write

        written = io.BytesIO()
        try:
            chunks = self._app(self._environ(request), start_response)
            try:
                for chunk in chunks:
                    written.write(chunk)
            finally:
                if hasattr(chunks, "close"):
                    chunks.close()
        except Exception:  # the edge of a request
            log.exception("answering failed", extra={"fields": {"request_id": request.request_id}})
            return _internal_error(request.request_id)
        return _answer(status[0], headers, written.getvalue())

    def _environ(self, request: Request) -> dict[str, Any]:
        """Return the WSGI environment of a request (PEP 3333)."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method.decode("latin-1"),
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
            "QUERY_STRING": request.query.decode("latin-1"),
            "SERVER_NAME": self._host,
            "SERVER_PORT": str(self._port),
            "SERVER_PROTOCOL": f"HTTP/{request.version}",
            "CONTENT_LENGTH": str(len(request.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "modelsync.request_id": request.request_id,
        }
        for name, value in request.headers:
            text = value.decode("latin-1")
            if name == b"content-type":
                environ["CONTENT_TYPE"] = text
            # A name with an underscore could be taken for another header: dropped, as nginx does.
            elif name != b"content-length" and b"_" not in name:
                key = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
                environ[key] = f"{environ[key]},{text}" if key in environ else text
        return environ


def _answer(line: str, fields: list[tuple[str, str]], body: bytes) -> Answer:
    content_type = next((value for name, value in fields if name.lower() == "content-type"), "")
    kept = tuple((name, value) for name, value in fields if name.lower() not in RENDERED)
    return Answer(int(line.split(" ", 1)[0]), body, content_type, kept)


def _internal_error(request_id: str) -> Answer:
    body = problems.document(
        500, "the service failed; its log says why under the request id", request_id=request_id
    )
    return Answer(500, orjson.dumps(body), problems.PROBLEM)
