"""A service that ends lets nobody wait."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic

import pytest
import requests

from tests.fixtures.service import serving, write_model
from tests.server.talking import connect, read_reply
from tests.trained.client import TRAIN, Client
from tests.trained.conftest import MEAN
from tests.waiting import patient, until

pytestmark = pytest.mark.training


def test_who_waits_is_answered_when_the_service_ends(tmp_path: Path) -> None:
    """A stream of events ends, `Prefer: wait` is answered as the job is then."""
    write_model(tmp_path / "models", "Mean", MEAN)
    with (
        serving(
            tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1", MODELSYNC_TRAIN_TOKENS=TRAIN
        ) as service,
        connect(service.port, 90) as waiting,
    ):
        client = Client(service)
        body = {"x": [[1]], "y": [1], "params": {"seconds": 600}}
        job = client.call("PUT", "Mean", body).json()["job"]
        until(lambda: requests.get(service.url + job, timeout=60).json()["metadata"]["started"])
        events = requests.get(
            service.url + job, headers={"Accept": "text/event-stream"}, stream=True, timeout=60
        )
        lines = events.iter_lines()
        until(lambda: b"event: state" in next(lines))
        waiting.sendall(f"GET {job} HTTP/1.1\r\nHost: a\r\nPrefer: wait=200\r\n\r\n".encode())
        assert service.get("/livez").status_code == 200  # by then it has been read
        began = monotonic()
        service.process.terminate()
        assert b"connect again" in b"\n".join(lines)
        answer = read_reply(waiting.makefile("rb"))
        assert answer.status == 200
        assert json.loads(answer.body)["done"] is False
        service.process.wait(patient(60))
        assert monotonic() - began < patient(45)
