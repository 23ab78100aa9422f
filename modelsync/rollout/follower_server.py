"""Serves a follower over HTTP: the service's own server, in a thread, with no model behind it.

So slow clients, malformed requests and the access log are handled as in the pods that serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import uvloop

from modelsync.inference.dataplane import DataPlane
from modelsync.inference.serving import Service
from modelsync.observability import counters
from modelsync.observability.counters import Counters
from modelsync.rollout.follower_app import Followed, create_app
from modelsync.server.listener import listening
from modelsync.server.server import Server
from modelsync.settings import Settings
from modelsync.settings.training import Continuous

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PREDECESSOR = 10.0
"""Seconds for which the port may still be taken by a follower that ends."""

DRAIN = 2.0
"""Seconds that requests under way have to finish when the follower ends."""

log = logging.getLogger(__name__)


@contextlib.contextmanager
def serving(settings: Settings, follower: Followed) -> Iterator[None]:
    """Serve the follower meanwhile. Raises SettingsError if the address cannot be used."""
    with listening(settings, PREDECESSOR) as listener:
        host, port = listener.getsockname()[:2]
        log.info("listening at http://%s:%d/%s", host, port, settings.server.base_url)
        thread = ServerThread(_service(settings), create_app(settings, follower), listener)
        thread.start()
        try:
            yield
        finally:
            thread.end()


class ServerThread(threading.Thread):
    """The thread in which the server's event loop runs."""

    def __init__(self, service: Service, app: WSGIApplication, listener: socket.socket) -> None:
        super().__init__(name="modelsync-loop", daemon=True)
        self._service = service
        self._app = app
        self._listener = listener
        self._loop = uvloop.new_event_loop()
        self._ending = asyncio.Event()

    def run(self) -> None:
        """Serve until `end`."""
        with contextlib.closing(self._loop) as loop:
            loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = Server(self._service, self._app, self._loop)
        server.listen(self._listener)
        await self._ending.wait()
        await server.drain(0.0, DRAIN)

    def end(self) -> None:
        """Let requests under way finish, then end; called in another thread."""
        self._loop.call_soon_threadsafe(self._ending.set)
        self.join(DRAIN + 1.0)


@dataclass(slots=True)
class FollowerService(Service):
    """A service without a release, which is ready all the same: it serves no model."""

    def not_ready(self) -> str | None:
        """Return that the process is ending, if it is."""
        return "the process is ending" if self.draining else None


def _service(settings: Settings) -> Service:
    plane = DataPlane(
        {},
        {},
        Counters(counters.folder(settings.state.home), []),
        release=None,
        threads=1,
        max_queue=1,
        timeout=settings.server.predict_timeout,
    )
    alone = replace(settings, continuous=Continuous())  # there is no request to take a sample of
    return FollowerService(alone, release=None, faults={}, dataplane=plane)
