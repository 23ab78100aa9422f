"""The server of one worker: composes its parts, accepts connections and drains them at the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from modelsync.inference.batcher import RequestQueue
from modelsync.inference.loop_executor import LoopExecutor
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.serving import Service
from modelsync.server.acceptor import Acceptor
from modelsync.server.access_log import AccessLog
from modelsync.server.auth import Authorizer
from modelsync.server.connection import Connection
from modelsync.server.connection_counts import ConnectionCounts
from modelsync.server.head_cache import HeadCache
from modelsync.server.responses import Responses
from modelsync.server.router import Router
from modelsync.server.state import ServerState
from modelsync.server.uploads import Uploads
from modelsync.server.wsgi_bridge import WSGIBridge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

UNLOGGED = frozenset({b"/livez", b"/readyz", b"/metrics"})
"""Paths that probes and scrapes ask all the time."""

TICK = 0.25
"""Seconds between two updates of the state that need not be exact for each request."""


class Server:
    """Serves the connections of one process in one event loop; all methods run in that loop."""

    def __init__(
        self, service: Service, app: WSGIApplication, loop: asyncio.AbstractEventLoop
    ) -> None:
        settings = service.settings.server
        self.state = ServerState(settings.max_body, loop.time, settings.max_buffered)
        self.state.uploads = Uploads(
            service.settings.state.home / "run" / "requests",
            Authorizer(service.settings.access),
            service.settings.training.max_upload,
        )
        self._service = service
        self._loop = loop
        self._log = AccessLog(service.settings.logs.access, UNLOGGED)
        self._responses = Responses(service.dataplane.release, settings.cors_origins)
        self._executor = LoopExecutor(service.dataplane, loop)
        bridge = WSGIBridge(app, service.settings.server, loop)
        self._router = Router(service, self._executor, bridge)
        self._heads = HeadCache(self.state, self._router, self._responses, self._log)
        self._acceptors: list[Acceptor] = []
        self._tick()

    def listen(
        self,
        *sockets: socket.socket,
        connection_counts: ConnectionCounts | None = None,
        worker_index: int = 0,
    ) -> None:
        """Accept connections on these sockets from now on.

        With `connection_counts` the server takes about as many connections as the other workers.
        """
        state = self.state
        if connection_counts:
            state.report_count = lambda count: connection_counts.report(worker_index, count)
        for sock in sockets:
            self._acceptors.append(
                Acceptor(
                    self._loop,
                    sock,
                    self._connection,
                    lambda: len(state.connections),
                    connection_counts,
                    state.close_idle,
                )
            )
        state.report_count(len(state.connections))

    def _connection(self) -> Connection:
        return Connection(self.state, self._router, self._responses, self._heads, self._log)

    def replace(self, name: str, runner: ModelRunner) -> Callable[[], bool]:
        """Have a runner answer the next requests for a model; waits for the loop's next turn.

        Called in any other thread. Returns what tells whether the queues of the runner before it
        are empty.
        """
        replaced: Future[list[RequestQueue]] = Future()

        def work() -> None:
            queues = self._executor.replace(name, runner)
            self._heads.forget_replaced()
            replaced.set_result(queues)

        self._loop.call_soon_threadsafe(work)
        queues = replaced.result()
        return lambda: all(queue.empty for queue in queues)

    def refresh(self) -> None:
        """Take over at once what has become known of models since the last tick."""
        self._executor.tick()

    def _tick(self) -> None:
        """Update the date, enforce deadlines, refresh the models' states and write the log."""
        self._responses.tick()
        self.state.tick()
        self._executor.tick()
        self._log.flush()
        self._loop.call_later(TICK, self._tick)

    async def drain(self, linger: float, timeout: float) -> None:
        """Stop accepting, answer the requests under way, and return when all clients have gone.

        The last answer on each connection says `Connection: close`. Idle connections stay open for
        `linger` seconds, for requests that are already on their way. After `timeout` seconds the
        method returns anyway.
        """
        state = self.state
        state.draining = self._service.draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        state.report_count(None)
        end = state.now() + timeout
        lingering = state.now() + linger
        while state.connections and state.now() < end:
            if state.now() >= lingering:
                for connection in list(state.connections):
                    connection.close_when_idle()
            await asyncio.sleep(0.02)
        if self._router.shadow:
            await self._router.shadow.close()
        self._log.flush()
