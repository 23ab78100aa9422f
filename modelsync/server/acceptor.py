"""Accepts connections so that the workers of a generation get about the same number of them.

All workers wait on one socket, and the kernel wakes any of them: a worker that is awake already
would take every connection of a burst, and clients that keep their connections would make that
last. So a worker that has more connections than another one waits for `PAUSE` seconds; then it
takes the connection itself, since the other worker may be busy.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from modelsync.server.connection_counts import ConnectionCounts

log = logging.getLogger(__name__)

PAUSE = 0.002
"""Seconds for which a connection is left to workers that have fewer."""

RETRY_PAUSE = 1.0
"""Seconds until the next attempt after an error, such as a process out of file descriptors."""


class Acceptor:
    """Accepts from one listening socket in an event loop, one connection a turn.

    `connections` returns how many this worker has; `connection_counts` is None if it is alone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        connection_counts: ConnectionCounts | None,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._connections = connections
        self._counts = connection_counts
        self._tasks: set[asyncio.Task[object]] = set()
        self._open = True
        sock.setblocking(False)
        loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Accept no more; the socket stays open, because other processes use it too."""
        self._open = False
        self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        if self._counts is None or self._connections() <= self._counts.lowest():
            self._accept()
        else:
            self._pause(PAUSE)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock)
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._open:
            self._loop.add_reader(self._sock, self._readable)
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            log.error("cannot accept a connection: %s", error.strerror)
            self._pause(RETRY_PAUSE)
            return
        connection.setblocking(False)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._tasks.add(task)  # the loop holds only a weak reference
        task.add_done_callback(self._tasks.discard)
