"""What a client has to do in time, and what it may wait for: the server's own clocks, a hundred
times faster.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import uvloop

from modelsync.api.app import create_app
from modelsync.server.server import Server
from modelsync.server.state import ServerState
from tests.api.serving import a_service
from tests.server.talking import connect, everything, post, read_reply, replies
from tests.waiting import until


def slow(seconds: float = 0.0) -> dict[str, Any]:
    """Longer than a client may be idle."""
    sleep(seconds)
    return {"slept": seconds}


def large(n: int = 10) -> dict[str, Any]:
    """More than a socket holds."""
    return {"text": "x" * n}


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for name in ("header_timeout", "body_timeout", "idle_timeout", "write_timeout"):
        monkeypatch.setattr(ServerState, name, 0.5)
    service = a_service(tmp_path, models={"Slow": slow, "Large": large})
    loop = uvloop.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            service.after_fork()
            Server(service, create_app(service), loop).listen(listening)
            loop.run_forever()

        thread = threading.Thread(target=run)
        thread.start()
        yield listening.getsockname()[1]
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def reads_little(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", port))
    return sock


def has_ended(sock: socket.socket) -> bool:
    """Whether the server has ended a connection that is not read."""
    try:
        sock.send(b"\r\n")
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def test_an_answer_may_take_longer_than_a_client_may_be_idle(port: int) -> None:
    """Also where the head is known, on a new connection and on one that has been idle."""
    request = post("/models/Slow", b'{"variables": {"seconds": 0}}')
    for _ in range(3):
        with connect(port) as sock:
            stream = sock.makefile("rb")
            for wait in (request.replace(b": 0", b": 1"), request, request.replace(b": 0", b": 1")):
                sock.sendall(wait)
                assert read_reply(stream).status == 200


def test_an_idle_client_is_told_to_go(port: int) -> None:
    """Before its first request and after one."""
    for sent in (b"", post("/models/Slow")):
        with connect(port, 5) as sock:
            sock.sendall(sent)
            everything(sock)


def test_half_a_request_behind_an_answer_that_was_read_slowly(port: int) -> None:
    """Its time runs, although the server had to wait for the client to read."""
    with reads_little(port) as sock:
        sock.sendall(
            post("/models/Large", b'{"variables": {"n": 5000000}}') + post("/models/Slow")[:40]
        )
        sleep(0.4)
        assert [reply.status for reply in replies(everything(sock))] == [200, 408]


def test_a_client_that_asks_and_asks_and_never_reads(port: int) -> None:
    """Small answers too: it is let go, whatever it has sent behind."""
    with reads_little(port) as sock:
        sock.settimeout(0.2)
        try:
            while True:
                sock.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        except TimeoutError:
            until(lambda: has_ended(sock), 10)


def test_a_malformed_request_does_not_hurry_the_one_before(port: int) -> None:
    """What was asked first is answered, then the problem."""
    with connect(port) as sock:
        sock.sendall(
            post("/models/Slow", b'{"variables": {"seconds": 1.5}}')
            + b"GET /livez HTTP/1.1\r\n\r\n"
        )
        assert [reply.status for reply in replies(everything(sock))] == [200, 400]


def test_a_last_answer_is_not_cut_off_while_its_client_reads(port: int) -> None:
    """Slowly, behind `Connection: close`."""
    with reads_little(port) as sock:
        sock.sendall(post("/models/Large", b'{"variables": {"n": 5000000}}', "Connection: close"))
        sleep(0.4)
        [reply] = replies(everything(sock))
        assert len(reply.body) > 5_000_000
