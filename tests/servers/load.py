"""Clients that keep their connections and check every answer: what a swap must not disturb.

One thread with an asyncio loop; each connection sends the next request when it has the answer to the last one. A
server may end a connection with `Connection: close` on an answer, or close it while it is idle: then the client
connects again, as every HTTP client does (RFC 9112 section 9.3.1); any other end is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Check = Callable[[int, dict[str, str], bytes], str | None]
"""From status, headers (names in lower case) and body to what is wrong with them, or None."""


@dataclass
class Tally:
    """What the clients have seen."""

    answered: int = 0
    reconnected: int = 0
    failures: list[str] = field(default_factory=list)


def ok(status: int, headers: dict[str, str], body: bytes) -> str | None:
    return None if status == 200 else f"{status} {body[:200]!r}"


@contextlib.contextmanager
def load(
    port: int,
    path: str,
    body: bytes,
    *,
    connections: int = 32,
    check: Check = ok,
    host: str = "127.0.0.1",
    address: str = "",
    pause: float = 0.0,
) -> Iterator[Tally]:
    """Keep `connections` clients busy while the block runs; all requests have ended when it is left.

    `address` is where to connect to, if that is not the `host` that is asked for; `pause` in seconds comes between an
    answer and the next request, where the load is not to take the whole machine.
    """
    tally = Tally()
    stop = threading.Event()
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def client() -> None:
        while not stop.is_set():
            reader, writer = await asyncio.open_connection(address or host, port)
            try:
                first = True
                while not stop.is_set():
                    closed = await _exchange(reader, writer, request, tally, check, fresh=first)
                    first = False
                    if pause:
                        await asyncio.sleep(pause)
                    if closed:
                        tally.reconnected += 1
                        break
            finally:
                writer.close()

    async def guarded() -> None:
        while not stop.is_set():
            try:
                await client()
            except OSError as error:
                tally.failures.append(repr(error))
                await asyncio.sleep(0.05)

    async def everybody() -> None:
        await asyncio.gather(*(guarded() for _ in range(connections)))

    thread = threading.Thread(target=lambda: asyncio.run(everybody()), daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive(), "a request got no answer"


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: bytes,
    tally: Tally,
    check: Check,
    *,
    fresh: bool,
) -> bool:
    """One request and its answer; returns whether the server ends the connection."""
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        nothing = not isinstance(error, asyncio.IncompleteReadError) or not error.partial
        if fresh or not nothing:
            tally.failures.append(f"{'first request' if fresh else 'answer'} broken off: {error!r}")
        else:
            # An idle connection ended before the request was read: the RFC lets the server do it and asks the client
            # to try again. Counted as a failure all the same: modelsync lingers so that it does not happen.
            tally.failures.append(f"closed under a request: {error!r}")
        return True
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    if wrong := check(status, headers, body):
        tally.failures.append(wrong)
    tally.answered += 1
    return headers.get("connection", "").lower() == "close"
