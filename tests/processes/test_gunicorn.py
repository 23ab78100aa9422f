"""The same application under gunicorn's own workers, over real sockets: what a test client would
tidy up.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.serving import COMMIT, body, exchange, gunicorn

LIMIT = 64 * 1024


@pytest.fixture(scope="module", params=["sync", "gthread"])
def address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    folder = tmp_path_factory.mktemp(request.param)
    with gunicorn(
        folder, request.param, MODELSYNC_MAX_BODY=str(LIMIT), MODELSYNC_WEBHOOK_SECRET="s"
    ) as found:
        yield found


def asked(target: str, method: str = "POST", sent: bytes = b"", **headers: str) -> bytes:
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + sent


def predicting(target: str, sent: bytes) -> bytes:
    return asked(target, sent=sent, Content_Type="application/json", Content_Length=str(len(sent)))


def chunked(body: bytes) -> bytes:
    chunks = [body[start : start + 0x1000] for start in range(0, len(body), 0x1000)]
    whole = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return asked(
        "/models/Add", sent=whole, Content_Type="application/json", Transfer_Encoding="chunked"
    )


def test_a_prediction(address: tuple[str, int]) -> None:
    """As under the test client."""
    status, headers, answer = exchange(address, predicting("/models/Add", body(a=40)))
    assert (status, json.loads(answer)) == (200, {"sum": 42})
    assert headers["x-modelsync-release"] == COMMIT


@pytest.mark.parametrize(
    "target",
    [
        "/models/Add/",
        "//models/Add",
        "/models//Add",
        "/models/%2e%2e%2fAdd",
        "/models/../models/Add",
        "/models/%2e%2e/models/Add",
        "/models/Add%00",
        "/models/%00",
        "/models/Add%2f",
        "/models%2fAdd%2e",
        "/models/Add;a=1",
        "/models/%ff",
        "/%2e%2e/etc/passwd",
        "/models/static/%2e%2e/app.py",
        "/models/static/%2e%2e%2fapp.py",
        "/models/static/..%5capp.py",
        "/models/static/%00",
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_odd_paths_are_not_found(address: tuple[str, int], method: str, target: str) -> None:
    """404, or 405 with Allow; never a redirect, never a file."""
    sent = body(a=1)
    length = {"Content_Type": "application/json", "Content_Length": str(len(sent))}
    status, headers, answer = exchange(address, asked(target, method, sent, **length))
    assert status in {404, 405}, answer
    assert "location" not in headers
    assert status == 404 or headers["allow"]
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(answer)["status"] == status


def test_a_body_over_the_limit_by_length(address: tuple[str, int]) -> None:
    """413 before the body is read: the client has not sent it yet."""
    for target in ("/models/Add", "/models/all"):
        head = asked(target, Content_Type="application/json", Content_Length=str(50 * 1024**2))
        status, _, answer = exchange(address, head)
        assert (status, json.loads(answer)["status"]) == (413, 413)


def test_a_chunked_body_over_the_limit(address: tuple[str, int]) -> None:
    """413 once the limit is passed, whether the rest comes or not."""
    for size in (LIMIT + 1, 8 * LIMIT):
        status, _, answer = exchange(address, chunked(body(a=1).ljust(size)))
        assert (status, json.loads(answer)["status"]) == (413, 413)
    assert exchange(address, chunked(body(a=1).ljust(LIMIT)))[0] == 200


def test_a_webhook_of_50_megabytes(address: tuple[str, int]) -> None:
    """413 at once, by its length alone, signed or not."""
    head = asked("/models/sync", Content_Length=str(50 * 1024**2), X_Hub_Signature_256="sha256=00")
    assert exchange(address, head)[0] == 413
    assert exchange(address, asked("/models/sync", Content_Length="2", sent=b"{}"))[0] == 401


def test_a_client_that_leaves_in_the_middle_of_its_body(address: tuple[str, int]) -> None:
    """Costs nobody else anything."""
    with socket.create_connection(address) as client:
        client.sendall(
            asked("/models/Add", Content_Type="application/json", Content_Length="1000") + b"{"
        )
    assert exchange(address, predicting("/models/Add", body(a=1)))[0] == 200


def test_head_and_options(address: tuple[str, int]) -> None:
    """HEAD has no body, OPTIONS tells what is allowed."""
    status, headers, _ = exchange(address, asked("/readyz", "OPTIONS"))
    assert (status, "GET" in headers["allow"]) == (200, True)
    with socket.create_connection(address) as client:
        client.sendall(asked("/readyz", "HEAD"))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


def test_workers_that_were_forked_with_the_models_count_together(tmp_path: Path) -> None:
    """Each counts in a file of its own; whichever is asked tells the sum."""
    with gunicorn(tmp_path, "sync", ["--preload", "--workers", "3"]) as address:
        for _ in range(60):
            assert exchange(address, predicting("/models/Add", body(a=1)))[0] == 200
        for _ in range(6):
            _, _, answer = exchange(address, asked("/metrics", "GET"))
            assert b'modelsync_requests_total{code="200",model="Add"} 60.0' in answer
    assert len(list((tmp_path / "home" / "run" / "metrics").glob("*.counters"))) > 1
