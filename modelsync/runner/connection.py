"""One worker's connection to a runner, served by the main thread's loop."""

from __future__ import annotations

import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence

from modelsync.inference.messages import (
    Answers,
    Call,
    MessageError,
    MessageReader,
    pack_answers,
    unpack_call,
)
from modelsync.inference.outcome import Outcome

log = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""Bytes read at once."""

MAX_UNREAD = 64 * 1024**2
"""Bytes of answers that a worker may leave unread; until it reads, no call of it is read."""


class WorkerConnection:
    """A connected socket; `receive` gets each call, `closed` is told of its end.

    All methods run in the main thread.
    """

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        receive: Callable[[WorkerConnection, Call], None],
        closed: Callable[[WorkerConnection], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._selector = selector
        self._receive = receive
        self._on_closed = closed
        self._reader = MessageReader()
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self._closed = False
        self._events = selectors.EVENT_READ
        selector.register(sock, self._events, self._ready)

    def answer(self, number: int, answers: Sequence[tuple[int, Outcome]]) -> None:
        """Send answers to requests of the message `number`; nobody waits if the worker has gone."""
        if self._closed:
            return
        message = memoryview(pack_answers(Answers(number, answers)))
        self._unsent.append(message)
        self._size += len(message)
        self._write()

    def _ready(self, events: int) -> None:
        if self._closed:  # by an answer that was written after `events` were seen
            return
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
            for message in self._reader.feed(data):
                self._receive(self, unpack_call(message))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        except MessageError as error:
            log.error("a worker has sent what is no call: %s", error)
            data = b""
        if not data:
            self._close()

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent[0])
                self._size -= sent
                if sent == len(self._unsent[0]):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = self._unsent[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        self._watch_for()

    def _watch_for(self) -> None:
        """Ask to be told when the socket can be written, or read, as far as there is need."""
        wanted = selectors.EVENT_WRITE if self._unsent else 0
        if self._size <= MAX_UNREAD:
            wanted |= selectors.EVENT_READ
        if wanted != self._events:
            self._events = wanted
            self._selector.modify(self._sock, wanted, self._ready)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._unsent.clear()
            self._selector.unregister(self._sock)
            self._sock.close()
            self._on_closed(self)
