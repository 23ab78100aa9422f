"""One worker's server: its connections, which request goes where, and how an answer is written."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter, time
from typing import TYPE_CHECKING

import orjson

from modelsync import errors
from modelsync.http import probes, problems
from modelsync.http.access import Gate
from modelsync.http.media import check_media_type
from modelsync.http.problems import Answer
from modelsync.http.protocol import Connection, Request
from modelsync.http.queries import all_options
from modelsync.http.request_ids import request_id
from modelsync.http.service import Service
from modelsync.http.wsgi import Pages

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

access_log = logging.getLogger("modelsync.access")
log = logging.getLogger(__name__)

Respond = Callable[[Answer], None]

REAP_EVERY = 0.5
"""Seconds between two looks at the connections' deadlines."""


class Server:
    """Serves one process's connections in one event loop. All methods but `Respond` callbacks run in that loop."""

    header_timeout = 15.0
    body_timeout = 60.0
    idle_timeout = 75.0
    write_timeout = 30.0

    def __init__(self, service: Service, app: WSGIApplication, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self.loop = loop
        self.connections: set[Connection] = set()
        self.max_body = service.settings.server.max_body
        self.draining = False
        self.requests = 0
        self.now = loop.time
        self._thread = threading.get_ident()
        self._gate = Gate(service.settings.access)
        self._pages = Pages(app, service.settings.server)
        self._lane = service.lane
        self._models = {f"{service.base}/{name}".encode(): name for name in service.lane.names}
        self._all = f"{service.base}/all".encode()
        self._probes = {b"/livez": probes.livez, b"/readyz": probes.readyz}
        self._log_access = access_log.isEnabledFor(logging.INFO)
        self._constant = b""
        self._constant_until = 0.0
        self._listeners: list[asyncio.Server] = []
        self._reap()

    # --- life -------------------------------------------------------------------------------------------------------

    async def listen(self, *sockets: socket.socket) -> None:
        """Accept connections on these from now on."""
        for sock in sockets:
            listener = await self.loop.create_server(lambda: Connection(self), sock=sock, backlog=2048)
            self._listeners.append(listener)

    def _reap(self) -> None:
        now = self.now()
        for connection in [one for one in self.connections if 0 < one.deadline < now]:
            connection.timed_out()
        self.loop.call_later(REAP_EVERY, self._reap)

    async def drain(self, linger: float, timeout: float) -> None:
        """Stop accepting, answer what is under way with `Connection: close`, and return when all clients are gone.

        Idle connections stay open for `linger` seconds, for requests that are already on their way to them.
        """
        self.draining = self.service.draining = True
        for listener in self._listeners:
            listener.close()
        end = self.now() + timeout
        lingering = self.now() + linger
        while self.connections and self.now() < end:
            if self.now() >= lingering:
                for connection in list(self.connections):
                    connection.close_when_idle()
            await asyncio.sleep(0.02)

    # --- a request --------------------------------------------------------------------------------------------------

    def request_id(self, given: bytes | None) -> str:
        """The client's request id where it is a decent one, else a new one."""
        return request_id(_text(given))

    def dispatch(self, request: Request, respond: Respond) -> None:
        """Send a request to where it is answered. `respond` is called once, in the loop."""
        self.requests += 1
        path = request.path
        try:
            if request.method == b"POST" and (name := self._models.get(path)) is not None:
                self._admit(request)
                self._lane.submit(name, request.body, request.request_id, self._threadsafe(respond))
            elif request.method == b"POST" and path == self._all:
                self._admit(request)
                self._predict_all(request, respond)
            elif request.method in (b"GET", b"HEAD") and path in self._probes:
                respond(self._probes[path](self.service, request.request_id))
            else:
                self._pages.submit(request, self._threadsafe(respond))
        except errors.RequestError as error:
            name = self._models.get(path)
            answer = problems.answer(error, request_id=request.request_id, model=name, release=self._lane.release)
            if name in self._lane.models:
                self._lane.counters.observe(name, answer.status, perf_counter() - request.started)
            respond(answer)

    def _admit(self, request: Request) -> None:
        content_type = encoding = authorization = None
        for key, value in request.headers:
            if key == b"content-type":
                content_type = value
            elif key == b"authorization":
                authorization = value
            elif key == b"content-encoding":
                encoding = value
        self._gate.require("predict", _text(authorization))
        check_media_type(_text(content_type), _text(encoding))

    def _predict_all(self, request: Request, respond: Respond) -> None:
        options = all_options(request.query.decode("latin-1"))
        done = self._threadsafe(respond)
        self._lane.submit_all(request.body, request.request_id, done, names=options.names, flat=options.flat)

    def _threadsafe(self, respond: Respond) -> Respond:
        def deliver(answer: Answer) -> None:
            if threading.get_ident() == self._thread:
                respond(answer)
            else:
                self.loop.call_soon_threadsafe(respond, answer)

        return deliver

    # --- an answer --------------------------------------------------------------------------------------------------

    def problem(self, status: int, detail: str, request: Request) -> Answer:
        """The answer to a request that breaks the protocol."""
        body = problems.document(status, detail, request_id=request.request_id, release=self._lane.release)
        return Answer(status, orjson.dumps(body), problems.PROBLEM)

    def render(self, request: Request, answer: Answer, *, close: bool) -> bytes:
        """The bytes of an answer, head and body."""
        head = [
            b"HTTP/1.1 %d %s\r\n" % (answer.status, _PHRASES.get(answer.status, b"")),
            self._constant_fields(),
            b"X-Request-ID: %s\r\n" % request.request_id.encode("latin-1"),
        ]
        if answer.content_type:
            head.append(b"Content-Type: %s\r\n" % answer.content_type.encode("latin-1"))
        if answer.status != 304 and answer.status != 204:
            head.append(b"Content-Length: %d\r\n" % len(answer.body))
        head.extend(b"%s: %s\r\n" % (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers)
        if close:
            head.append(b"Connection: close\r\n")
        elif request.version == "1.0":
            head.append(b"Connection: keep-alive\r\n")
        head.append(b"\r\n")
        if request.method != b"HEAD":
            head.append(answer.body)
        return b"".join(head)

    def _constant_fields(self) -> bytes:
        """Date and release: the same for all answers of a second."""
        now = time()
        if now >= self._constant_until:
            self._constant_until = int(now) + 1
            release = f"X-Modelsync-Release: {self._lane.release}\r\n" if self._lane.release else ""
            self._constant = f"Date: {formatdate(now, usegmt=True)}\r\n{release}".encode()
        return self._constant

    def answered(self, request: Request, answer: Answer, peer: object) -> None:
        """Log one line for the request."""
        if not self._log_access:
            return
        client = peer[0] if isinstance(peer, tuple) else None
        access_log.info(
            "%s %s %d",
            request.method.decode("latin-1"),
            request.path.decode("latin-1"),
            answer.status,
            extra={
                "fields": {
                    "client": client,
                    "request_id": request.request_id,
                    "model": self._models.get(request.path),
                    "bytes": len(answer.body),
                    "seconds": round(perf_counter() - request.started, 6),
                    "pid": os.getpid(),
                }
            },
        )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}
