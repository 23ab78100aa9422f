"""One worker's server: its connections, which request goes where, and how an answer is written."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

import orjson

from modelsync import errors, problems
from modelsync.inference.batcher import RequestQueue
from modelsync.inference.fanout import submit_all
from modelsync.inference.loop_executor import LoopExecutor
from modelsync.inference.serving import Service
from modelsync.problems import Answer
from modelsync.server import probes
from modelsync.server.acceptor import Acceptor, ConnectionCounts
from modelsync.server.access_log import AccessLog
from modelsync.server.auth import Authorizer
from modelsync.server.connection import Connection
from modelsync.server.head_cache import HeadCache
from modelsync.server.media_type import check_media_type
from modelsync.server.query import all_options
from modelsync.server.request import Request
from modelsync.server.request_ids import accepted
from modelsync.server.wsgi_bridge import WSGIBridge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


Respond = Callable[[Answer], None]

TICK = 0.25
"""Seconds between two looks at deadlines, clocks and what other workers have found out."""


class Server:
    """Serves one process's connections in one event loop. All methods but `Respond` callbacks run
    in that loop.
    """

    header_timeout = 15.0
    body_timeout = 60.0
    idle_timeout = 75.0
    write_timeout = 30.0

    def __init__(
        self, service: Service, app: WSGIApplication, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.service = service
        self.loop = loop
        self.connections: set[Connection] = set()
        self.max_body = service.settings.server.max_body
        self.draining = False
        self.requests = 0
        self.now = loop.time
        self._authorizer = Authorizer(service.settings.access)
        self._pages = WSGIBridge(app, service.settings.server)
        self._dataplane = service.dataplane
        self._models = {f"{service.base}/{name}".encode(): name for name in service.dataplane.names}
        self._all = f"{service.base}/all".encode()
        self._probes = {b"/livez": probes.livez, b"/readyz": probes.readyz}
        self._loopside = LoopExecutor(service.dataplane, loop)
        self.log = AccessLog()
        self._id_prefix = os.urandom(8).hex().encode()
        self._ids = itertools.count()
        self.constant = b""
        self.idle_deadline = 0.0
        self.heads = HeadCache(self)
        self._acceptors: list[Acceptor] = []
        self._tell: Callable[[int | None], None] = lambda count: None
        self._tick()

    # --- life -------------------------------------------------------------------------------------

    def listen(
        self,
        *sockets: socket.socket,
        connection_counts: ConnectionCounts | None = None,
        worker_index: int = 0,
    ) -> None:
        """Accept connections on these from now on; with `connection_counts`, as many as the other
        workers do.
        """
        self._tell = (
            (lambda count: connection_counts.tell(worker_index, count))
            if connection_counts
            else (lambda count: None)
        )
        for sock in sockets:
            self._acceptors.append(
                Acceptor(
                    self.loop,
                    sock,
                    self._connection,
                    lambda: len(self.connections),
                    connection_counts,
                )
            )
        self._tell(len(self.connections))

    def _connection(self) -> Connection:
        return Connection(self)

    def opened(self, connection: Connection) -> None:
        """A client has come."""
        self.connections.add(connection)
        self._tell(len(self.connections))

    def closed(self, connection: Connection) -> None:
        """A client has gone."""
        self.connections.discard(connection)
        if not self.draining:
            self._tell(len(self.connections))

    def _tick(self) -> None:
        """What need not be done for each request: the date, deadlines, the log, what other workers
        have found out.
        """
        now = self.now()
        release = (
            f"X-Modelsync-Release: {self._dataplane.release}\r\n" if self._dataplane.release else ""
        )
        self.constant = f"Date: {formatdate(usegmt=True)}\r\n{release}".encode()
        self.idle_deadline = now + self.idle_timeout
        for connection in [one for one in self.connections if 0 < one.deadline < now]:
            connection.timed_out()
        self._loopside.tick()
        self.log.flush()
        self.loop.call_later(TICK, self._tick)

    async def drain(self, linger: float, timeout: float) -> None:
        """Stop accepting, answer what is under way with `Connection: close`, and return when all
        clients are gone.

        Idle connections stay open for `linger` seconds, for requests that are already on their way
        to them.
        """
        self.draining = self.service.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        self._tell(None)
        end = self.now() + timeout
        lingering = self.now() + linger
        while self.connections and self.now() < end:
            if self.now() >= lingering:
                for connection in list(self.connections):
                    connection.close_when_idle()
            await asyncio.sleep(0.02)
        self.log.flush()

    # --- a request --------------------------------------------------------------------------------

    def request_id(self, given: bytes | None) -> str:
        """The client's request id where it is a decent one, else a new one."""
        return (accepted(given) or self.new_id()).decode()

    def new_id(self) -> bytes:
        """A request id that nobody else has."""
        # Random per worker, counted within: as unique as a random one each time, at a tenth of the
        # price.
        return b"%b%08x" % (self._id_prefix, next(self._ids))

    def dispatch(self, request: Request, respond: Respond) -> None:
        """Send a request to where it is answered. `respond` is called once, in the loop."""
        self.requests += 1
        path = request.path
        try:
            if request.method == b"POST" and (name := self._models.get(path)) is not None:
                self.admit(request)
                self._loopside.submit(name, request.body, request.request_id, respond)
            elif request.method == b"POST" and path == self._all:
                self.admit(request)
                self._predict_all(request, respond)
            elif request.method in (b"GET", b"HEAD") and path in self._probes:
                respond(self._probes[path](self.service, request.request_id))
            else:
                self._pages.submit(request, self._loopside.threadsafe(respond))
        except errors.RequestError as error:
            name = self._models.get(path)
            answer = problems.answer(
                error, request_id=request.request_id, model=name, release=self._dataplane.release
            )
            if name in self._dataplane.models:
                self._dataplane.counters.observe(
                    name, answer.status, perf_counter() - request.started
                )
            respond(answer)

    def turn_of(self, path: bytes) -> RequestQueue | None:
        """Where requests wait for the model that answers at this path; None where no loaded model
        does.
        """
        return self._loopside.turn(self._models.get(path, ""))

    def admit(self, request: Request) -> None:
        """Raise what refuses a prediction by its head: credentials, content type."""
        content_type = encoding = authorization = None
        for key, value in request.headers:
            if key == b"content-type":
                content_type = value
            elif key == b"authorization":
                authorization = value
            elif key == b"content-encoding":
                encoding = value
        self._authorizer.require("predict", _text(authorization))
        check_media_type(_text(content_type), _text(encoding))

    def _predict_all(self, request: Request, respond: Respond) -> None:
        options = all_options(request.query.decode("latin-1"))
        done = self._loopside.threadsafe(respond)
        submit_all(
            self._dataplane,
            request.body,
            request.request_id,
            done,
            names=options.names,
            flat=options.flat,
        )

    # --- an answer --------------------------------------------------------------------------------

    def problem(self, status: int, detail: str, request: Request) -> Answer:
        """The answer to a request that breaks the protocol."""
        body = problems.document(
            status, detail, request_id=request.request_id, release=self._dataplane.release
        )
        return Answer(status, orjson.dumps(body), problems.PROBLEM)

    def render(self, request: Request, answer: Answer, *, close: bool) -> bytes:
        """The bytes of an answer, head and body."""
        head = [
            b"HTTP/1.1 %d %s\r\n" % (answer.status, _PHRASES.get(answer.status, b"")),
            self.constant,
            b"X-Request-ID: %s\r\n" % request.request_id.encode("latin-1"),
        ]
        if answer.content_type:
            head.append(b"Content-Type: %s\r\n" % answer.content_type.encode("latin-1"))
        if answer.status != 304 and answer.status != 204:
            head.append(b"Content-Length: %d\r\n" % len(answer.body))
        head.extend(
            b"%s: %s\r\n" % (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in answer.headers
        )
        if close:
            head.append(b"Connection: close\r\n")
        elif request.version == "1.0":
            head.append(b"Connection: keep-alive\r\n")
        head.append(b"\r\n")
        if request.method != b"HEAD":
            head.append(answer.body)
        return b"".join(head)

    def answered(self, request: Request, answer: Answer, client: bytes) -> None:
        """Log one line for the request."""
        if self.log.enabled:
            self.log.add(
                f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}",
                answer.status,
                client=client.decode() or None,
                request_id=request.request_id,
                model=self._models.get(request.path),
                size=len(answer.body),
                seconds=perf_counter() - request.started,
                detail=problems.detail_of(answer) if answer.status >= 400 else "",
            )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


_PHRASES = {int(status): status.phrase.encode() for status in HTTPStatus}
