"""Requests that arrive together are answered together, and each gets its own answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.fixtures.service import Service, serving, write_model
from tests.waiting import patient

DOUBLES = """
class Doubles:
    def transform_predict(self, x: float):
        if x == 13:
            raise ValueError("thirteen")
        return {"x": x * 2}

    def transform_predict_batch(self, rows):
        if any(row["x"] == 13 for row in rows):
            raise ValueError("thirteen")
        return [LookupError("not known") if row["x"] == 7 else {"x": row["x"] * 2} for row in rows]
"""
TOGETHER = 64

FLOWERS = pd.DataFrame(np.random.default_rng(3).normal(size=(200, 2)), columns=["length", "width"])
FITTED = make_pipeline(StandardScaler(), LogisticRegression()).fit(
    FLOWERS, FLOWERS.length > FLOWERS.width
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker with a class that takes batches, and two ready artefacts; all have examples."""
    folder = tmp_path_factory.mktemp("batching")
    models = folder / "models"
    write_model(models, "Doubles", DOUBLES)
    example(models / "Doubles", {"x": 3}, {"x": 6})
    (models / "Flower").mkdir()
    joblib.dump(FITTED, models / "Flower" / "model.joblib")
    example(models / "Flower", {"length": 1, "width": 0})
    (models / "Graph").mkdir()
    (models / "Graph" / "model.onnx").write_bytes(
        to_onnx(FITTED[-1], FLOWERS.to_numpy("float32")).SerializeToString()
    )
    example(models / "Graph", {"x": [1, 0]})
    with serving(folder, models, MODELSYNC_WORKERS="1") as service:
        yield service


def example(
    folder: Path, variables: dict[str, Any], response: dict[str, Any] | None = None
) -> None:
    (folder / "examples").mkdir()
    content = {"variables": variables, **({"response": response} if response else {})}
    (folder / "examples" / "happy.json").write_text(json.dumps(content))


def ask(
    service: Service, name: str, requests: list[dict[str, Any]]
) -> list[tuple[int, dict[str, Any]]]:
    """Send these variables on a connection each, all before any answer is read."""
    connections = [
        socket.create_connection(("127.0.0.1", service.port), timeout=patient(30)) for _ in requests
    ]
    try:
        for connection, variables in zip(connections, requests, strict=True):
            body = json.dumps({"variables": variables}).encode()
            head = f"POST /models/{name} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(
                f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
        return [answer(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    with connection.makefile("rb") as file:
        head, _, body = file.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def ask_again(
    connections: list[socket.socket], name: str, requests: list[dict[str, Any]]
) -> list[tuple[int, Any]]:
    """`ask` on connections that stay open: from the third time on the same head is known."""
    for connection, variables in zip(connections, requests, strict=True):
        body = json.dumps({"variables": variables}).encode()
        head = f"POST /models/{name} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return [next_answer(connection) for connection in connections]


def next_answer(connection: socket.socket) -> tuple[int, Any]:
    with connection.makefile("rb", buffering=0) as file:
        status, length = int(file.readline().split()[1]), 0
        while (line := file.readline().strip().lower()) != b"":
            length = (
                int(line.removeprefix(b"content-length:"))
                if line.startswith(b"content-length:")
                else length
            )
        body = b""
        while len(body) < length:
            body += file.read(length - len(body)) or b""
        return status, json.loads(body)


def sizes(service: Service, name: str) -> dict[str, float]:
    """The histogram of batch sizes in /metrics: count, sum and buckets."""
    found = {}
    for line in service.get("/metrics").text.splitlines():
        if line.startswith("modelsync_batch_size_") and f'model="{name}"' in line:
            key, _, value = line.rpartition(" ")
            found[key.removeprefix("modelsync_batch_size_")] = float(value)
    return found


def test_each_request_gets_its_own_answer(service: Service) -> None:
    """Of 64 that are under way at once; the sizes of the batches are counted."""
    before = sizes(service, "Doubles")
    answers = ask(service, "Doubles", [{"x": x + 100} for x in range(TOGETHER)])
    assert answers == [(200, {"x": (x + 100) * 2.0}) for x in range(TOGETHER)]
    after = sizes(service, "Doubles")
    (total,) = (key for key in after if key.startswith("sum"))
    (count,) = (key for key in after if key.startswith("count"))
    assert after[total] - before.get(total, 0) == TOGETHER
    assert 1 <= after[count] - before.get(count, 0) <= TOGETHER
    assert after['bucket{le="+Inf",model="Doubles"}'] == after[count]


def test_a_ready_artefact_answers_each_as_it_would_alone(service: Service) -> None:
    """A file without code: its own probabilities, whatever else is in the batch."""
    rows = FLOWERS[:TOGETHER]
    answers = ask(service, "Flower", cast(list[dict[str, Any]], rows.to_dict("records")))
    for (status, got), label, (no, yes) in zip(
        answers, FITTED.predict(rows), FITTED.predict_proba(rows), strict=True
    ):
        assert status == 200
        assert got["prediction"] == bool(label)
        assert got["probabilities"] == pytest.approx({"false": no, "true": yes})
    assert (
        sum(value for key, value in sizes(service, "Flower").items() if key.startswith("sum"))
        >= TOGETHER
    )


def test_a_graph_that_was_loaded_before_the_fork_answers(service: Service) -> None:
    """onnxruntime has no thread in it that the workers would miss."""
    x = FLOWERS[:TOGETHER].to_numpy()
    answers = ask(service, "Graph", [{"x": row} for row in x.tolist()])
    labels = FITTED[-1].predict(pd.DataFrame(x).to_numpy()).astype(int).tolist()
    assert [(status, int(got["prediction"])) for status, got in answers] == [
        (200, label) for label in labels
    ]


def test_connections_that_stay_get_their_own_answers_too(service: Service) -> None:
    """Again and again, in one call with each other; one that fails does so alone, and its
    connection goes on.
    """
    connections = [
        socket.create_connection(("127.0.0.1", service.port), timeout=patient(30))
        for _ in range(16)
    ]
    try:
        for turn in range(20):
            # of the same length, so that the heads are the same
            given: list[dict[str, Any]] = [{"x": 100 + turn * 16 + place} for place in range(16)]
            given[turn % 16] = {"x": "abc"}
            answers = ask_again(connections, "Doubles", given)
            status, problem = answers.pop(turn % 16)
            assert (status, problem["model"]) == (422, "Doubles")
            given.pop(turn % 16)
            assert answers == [(200, {"x": one["x"] * 2.0}) for one in given]
    finally:
        for connection in connections:
            connection.close()


def test_what_comes_behind_a_request_in_a_batch_is_answered_behind_it(service: Service) -> None:
    """A connection that does not wait for its answers gets them in the order of its requests."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=patient(30)) as connection:
        for x in (101, 102, 103):
            assert ask_again([connection], "Doubles", [{"x": x}]) == [(200, {"x": x * 2.0})]
        ids = []
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for x in range(200, 230):
            body = b'{"variables": {"x": %d}}' % x
            head = b"POST /models/Doubles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            ids.append(x)
        assert [next_answer(connection) for _ in ids] == [(200, {"x": x * 2.0}) for x in ids]


@pytest.mark.parametrize(
    ("bad", "status", "detail"),
    [
        ({"x": "many"}, 422, "x: Input should be a valid number"),
        ({}, 422, "x: Field required"),
        ({"x": 13}, 500, "ValueError: thirteen"),
        ({"x": 7}, 500, "LookupError: not known"),
    ],
)
def test_a_bad_row_fails_alone(
    service: Service, bad: dict[str, Any], status: int, detail: str
) -> None:
    """A row that is invalid, makes the call raise, or is answered by an exception fails alone."""
    given = [{"x": x + 100} for x in range(TOGETHER)]
    given[TOGETHER // 2] = bad
    answers = ask(service, "Doubles", given)
    got, problem = answers.pop(TOGETHER // 2)
    assert got == status
    assert detail in problem["detail"]
    given.pop(TOGETHER // 2)
    assert answers == [(200, {"x": one["x"] * 2.0}) for one in given]


def test_a_bad_row_of_an_artefact_fails_alone(service: Service) -> None:
    """A feature that is missing is named; the others are answered."""
    given = [{"length": 1, "width": 0}] * TOGETHER
    given[5] = {"length": 1}
    answers = ask(service, "Flower", given)
    assert [status for status, _ in answers] == [200] * 5 + [422] + [200] * (TOGETHER - 6)
    assert answers[5][1]["errors"] == [{"field": "width", "message": "Field required"}]


def test_what_the_api_tells_of_them(service: Service) -> None:
    """The schema is that of one row, the artefact is named, and that it takes batches."""
    flower = service.get("/models/Flower").json()
    assert (flower["artefact"], flower["class"], flower["batched"]) == ("model.joblib", None, True)
    assert flower["schema"]["required"] == ["length", "width"]
    doubles = service.get("/models/Doubles").json()
    assert (doubles["artefact"], doubles["class"], doubles["batched"]) == (None, "Doubles", True)
    assert doubles["schema"]["required"] == ["x"]
    assert (
        'routes.model("Flower", folder="models_serve/Flower", artefact="model.joblib"'
        in (service.home / "current" / "serve_models.py").read_text()
    )
