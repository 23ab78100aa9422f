"""What clients can make a worker keep in memory: bodies that arrive, answers that nobody reads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from time import monotonic

import psutil
import pytest

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.server.talking import connect, post, read_reply
from tests.waiting import patient, until

MEGABYTE = 1024**2
ANSWER = 20_000_000
BUFFERED = 64 * MEGABYTE
"""The setting; the answers that calls are making come on top of it."""

HUGE = f"class Huge:\n    def transform_predict(self):\n        return {{'text': 'x' * {ANSWER}}}\n"
ECHO = (
    "class Echo:\n    def transform_predict(self, variables: dict):\n"
    "        return {'a': variables.get('a')}\n"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("memory-of-clients")
    write_model(folder / "models", "Huge", HUGE)
    write_example(write_model(folder / "models", "Echo", ECHO), {"a": 1}, {"a": 1})
    with serving(
        folder,
        folder / "models",
        MODELSYNC_WORKERS="1",
        MODELSYNC_MAX_BUFFERED=f"{BUFFERED}",
        MODELSYNC_PREDICT_TIMEOUT="60s",
    ) as running:
        yield running


class Watched:
    """The most memory that the worker had above what it had first, in bytes; and the longest
    answer to another client, in seconds.
    """

    def __init__(self, service: Service) -> None:
        [worker] = service.workers()
        self.before = worker.memory_info().rss
        self.most = self.longest = 0.0
        self._service, self._worker = service, worker
        self._ended = threading.Event()

    def __enter__(self) -> Watched:
        self._threads = [threading.Thread(target=one) for one in (self._measure, self._ask)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _measure(self) -> None:
        while not self._ended.wait(0.01):
            with contextlib.suppress(psutil.Error):
                self.most = max(self.most, self._worker.memory_info().rss - self.before)

    def _ask(self) -> None:
        request = post("/models/Echo")
        with connect(self._service.port) as sock:
            stream = sock.makefile("rb")
            while not self._ended.wait(0.01):
                started = monotonic()
                sock.sendall(request)
                assert read_reply(stream).status == 200
                self.longest = max(self.longest, monotonic() - started)


def test_clients_that_do_not_read_hold_little(service: Service) -> None:
    """Five of them, each with 32 requests for 20 MB: 3.2 GB if all answers were kept."""
    with Watched(service) as watched, contextlib.ExitStack() as stack:
        for _ in range(5):
            sock = stack.enter_context(connect(service.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.sendall(post("/models/Huge", b'{"variables": {}}') * 32)
        until(lambda: len(service.lines(event="client_cut_off")) >= 2, 30)
    assert watched.most < BUFFERED + 12 * ANSWER  # five calls, each with its result twice
    assert watched.longest < patient(3)


def test_a_client_that_reads_gets_all_that_it_asked_for(service: Service) -> None:
    """In their order, however many it asks for before it reads."""
    with connect(service.port, 60) as sock:
        sock.sendall(post("/models/Huge", b'{"variables": {}}') * 12 + post("/models/Echo"))
        stream = sock.makefile("rb")
        replies = [read_reply(stream) for _ in range(13)]
    assert [reply.status for reply in replies] == [200] * 13
    assert [len(reply.body) > ANSWER for reply in replies] == [True] * 12 + [False]


def test_bodies_under_way_are_limited_in_all(service: Service) -> None:
    """Thirty clients with 9 MB of a body each: some get 503 with Retry-After, small requests go on,
    and when the clients have gone there is room again.
    """
    size = 9 * MEGABYTE
    head = post("/models/Echo", b"", f"Content-Length: {size}")
    with Watched(service) as watched, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(service.port)) for _ in range(30)]
        refused = 0
        for sock in socks:
            with contextlib.suppress(ConnectionError):
                sock.sendall(head + b" " * (size - 1))
        for sock in socks:
            sock.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                first = sock.recv(4096)
                assert b" 503 " in first.split(b"\r\n")[0]
                assert b"retry-after: 1" in first.lower()
                refused += 1
        assert refused >= 20
        assert service.post("Echo", {"a": 5}).json() == {"a": 5}
    assert watched.most < 2.5 * BUFFERED
    until(lambda: service.post("Echo", {"a": "x" * 5_000_000}).status_code == 200, 10)


def test_a_large_body_takes_no_time_of_the_others(service: Service) -> None:
    """10 MB of numbers, decoded outside of the event loop, for a model that runs in it."""
    body = b'{"variables": {"a": 1, "b": [' + b",".join([b"1234"] * 1_900_000) + b"]}}"
    with Watched(service) as watched, connect(service.port, 60) as sock:
        stream = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(post("/models/Echo", body))
            assert read_reply(stream).status == 200
    assert watched.longest < patient(3)


def test_a_small_body_after_a_large_one(service: Service) -> None:
    """On one connection, again and again: nothing of a large one is kept."""
    with connect(service.port, 60) as sock:
        stream = sock.makefile("rb")
        for size in (10, 9_000_000, 10, 200_000, 10):
            sock.sendall(post("/models/Echo", b'{"variables": {"a": "%s"}}' % (b"x" * size)))
            assert len(read_reply(stream).body) == size + len('{"a":""}')
