"""What one worker keeps for its clients: bodies of requests, and answers that they have not read.

Each connection says how much it holds; all of them together are limited. Over the limit clients
that do not read are disconnected, and if that is not enough large bodies are refused.
"""

from __future__ import annotations

import logging
from typing import Protocol

log = logging.getLogger(__name__)

SMALL = 64 * 1024
"""Bytes up to which a body or an answer is not counted: most are smaller."""

PIPELINE_BYTES = 4 * 1024**2
"""Bytes over which a connection starts no request before those ahead of it are answered."""

CONNECTION_BYTES = 64 * 1024**2
"""Bytes of answers that one connection may have waiting behind the one that it reads."""

AT_FIRST = 4
"""Requests of one connection that are started before the size of their answers is known."""

TOO_MANY_BODIES = "the requests under way take too much memory; try again"
TOO_MANY_ANSWERS = "this connection has too many answers to read; read them and ask again"

_MAX_PATHS = 1024


class Holder(Protocol):
    """A connection; `deadline` is a time of the loop's clock, `unread`: nobody reads answers."""

    client: bytes
    deadline: float
    unread: bool

    def unsent(self) -> int:
        """Return the bytes of the body that arrives, and of answers that the client must read."""

    def cut_off(self) -> None:
        """Disconnect the client, and forget its answers."""


class Buffers:
    """The bytes that one worker keeps for its clients: `total`, which is to stay below `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._held: dict[Holder, int] = {}
        self._answers: dict[bytes, int] = {}

    def hold(self, holder: Holder, size: int) -> None:
        """Set the number of bytes that a connection holds."""
        self.total += size - self._held.pop(holder, 0)
        if size:
            self._held[holder] = size

    def relieve(self) -> bool:
        """Disconnect clients that do not read, the longest first, as long as the total is over the
        limit; return whether it is within the limit then.
        """
        while self.total > self.limit:
            silent = [holder for holder in self._held if holder.unread]
            if not silent:
                return False
            victim = min(silent, key=lambda holder: holder.deadline)
            client = victim.client.decode("ascii", "replace")
            message = "a client that does not read its answers is disconnected: memory is needed"
            fields = {"event": "client_cut_off", "client": client, "bytes": self._held[victim]}
            log.warning(message, extra={"fields": fields})
            self.hold(victim, 0)
            victim.cut_off()
        return True

    def learn(self, path: bytes, size: int) -> None:
        """Record the size of an answer; after a large one, smaller ones bring it down slowly."""
        if len(self._answers) >= _MAX_PATHS:
            self._answers.clear()
        large = size if size > SMALL else 0
        self._answers[path] = max(large, self._answers.get(path, 0) * 3 // 4)

    def window(self, path: bytes) -> int | None:
        """Return how many requests of a path one connection may have under way, None: any number.

        As many as have answers of `PIPELINE_BYTES` together, at least one; `AT_FIRST` of a path of
        which no answer is known.
        """
        size = self._answers.get(path)
        if size is None:
            return AT_FIRST
        return max(1, PIPELINE_BYTES // size) if size else None
