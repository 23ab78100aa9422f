"""Models that are called in the event loop: fast, and still harmless when one of them is not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.server.talking import connect, post, read_reply
from tests.waiting import setting, until

MODELS = {
    "Fast": "class Fast:\n    def transform_predict(self, v: dict):\n"
    "        return {'twice': 2 * v['a']}\n",
    "Moody": """
import time
class Moody:
    def transform_predict(self, v: dict):
        if v["a"] == "spin":
            while True:
                pass
        if v["a"] == "block":
            time.sleep(3600)
        if v["a"] == "slow":
            time.sleep(0.02)
        if v["a"] == "raise":
            raise ValueError("moody")
        return {"a": v["a"]}
""",
}


def write_models(folder: Path) -> Path:
    for name, code in MODELS.items():
        write_example(write_model(folder / "models", name, code), {"a": 1})
    return folder / "models"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(
        tmp_path,
        write_models(tmp_path),
        MODELSYNC_WORKERS="1",
        MODELSYNC_PREDICT_TIMEOUT=setting(3),
        MODELSYNC_THREADS="4",
    ) as running:
        yield running


def test_an_exception_in_the_loop_is_a_500_of_its_own(service: Service) -> None:
    """The connection goes on, and so does the model."""
    with connect(service.port) as sock:
        stream = sock.makefile("rb")
        for asked, status in (
            ("1", 200),
            ('"raise"', 500),
            ("2", 200),
            ('"raise"', 500),
            ("3", 200),
        ):
            sock.sendall(post("/models/Moody", b'{"variables": {"a": %s}}' % asked.encode()))
            assert read_reply(stream).status == status


def test_a_busy_loop_in_the_event_loop_is_interrupted(service: Service) -> None:
    """It gets 504, the worker survives, and the next one runs in a thread, where it holds nobody
    up.
    """
    [worker] = service.workers()
    assert service.post("Moody", {"a": "spin"}).status_code == 504
    with ThreadPoolExecutor(2) as pool:
        spinning = pool.submit(service.post, "Moody", {"a": "spin"})
        until(
            lambda: (
                'modelsync_requests_in_flight{model="Moody"} 1.0' in service.get("/metrics").text
            )
        )
        assert service.post("Fast", {"a": 4}).json() == {"twice": 8}
        assert spinning.result().status_code == 504
    assert [one.pid for one in service.workers()] == [worker.pid]
    assert service.post("Moody", {"a": 1}).json() == {"a": 1}


def test_a_call_that_blocks_the_event_loop_costs_one_worker_once(service: Service) -> None:
    """The worker is replaced at the deadline and the log names the model; afterwards it blocks
    nobody.
    """
    [worker] = service.workers()
    with connect(service.port, 20) as sock:
        sock.sendall(post("/models/Moody", b'{"variables": {"a": "block"}}'))
        assert sock.recv(100) == b""  # the worker has gone, and this request with it
    until(lambda: [one.pid for one in service.workers()] not in ([], [worker.pid]), 10)
    assert any(
        "Moody" in line["message"] and "event loop" in line["message"] for line in service.lines()
    )
    [second] = service.workers()
    with ThreadPoolExecutor(2) as pool:
        blocked = pool.submit(service.post, "Moody", {"a": "block"})
        until(
            lambda: (
                'modelsync_requests_in_flight{model="Moody"} 1.0' in service.get("/metrics").text
            )
        )
        assert service.post("Fast", {"a": 4}).json() == {"twice": 8}
        assert blocked.result().status_code == 504
    assert [one.pid for one in service.workers()] == [second.pid]


def test_a_model_that_becomes_slow_leaves_the_event_loop(service: Service) -> None:
    """After a few slow calls the log says that it moves to threads, and its callers still get their
    answers.
    """
    for _ in range(8):
        assert service.post("Moody", {"a": "slow"}).json() == {"a": "slow"}
    until(lambda: [line for line in service.lines() if "moves to threads" in line["message"]])
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda _: service.post("Moody", {"a": "slow"}).status_code, range(12))
        )
    assert found == [200] * 12


def test_counts_and_log_lines_are_exact_under_load(service: Service) -> None:
    """As many requests counted and logged as were answered, whichever way they were."""
    with load(service.port, "/models/Fast", b'{"variables": {"a": 1}}', connections=8) as tally:
        until(lambda: tally.answered > 3000)
    assert tally.failures == []
    line = 'modelsync_requests_total{code="200",model="Fast"}'
    until(
        lambda: f"{line} {float(tally.answered)}" in service.get("/metrics").text,
        5,
        f"{tally.answered} counted",
    )
    until(lambda: len(service.lines(message="POST /models/Fast 200")) == tally.answered, 5)


def test_a_token_that_is_taken_away_stops_working_within_seconds(tmp_path: Path) -> None:
    """Also on a connection whose head is known: nothing is remembered longer than a second."""
    tokens = tmp_path / "tokens"
    tokens.write_text("first,second")
    models = write_models(tmp_path)
    with (
        serving(
            tmp_path, models, MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TOKENS_FILE=str(tokens)
        ) as service,
        connect(service.port) as sock,
    ):
        stream = sock.makefile("rb")
        request = post("/models/Fast", b'{"variables": {"a": 1}}', "Authorization: Bearer first")

        def status() -> int:
            sock.sendall(request)
            return read_reply(stream).status

        assert [status() for _ in range(5)] == [200] * 5
        tokens.write_text("second")
        until(lambda: status() == 401, 5)
        sock.sendall(request.replace(b"first", b"second"))
        assert read_reply(stream).status == 200


def test_heads_that_differ_are_never_confused(service: Service) -> None:
    """Request ids, lengths and models of alternating requests on one connection stay apart."""
    with connect(service.port) as sock:
        stream = sock.makefile("rb")
        for turn in range(40):
            model = ("Fast", "Moody")[turn % 2]
            body = b'{"variables": {"a": %d}}' % (10 ** (turn % 5))
            sock.sendall(post(f"/models/{model}", body, f"X-Request-ID: id-{turn % 3}"))
            reply = read_reply(stream)
            wanted = 10 ** (turn % 5)
            assert reply.body == (
                b'{"twice":%d}' % (2 * wanted) if model == "Fast" else b'{"a":%d}' % wanted
            )
            assert reply.headers["x-request-id"] == f"id-{turn % 3}"
