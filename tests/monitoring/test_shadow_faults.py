"""Copies to a candidate that is away, hangs, trickles, or answers nonsense: no client notices."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

ECHO = """
class Echo:
    def transform_predict(self, variables: dict):
        return {"y": 1, "text": variables.get("text", "")}
"""

ANSWER = b'{"y":1,"text":""}'

BODY = b'{"variables": {}}'

JSON = {"Content-Type": "application/json"}

ADMIN = {"Authorization": "Bearer admin-token"}

DEADLINE = 2.0
"""Seconds that the candidate has."""


class Candidate:
    """A candidate that behaves as its `mode` says; `seen`: the fields of the requests."""

    def __init__(self) -> None:
        self.mode = "good"
        self.seen: list[dict[str, str]] = []
        self.clients: list[socket.socket] = []
        self.ending = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def start(self) -> None:
        candidate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                candidate.clients.append(self.connection)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                candidate.seen.append({**self.headers, "path": self.path})
                with suppress(OSError):
                    candidate.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        server.daemon_threads = True
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for client in self.clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self.clients.clear()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, or not."""
        if self.mode == "hangs":
            self.ending.wait()
            return
        if self.mode == "closes":
            handler.close_connection = True
            return
        content = {"nonsense": b"\xff\xfe", "huge": b"x" * 3 * 1024**2}.get(self.mode, ANSWER)
        handler.send_response({"busy": 503, "moved": 302}.get(self.mode, 200))
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        handler.end_headers()
        for place in range(len(content)) if self.mode == "trickles" else ():
            handler.wfile.write(content[place : place + 1])
            if self.ending.wait(DEADLINE / 4):
                return
        if self.mode != "trickles":
            handler.wfile.write(content)


@contextmanager
def running() -> Iterator[Candidate]:
    found = Candidate()
    found.start()
    yield found
    found.ending.set()
    found.stop()


@pytest.fixture(scope="module")
def candidate() -> Iterator[Candidate]:
    """The candidate of the `service`."""
    with running() as found:
        yield found


@pytest.fixture
def other() -> Iterator[Candidate]:
    """A candidate of which only one test has a service."""
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, candidate: Candidate) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("faults")
    write_example(write_model(folder / "models", "Echo", ECHO), {}, {"y": 1, "text": ""})
    with serving(
        folder,
        folder / "models",
        MODELSYNC_SHADOW_URL=f"http://127.0.0.1:{candidate.port}/prefix/",
        MODELSYNC_PREDICT_TIMEOUT=setting(DEADLINE),
        MODELSYNC_WORKERS="1",
        MODELSYNC_ADMIN_TOKENS="admin-token",
    ) as running:
        yield running


def results(service: Service) -> dict[str, int]:
    found: dict[str, int] = service.get("/models/Echo/shadow").json()["requests"]
    return found


def ask(service: Service, count: int = 1, body: bytes = BODY, **fields: str) -> float:
    """Predict so often; the longest time that it took."""
    longest = 0.0
    with requests.Session() as client:
        for _ in range(count):
            began = time.monotonic()
            answer = client.post(
                f"{service.base}/Echo", body, headers=JSON | fields, timeout=patient(30)
            )
            longest = max(longest, time.monotonic() - began)
            assert answer.status_code == 200
            assert answer.json()["y"] == 1
    return longest


def test_what_the_candidate_gets(service: Service, candidate: Candidate) -> None:
    """The path behind the URL's own, type and id; no cookie, and no token that is not needed."""
    candidate.mode = "good"
    given = {"X-Request-ID": "mine", "Cookie": "a=b", "Authorization": "Bearer x", "X-Other": "1"}
    requests.post(
        f"{service.base}/Echo?a=1", BODY, headers=JSON | given, timeout=patient(30)
    ).raise_for_status()
    until(lambda: candidate.seen)
    seen = {name.lower(): value for name, value in candidate.seen[-1].items()}
    assert seen["path"] == "/prefix/models/Echo?a=1"
    assert seen["x-request-id"] == "mine"
    assert seen["x-modelsync-shadow"] == "1"
    assert seen["content-type"] == "application/json"
    assert not {"cookie", "authorization", "x-other"} & set(seen)
    until(lambda: results(service)["equal"] == 1)


@pytest.mark.parametrize(
    ("mode", "result", "why"),
    [
        ("busy", "failed", "503"),
        ("closes", "failed", "Disconnected"),
        ("trickles", "failed", "Timeout"),
        ("hangs", "failed", "Timeout"),
        ("moved", "different", "302"),
        ("nonsense", "different", "JSON"),
        ("huge", "different", "bytes"),
    ],
)
def test_a_candidate_that_misbehaves(
    service: Service, candidate: Candidate, mode: str, result: str, why: str
) -> None:
    """It is counted for what it is, with the reason of the last one that failed."""
    candidate.mode = mode
    before = results(service)[result]
    elsewhere = len(candidate.seen)
    assert ask(service) < patient(DEADLINE)
    until(lambda: results(service)[result] == before + 1)
    assert len(candidate.seen) == elsewhere + 1  # no redirect was followed, nothing asked again
    found = service.get("/models/Echo/shadow", headers=ADMIN).json()
    assert why in (found["failure"] if result == "failed" else found["differences"][0]["what"])


def test_large_requests(service: Service, candidate: Candidate) -> None:
    """They are copied up to a size, and dropped above; their clients have their answers."""
    candidate.mode = "good"
    before = results(service)
    ask(service, body=b'{"variables": {"text": "%s"}}' % (b"x" * 2 * 1024**2))
    until(lambda: results(service)["different"] == before["different"] + 1, 30)
    ask(service, body=b'{"variables": {"text": "%s"}}' % (b"x" * 9 * 1024**2))
    until(lambda: results(service)["dropped"] == before["dropped"] + 1, 30)


def test_a_candidate_that_is_away(service: Service, candidate: Candidate) -> None:
    """Each copy fails, and all is well once it is back."""
    candidate.mode = "good"
    candidate.stop()
    before = results(service)
    ask(service, 3)
    until(lambda: results(service)["failed"] == before["failed"] + 3)
    candidate.start()
    ask(service, 3)
    until(lambda: results(service)["equal"] == before["equal"] + 3)
    assert 1 <= len(service.lines(event="shadow_failed")) <= 5


def test_a_candidate_that_hangs_under_load(service: Service, candidate: Candidate) -> None:
    """So many wait as there is room for; the others are dropped, and no client waits."""
    candidate.mode = "hangs"
    before = results(service)["dropped"]
    assert ask(service, 1200) < patient(DEADLINE)
    until(lambda: results(service)["dropped"] > before)


def test_the_service_ends_while_the_candidate_hangs(tmp_path: Path, other: Candidate) -> None:
    """Nobody waits for the candidate, nor is anything left behind."""
    other.mode = "hangs"
    write_example(write_model(tmp_path / "models", "Echo", ECHO), {}, {"y": 1, "text": ""})
    url = f"http://127.0.0.1:{other.port}"
    with serving(tmp_path, tmp_path / "models", MODELSYNC_SHADOW_URL=url) as service:
        ask(service, 20)
        until(lambda: len(other.seen) == 8)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < patient(15)
        assert service.lines(event="shadow_ended") == []
        assert not (tmp_path / "home" / "shadow" / "socket").exists()


def test_a_share_of_nothing_starts_nothing(tmp_path: Path, other: Candidate) -> None:
    """With a rate of 0 there is no process, and no prediction is copied."""
    other.mode = "good"
    write_example(write_model(tmp_path / "models", "Echo", ECHO), {}, {"y": 1, "text": ""})
    seen = len(other.seen)
    with serving(
        tmp_path,
        tmp_path / "models",
        MODELSYNC_SHADOW_URL=f"http://127.0.0.1:{other.port}",
        MODELSYNC_SHADOW_RATE="0",
    ) as service:
        ask(service, 5)
        found = service.get("/models/Echo/shadow").json()
        assert (found["rate"], sum(found["requests"].values())) == (0, 0)
        assert 'modelsync_shadow_requests_total{model="Echo"' not in service.get("/metrics").text
    assert len(other.seen) == seen
    assert not (tmp_path / "home" / "shadow").exists()
