"""Calls the Flask application in a thread pool of its own.

It answers all requests but predictions and probes. Its threads are not the models' threads, so that
a status page answers while every model hangs, and a model answers while every page hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import orjson

from modelsync import problems
from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket
from modelsync.problems import Answer
from modelsync.server.request import Request
from modelsync.server.responses import RENDERED
from modelsync.server.streams import Deliver, StreamedAnswer
from modelsync.server.wsgi_call import State, WSGICall, environment
from modelsync.settings import ServerSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

THREADS = 8
"""Requests that the application answers at a time."""

MAX_QUEUE = 256
"""Requests that may wait for a thread; any more are refused."""

PART = 256 * 1024
"""Bytes of a body that are made at a time; a larger body is streamed."""

PAUSE = 0.2
"""Seconds after which an application that has paused is asked again."""

MAX_PAUSED = 1000
"""Requests that may pause; further ones are told to answer at once."""


class WSGIBridge:
    """Calls a WSGI application for `THREADS` requests at a time, in the loop of one worker."""

    def __init__(
        self, app: WSGIApplication, settings: ServerSettings, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.paused = 0
        self.loop = loop
        self._app = app
        self._host = settings.host
        self._port = settings.port
        # A page may wait for a prediction (`GET .../predict`), so it gets 5 seconds more than one.
        self._pool = ThreadPool(THREADS, MAX_QUEUE, settings.predict_timeout + 5)

    def submit(self, request: Request, done: Callable[[Answer], None]) -> None:
        """Answer one request through the application; `done` is called in any thread.

        Raises Overloaded if too many wait.
        """
        may_pause = self.paused < MAX_PAUSED
        call = WSGICall(
            self._app, environment(request, self._host, self._port, may_pause=may_pause)
        )
        _Answering(self, call, request, done).start()

    def run(
        self, request: Request, work: Callable[[], Callable[[], object]], late: Callable[[], None]
    ) -> None:
        """Do work in a thread; what it returns tells the result. `late` is called instead if that
        took too long. Raises Overloaded.
        """

        def in_thread(ticket: Ticket) -> None:
            tell = work()
            if ticket.claim():
                tell()

        def on_expired(_: DeadlineExceeded) -> None:
            late()

        name, fields = request.path.decode("latin-1"), {"request_id": request.request_id}
        self._pool.submit(PoolTask(name, in_thread, on_expired, fields))

    @property
    def pause(self) -> float:
        """Seconds until a paused application is asked again: more, the more of them wait."""
        return PAUSE + self.paused * PAUSE / 100


class _Answering:
    """One request on its way through the application; it becomes the `Stream` of a streamed answer.

    The application is never asked by two threads at once.
    """

    def __init__(
        self, bridge: WSGIBridge, call: WSGICall, request: Request, done: Callable[[Answer], None]
    ) -> None:
        self._bridge = bridge
        self._call = call
        self._request = request
        self._done = done
        self._deliver: Deliver | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._counted = False
        self._ended = False

    def start(self) -> None:
        """Ask the application for the answer. Raises Overloaded."""
        self._busy = True
        self._bridge.run(self._request, self._read, self._late)

    def read(self, deliver: Deliver) -> None:
        """Have the next part of the body made."""
        self._deliver = deliver
        self._ask()

    def close(self) -> None:
        """End the application's work on it, now or once it has made the part at which it works."""
        self._ended = True
        if self._timer:
            self._timer.cancel()
        if not self._busy:
            self._close_in_thread()

    # --- in a thread ------------------------------------------------------------------------------

    def _read(self) -> Callable[[], object]:
        """Have a part made; return what tells the loop of it."""
        try:
            data, state = self._call.read(PART)
            if state == "ended" or self._ended:
                self._call.close()
        except Exception:  # the edge of a request
            fields = {"request_id": self._request.request_id}
            log.exception("answering failed", extra={"fields": fields})
            return partial(self._bridge.loop.call_soon_threadsafe, self._failed)
        return partial(self._bridge.loop.call_soon_threadsafe, self._made, data, state)

    def _late(self) -> None:
        self._bridge.loop.call_soon_threadsafe(self._expired)

    # --- in the loop ------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._timer = None
        self._busy = True
        try:
            self._bridge.run(self._request, self._read, self._late)
        except Overloaded:
            self._busy = False
            self._pause()

    def _made(self, data: bytes, state: State) -> None:
        """Pass on what the application has made, or wait with it for more."""
        self._busy = False
        if self._ended:
            self._count(waits=False)
            self._close_in_thread()
        elif state == "ended":
            self._count(waits=False)
            self._pass_on(data, last=True)
        elif state == "paused" and not data and (self._deliver or not self._call.status):
            self._count(waits=True)
            self._pause()
        else:
            self._count(waits=state == "paused")
            self._pass_on(data, last=False)

    def _pass_on(self, data: bytes, *, last: bool) -> None:
        deliver = self._deliver
        if deliver:
            deliver(data, last)
            return
        whole = last and not (self._request.method == b"HEAD" and self._call.length)
        self._done(_answer(self._call, data, None if whole else self, last=last))

    def _failed(self) -> None:
        self._give_up(_internal_error(self._request.request_id))

    def _expired(self) -> None:
        error = DeadlineExceeded("no answer in time: the log says what the service waited for")
        self._give_up(problems.answer(error, request_id=self._request.request_id))

    def _give_up(self, answer: Answer) -> None:
        self._ended = True
        self._count(waits=False)
        if self._deliver:
            self._deliver(b"", False)
        else:
            self._done(answer)

    def _pause(self) -> None:
        if self._ended:
            self._close_in_thread()
        else:
            self._timer = self._bridge.loop.call_later(self._bridge.pause, self._ask)

    def _close_in_thread(self) -> None:
        self._count(waits=False)
        close = self._call.close

        def work() -> Callable[[], None]:
            close()
            return lambda: None

        try:
            self._bridge.run(self._request, work, lambda: None)
        except Overloaded:
            self._bridge.loop.call_later(self._bridge.pause, self._close_in_thread)

    def _count(self, *, waits: bool) -> None:
        """Count this request among those that wait, or no longer."""
        self._bridge.paused += waits - self._counted
        self._counted = waits


def _answer(call: WSGICall, body: bytes, stream: _Answering | None, *, last: bool) -> Answer:
    fields = call.headers
    content_type = next((value for name, value in fields if name.lower() == "content-type"), "")
    kept = tuple((name, value) for name, value in fields if name.lower() not in RENDERED)
    if stream is None:
        return Answer(call.status, body, content_type, kept)
    rest = None if last else stream
    return StreamedAnswer(call.status, body, content_type, kept, stream=rest, length=call.length)


def _internal_error(request_id: str) -> Answer:
    body = problems.document(
        500, "the service failed; its log says why under the request id", request_id=request_id
    )
    return Answer(500, orjson.dumps(body), problems.PROBLEM)
