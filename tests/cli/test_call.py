"""`modelsync call`: what it sends, what it prints, and what it says where that fails."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.command import modelsync, seen_by_a_person


class Recorder(HTTPServer):
    """Keeps what it is sent, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.answer: tuple[int, str, bytes] = (200, "application/json", b'{"b":1,"a":2.50}')
        self.url = f"http://127.0.0.1:{self.server_port}/models"


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(
            {
                "path": self.path,
                "body": json.loads(body),
                "authorization": self.headers["Authorization"],
            }
        )
        status, kind, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_values_are_json_else_text(recorder: Recorder, tmp_path: Path) -> None:
    """NAME=VALUE reads numbers, true, null, lists and objects as JSON, all else as text; dots reach
    into objects.
    """
    values = [
        "n=5.1",
        "flag=true",
        "none=null",
        "list=[1,2]",
        "text=hello world",
        'quoted="5"',
        "empty=",
        "eq=a=b",
    ]
    done = modelsync(
        "call", "Iris", *values, "o.k.x=2", "o.k.y=NaN", "--url", recorder.url, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert recorder.requests[0]["path"] == "/models/Iris"
    assert recorder.requests[0]["body"] == {
        "variables": {
            "n": 5.1, "flag": True, "none": None, "list": [1, 2], "text": "hello world",
            "quoted": "5", "empty": "",
            "eq": "a=b", "o": {"k": {"x": 2, "y": "NaN"}},
        }
    }  # fmt: skip


def test_variables_come_from_an_argument_a_file_or_standard_input(
    recorder: Recorder, tmp_path: Path
) -> None:
    """--variables takes a JSON object in three ways, and NAME=VALUE goes on top."""
    (tmp_path / "v.json").write_text('{"a": 1, "b": 1}')
    for given in ('{"a": 1, "b": 1}', "@v.json", "@-"):
        stdin = '{"a": 1, "b": 1}'
        done = modelsync(
            "call",
            "M",
            "b=2",
            "--variables",
            given,
            "--url",
            f"{recorder.url}/",
            cwd=tmp_path,
            stdin=stdin,
        )
        assert done.returncode == 0, done.stderr
    assert [request["body"]["variables"] for request in recorder.requests] == [{"a": 1, "b": 2}] * 3


def test_the_answer_is_printed_as_it_came(recorder: Recorder, tmp_path: Path) -> None:
    """Into a pipe go the answer's own bytes, so that a program can read them."""
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"b":1,"a":2.50}\n', "")


def test_the_token_is_sent(recorder: Recorder, tmp_path: Path) -> None:
    """The bearer token is the file's, else the first of the predict tokens in the settings, else
    none.
    """
    (tmp_path / "token").write_text("from-file\n")
    modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    modelsync(
        "call", "M", "--url", recorder.url, cwd=tmp_path, MODELSYNC_PREDICT_TOKENS="first, second"
    )
    modelsync(
        *("call", "M", "--url", recorder.url, "--token-file", "token"),
        cwd=tmp_path,
        MODELSYNC_PREDICT_TOKENS="first",
    )
    assert [request["authorization"] for request in recorder.requests] == [
        None,
        "Bearer first",
        "Bearer from-file",
    ]


def test_a_problem_is_text(recorder: Recorder, tmp_path: Path) -> None:
    """An error answer is told in words, each bad field on a line of its own, with the id to look
    for in the log.
    """
    problem = {
        "title": "Unprocessable Content", "status": 422, "detail": "a: missing; b: not a number",
        "model": "M",
        "request_id": "r-1", "release": "abc",
        "errors": [{"field": "a", "message": "missing"}, {"field": "b", "message": "not a number"}],
    }  # fmt: skip
    recorder.answer = (422, "application/problem+json", json.dumps(problem).encode())
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "modelsync: 422 Unprocessable Content:",
        "  a: missing",
        "  b: not a number",
        "  (request id r-1, release abc)",
    ]


@pytest.mark.parametrize("status", [302, 404, 502])
def test_another_server_is_told_apart(recorder: Recorder, status: int, tmp_path: Path) -> None:
    """The command reports an answer that is not of modelsync, such as a proxy's page."""
    recorder.answer = (status, "text/html", b"<h1>hello from a proxy</h1>")
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert done.returncode == 1
    assert str(status) in done.stderr
    assert "hello from a proxy" in done.stderr


def test_the_url_needs_no_scheme(recorder: Recorder, tmp_path: Path) -> None:
    """What is copied without its http:// is understood."""
    done = modelsync("call", "M", "--url", recorder.url.removeprefix("http://"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert recorder.requests[0]["path"] == "/models/M"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_a_connection_that_is_closed_early_is_told_apart(answer: bytes, tmp_path: Path) -> None:
    """The service runs, so nobody is told to start it: the model may have ended its worker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1 << 16):
                    pass

        thread = threading.Thread(target=hang_up)
        thread.start()
        done = modelsync(
            "call", "M", "--url", f"127.0.0.1:{listener.getsockname()[1]}", cwd=tmp_path
        )
        thread.join()
    assert done.returncode == 1
    assert (
        "closed the connection without a whole answer: the model may have ended its worker"
        in done.stderr
    )
    assert "is the service running" not in done.stderr


def test_no_service_says_how_to_start_one(tmp_path: Path) -> None:
    """Where nothing listens the command says where it looked and what to run."""
    done = modelsync("call", "M", cwd=tmp_path, MODELSYNC_PORT="1", baseUrl="")
    assert done.returncode == 1
    assert "cannot connect to http://127.0.0.1:1/M" in done.stderr
    assert "modelsync serve" in done.stderr


def test_a_person_gets_it_pretty(recorder: Recorder, tmp_path: Path) -> None:
    """On a terminal the answer is indented and coloured; with NO_COLOR it is indented only."""
    command = ("call", "M", "--url", recorder.url)
    clean = {name: "" for name in ("NO_COLOR", "FORCE_COLOR") if name in os.environ}
    assert "\x1b[" in seen_by_a_person(*command, cwd=tmp_path, **clean)
    assert seen_by_a_person(*command, cwd=tmp_path, NO_COLOR="1").replace("\x1b[1m", "").replace(
        "\x1b[0m", ""
    ) == ('{\n  "b": 1,\n  "a": 2.5\n}\n')
