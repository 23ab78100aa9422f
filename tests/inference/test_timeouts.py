"""A client has to send and to read in time, and may wait for its answer: the server's own limits,
a hundred times shorter.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import uvloop

from modelsync.api.app import create_app
from modelsync.server import connection
from modelsync.server.connection import Connection
from modelsync.server.server import Server
from modelsync.server.state import ServerState
from tests.api.serving import a_service
from tests.server.talking import connect, everything, post, read_reply, replies
from tests.waiting import patient, until

LIMITS = ("header_timeout", "body_timeout", "idle_timeout", "write_timeout")
LIMIT = patient(0.5)
"""Seconds of each limit of the server."""

LARGE = 30_000_000
"""Bytes of an answer that the buffers of the kernel do not hold."""


@dataclass(frozen=True)
class Serving:
    """A server that runs in a thread."""

    server: Server
    port: int

    def waits_for_its_client(self) -> bool:
        """Whether bytes are left that the only client does not take."""
        clients = list(self.server.state.connections)
        return [
            isinstance(one, Connection) and one.transport.get_write_buffer_size() > 0
            for one in clients
        ] == [True]


def slow(seconds: float = 0.0) -> dict[str, Any]:
    """Longer than a client may be idle."""
    sleep(seconds)
    return {"slept": seconds}


def large(n: int = 10) -> dict[str, Any]:
    """More than a socket holds."""
    return {"text": "x" * n}


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A server with short limits, a slow model and one of large answers."""
    for name in LIMITS:
        monkeypatch.setattr(ServerState, name, LIMIT)
    service = a_service(tmp_path, models={"Slow": slow, "Large": large})
    loop = uvloop.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        service.after_fork()
        server = Server(service, create_app(service), loop)
        server.listen(listening)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield Serving(server, listening.getsockname()[1])
        loop.call_soon_threadsafe(loop.stop)
        thread.join(patient(30))
        loop.close()


def reads_little(port: int) -> socket.socket:
    """A client whose own buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(patient(30))
    sock.connect(("127.0.0.1", port))
    return sock


def test_an_answer_may_take_longer_than_a_client_may_be_idle(serving: Serving) -> None:
    """Also where the head is known, on a new connection and on one that has been idle."""
    waits = post("/models/Slow", b'{"variables": {"seconds": %.2f}}' % (LIMIT * 2))
    request = post("/models/Slow", b'{"variables": {"seconds": %.2f}}' % 0)
    for _ in range(3):
        with connect(serving.port) as sock:
            stream = sock.makefile("rb")
            for sent in (waits, request, waits):
                sock.sendall(sent)
                assert read_reply(stream).status == 200


@pytest.mark.parametrize(
    ("sent", "statuses"), [(b"", []), (post("/models/Slow", b'{"variables": {}}'), [200])]
)
def test_an_idle_connection_is_closed_at_its_limit(
    serving: Serving, sent: bytes, statuses: list[int]
) -> None:
    """Before its first request and after one; not at once."""
    began = monotonic()
    with connect(serving.port) as sock:
        sock.sendall(sent)
        assert [reply.status for reply in replies(everything(sock))] == statuses
    assert monotonic() - began > LIMIT / 3  # limits are looked at in steps


def test_half_a_request_behind_an_answer_that_was_read_slowly(serving: Serving) -> None:
    """Its time runs, although the server had to wait for the client to read."""
    with reads_little(serving.port) as sock:
        large = post("/models/Large", b'{"variables": {"n": %d}}' % LARGE)
        sock.sendall(large + post("/models/Slow")[:40])
        until(serving.waits_for_its_client)
        assert [reply.status for reply in replies(everything(sock))] == [200, 408]


def test_a_client_that_asks_and_never_reads_is_let_go(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the limit for reading alone: the server stops reading, waits for that long, and ends."""
    for limit in LIMITS[:3]:
        monkeypatch.setattr(ServerState, limit, 3600.0)
    probes = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 1000

    def ended() -> bool:
        try:
            with suppress(BlockingIOError):
                for _ in range(100):
                    sock.send(probes)
        except ConnectionError:
            return True
        return False

    with reads_little(serving.port) as sock:
        sock.setblocking(False)
        until(ended)


def test_a_malformed_request_does_not_hurry_the_one_before(serving: Serving) -> None:
    """The first request is answered, then the problem."""
    with connect(serving.port) as sock:
        sock.sendall(
            post("/models/Slow", b'{"variables": {"seconds": %.2f}}' % (LIMIT * 3))
            + b"GET /livez HTTP/1.1\r\n\r\n"
        )
        assert [reply.status for reply in replies(everything(sock))] == [200, 400]


def test_an_answer_is_not_cut_off_while_its_client_reads_slowly(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last answer takes several times the limit to be read, and something is read within each."""
    monkeypatch.setattr(connection, "LINGER", LIMIT)
    request = post("/models/Large", b'{"variables": {"n": %d}}' % LARGE, "Connection: close")
    with reads_little(serving.port) as sock:
        sock.sendall(request)
        until(serving.waits_for_its_client)
        found, began = bytearray(), monotonic()
        while chunk := sock.recv(1 << 16):
            found += chunk
            # As far as time has gone, so far it reads: to the end in five limits.
            sleep(max(0.0, began + 5 * LIMIT * len(found) / LARGE - monotonic()))
        [reply] = replies(bytes(found))
        assert len(reply.body) > LARGE
