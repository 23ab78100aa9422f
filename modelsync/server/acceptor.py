"""Accepts connections so that the workers of a generation get about the same number of them.

All workers wait on one socket, and the kernel wakes any of them: a worker that is awake already
would take every connection of a burst, and clients that keep their connections would make that
last. So a worker that has more connections than another one waits for `PAUSE` seconds; then it
takes the connection itself, since the other worker may be busy.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from modelsync.server.connection_counts import ConnectionCounts

log = logging.getLogger(__name__)

PAUSE = 0.002
"""Seconds for which a connection is left to workers that have fewer."""

RETRY_PAUSE = 1.0
"""Seconds until the next attempt after an error, such as a process out of file descriptors."""

ROOM = 32
"""Idle connections that are closed when descriptors run out, for new ones and for models."""


class Acceptor:
    """Accepts from one listening socket in an event loop, one connection a turn.

    `connections` returns how many this worker has; `connection_counts` is None if it is alone.
    `make_room` closes so many idle connections and returns how many it has closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        connection_counts: ConnectionCounts | None,
        make_room: Callable[[int], int] = lambda count: 0,
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._connections = connections
        self._counts = connection_counts
        self._make_room = make_room
        self._tasks: set[asyncio.Task[object]] = set()
        self._open = True
        sock.setblocking(False)
        loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Accept no more, and close this process's copy of the socket.

        Once the last process has done that, the port is free, also while clients get answers.
        """
        self._open = False
        self._loop.remove_reader(self._sock)
        self._sock.close()

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
            self._failed(error)
            return
        connection.setblocking(False)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._tasks.add(task)  # the loop holds only a weak reference
        task.add_done_callback(self._tasks.discard)

    def _failed(self, error: OSError) -> None:
        """Make room for new clients if descriptors have run out, then try again."""
        if error.errno in (errno.EMFILE, errno.ENFILE) and (closed := self._make_room(ROOM)):
            log.warning("out of file descriptors: %d idle connections are closed", closed)
            self._pause(PAUSE)
        else:
            log.error("cannot accept a connection: %s", error.strerror)
            self._pause(RETRY_PAUSE)
