"""`python -m bench.peers.openloop JSON`: clients that do not wait for one another, which wrk's do.

Requests leave at fixed times, whatever has been answered; each takes a free connection or opens
one. Latencies count from the time at which a request was due, so a client that falls behind shows
itself in them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

PATIENCE = 20.0
"""Seconds after the last request in which answers still count."""

MOST = 8000
"""Connections at most: beyond, the machine's limits would be measured."""


@dataclass(slots=True)
class Stream:
    """Requests of one kind: `rate` per second for `seconds`. `seen` holds status, due time and
    latency of each.
    """

    host: str
    port: int
    request: bytes
    rate: float
    seconds: float
    idle: list[Exchange] = field(default_factory=list)
    seen: list[tuple[int, float, float]] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    end: float = 0.0

    async def run(self) -> None:
        """Send all of them, and give the last answers time to come."""
        loop = asyncio.get_running_loop()
        count = round(self.rate * self.seconds)
        start = loop.time()
        self.end = start + self.seconds
        opening: set[asyncio.Task[None]] = set()
        for number in range(count):
            due = start + number / self.rate
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self.sent += 1
            if self.idle:
                self.idle.pop().send(due)
            else:
                task = loop.create_task(self._open(due))
                opening.add(task)
                task.add_done_callback(opening.discard)
        end = loop.time() + PATIENCE
        while len(self.seen) < self.sent and loop.time() < end:
            await asyncio.sleep(0.01)

    async def _open(self, due: float) -> None:
        if self.connections >= MOST:
            self.note(0, due)
            return
        self.connections += 1
        try:
            _, exchange = await asyncio.get_running_loop().create_connection(
                lambda: Exchange(self), self.host, self.port
            )
        except OSError:
            self.note(0, due)
        else:
            exchange.send(due)

    def note(self, status: int, due: float) -> None:
        self.seen.append((status, due, asyncio.get_running_loop().time() - due))


class Exchange(asyncio.Protocol):
    """A connection with one request on its way at most; status 0 is a broken answer."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._due = 0.0
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def send(self, due: float) -> None:
        """Send the request that was due then."""
        self._due, self._data = due, b""
        if self._transport.is_closing():
            self._end()
        else:
            self._transport.write(self._stream.request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._stream.note(int(head[9:12]), self._due)
        self._due = 0.0
        if b"connection: close" in head.lower():
            self._transport.close()
        else:
            self._stream.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._stream.idle:
            self._stream.idle.remove(self)
        self._end()

    def _end(self) -> None:
        self._stream.connections -= 1
        if self._due:
            self._stream.note(0, self._due)
            self._due = 0.0


async def run(streams: list[Stream]) -> list[dict[str, Any]]:
    """Run them side by side; each gives, by status, its latencies in milliseconds.

    `in_time`: the answers with status 200 that came while requests were still being sent.
    """
    started = time.perf_counter()
    await asyncio.gather(*(stream.run() for stream in streams))
    results = []
    for stream in streams:
        by_status: dict[int, list[float]] = {}
        for status, _, latency in stream.seen:
            by_status.setdefault(status, []).append(latency * 1000)
        results.append({
            "in_time": sum(status == 200 and due + latency <= stream.end for status, due,
                           latency in stream.seen),
            "sent": stream.sent, "unanswered": stream.sent - len(stream.seen),
            "seconds": time.perf_counter() - started, "by_status": by_status,
        })  # fmt: skip
    return results


def main() -> None:
    told = json.loads(sys.argv[1])
    streams = [Stream(**{**one, "request": one["request"].encode()}) for one in told]
    print(json.dumps(uvloop.run(run(streams))))


if __name__ == "__main__":
    main()
