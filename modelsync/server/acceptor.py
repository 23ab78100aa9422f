"""Accepting connections so that the workers of a generation get about as many each.

All of them wait on one socket, and the kernel wakes whoever it likes: a worker that is awake anyway
would take every connection of a burst, and with connections that are kept that lasts. So a worker
that has more than another one lets that one go first, for `PAUSE` seconds; then it takes the
connection itself, since the other may be busy.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

PAUSE = 0.002
"""Seconds a connection may wait for a worker that has fewer."""

FULL = 1.0
"""Seconds to wait where the process has no descriptor left for another connection."""

_ABSENT = 0xFFFFFFFF


class ConnectionCounts:
    """How many connections each worker has, in memory that all of them share; mapped before the
    fork.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * workers)).cast("I")
        for worker_index in range(workers):
            self._counts[worker_index] = _ABSENT

    def report(self, worker_index: int, connections: int | None) -> None:
        """Set the number of connections of a worker; None where it accepts none."""
        self._counts[worker_index] = _ABSENT if connections is None else connections

    def lowest(self) -> int:
        """The smallest number that a worker has."""
        return min(self._counts)


class Acceptor:
    """Accepts from one listening socket in an event loop, one connection a turn.

    `connections` tells how many this worker has; `connection_counts` is None where it is alone.
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
        self._connection_counts = connection_counts
        self._tasks: set[asyncio.Task[object]] = set()
        self._open = True
        sock.setblocking(False)
        loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Accept no more; the socket stays open, for it is not ours alone."""
        self._open = False
        self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        if (
            self._connection_counts is None
            or self._connections() <= self._connection_counts.lowest()
        ):
            self._accept()
        else:
            self._loop.remove_reader(self._sock)
            self._loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._open:
            self._accept()
            self._loop.add_reader(self._sock, self._readable)

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            log.error("cannot accept a connection: %s", error.strerror)
            self._loop.remove_reader(self._sock)
            self._loop.call_later(FULL, self._resume)
            return
        connection.setblocking(False)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol, connection)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
