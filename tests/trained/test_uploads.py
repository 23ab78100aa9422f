"""Bodies larger than those of predictions: training data, and ready models."""

from __future__ import annotations

import io
import pickle

import numpy as np
import psutil
import pytest
import requests
import skops.io
from sklearn.linear_model import LinearRegression

from tests.server.talking import connect, everything
from tests.trained.client import TRAIN, Client
from tests.trained.test_life_cycle import problem

pytestmark = pytest.mark.training

OCTETS = {"Content-Type": "application/octet-stream"}
MEGABYTE = 1024**2


def upload(client: Client, name: str, content: bytes, **headers: str) -> requests.Response:
    return client.call("PUT", f"Forest/versions/{name}", data=content, headers=OCTETS | headers)


def test_training_data_may_be_larger_than_a_prediction(client: Client) -> None:
    """They go through a file and another process: no worker keeps them in memory."""
    rows = [[float(number)] for number in range(400_000)]
    before = max(worker.memory_info().rss for worker in client.service.workers())
    made = client.fit(x=rows, y=[2.0] * len(rows), name="large")
    after = max(worker.memory_info().rss for worker in client.service.workers())
    assert made["response"]["rows"] == 400_000
    assert after - before < 20 * MEGABYTE, "about five times of it is what the body takes as JSON"
    detail = problem(client.call("PUT", "Mean", {"x": rows, "y": rows[1:]}), 422)
    assert "399999" in detail
    assert not list((client.service.home / "run" / "requests").iterdir())


def test_only_who_may_train_may_send_much(client: Client) -> None:
    """Others are told at once that their body is too large."""
    for token, status in ((TRAIN, b"422"), ("nobody", b"413")):
        head = (
            f"PUT /models/Mean HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {token}\r\nConnection: close\r\n"
            f"Content-Length: {2 * MEGABYTE}\r\n\r\n"
        )
        with connect(client.service.port) as sock:
            sock.sendall(head.encode())
            if status == b"422":
                sock.sendall(b'{"x": [], "y": []}'.ljust(2 * MEGABYTE))
            assert everything(sock).startswith(b"HTTP/1.1 " + status)


def test_a_skops_file_becomes_a_version(client: Client) -> None:
    """It is loaded and tried in a process of its own, then answers under its name."""
    x = np.array([[1.0], [2.0], [3.0]])
    file = io.BytesIO()
    skops.io.dump(LinearRegression().fit(x, [2.0, 4.0, 6.0]), file)
    answer = upload(client, "linear", file.getvalue(), Prefer="wait=120")
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["state"] == "done", answer.text
    [y] = client.call("POST", "Forest/versions/linear", {"x": [[4.0]]}).json()["y"]
    assert y == pytest.approx(8.0)
    version = client.call("GET", "Forest/versions/linear").json()
    assert (version["origin"], version["serializer"]) == ("upload", "skops")
    back = client.call("GET", "Forest/versions/linear/download")
    assert back.content == file.getvalue()


def test_what_is_no_model_is_refused(client: Client) -> None:
    """Pickles above all: opening one runs its code."""
    assert "pickle" in problem(upload(client, "x", pickle.dumps({"a": 1})), 422)
    assert "expected" in problem(upload(client, "x", b"hello"), 422)
    assert "empty" in problem(upload(client, "x", b""), 422)
    answer = client.call(
        "PUT", "Forest/versions/x", data=b"{}", headers={"Content-Type": "application/json"}
    )
    problem(answer, 415)
    problem(upload(client, "7", b"hello"), 422)
    assert psutil.pid_exists(client.service.process.pid)
