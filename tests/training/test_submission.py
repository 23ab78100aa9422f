"""What is stored of a request, and what is refused before anything is."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import secrets
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from modelsync.errors import DataInvalid, IdempotencyMismatch, JobsFull, RequestError
from modelsync.models.types import ModelEntry, ModelName, ModelSpec, TreeHash
from modelsync.settings.secret import Secret
from modelsync.settings.training import Training
from modelsync.store import Store
from modelsync.store.records import Job
from modelsync.store.tables import blobs
from modelsync.training.submission import Intake, Submission
from tests.training.storing import open_store, settings_of

WAITING = 2


class Sender:
    """Sends requests to fit one model, whose queue holds `WAITING` jobs."""

    def __init__(self, home: Path, **training_settings: Any) -> None:
        training = dataclasses.replace(Training(), max_queue=WAITING, **training_settings)
        self.store: Store = open_store(home)
        self._intake = Intake(self.store, settings_of(home, training=training), home)
        spec = ModelSpec(ModelName("Mean"), Path("Mean"), TreeHash("c0de"), methods=("fit",))
        self._entry = ModelEntry(spec, "ready", spec.version, "")

    def send(self, key: str = "", **body: Any) -> Job:
        data = json.dumps({"x": [[1]], "y": [1], **body}).encode()
        asked = Submission("fit", io.BytesIO(data), len(data), idempotency_key=key)
        return self._intake.submit(self._entry, asked)[0]

    def blobs(self) -> int:
        with self.store.catalog.database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(blobs)) or 0


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path / "home")


@pytest.mark.parametrize(("key", "error"), [("", JobsFull), ("first", IdempotencyMismatch)])
def test_a_refused_request_leaves_no_data(
    sender: Sender, key: str, error: type[RequestError]
) -> None:
    """Else whoever asks again and again fills the disk: its blob would stay for a day."""
    for number, one in enumerate(("first", "second")):
        sender.send(one, y=[number])
    for _ in range(3):
        with pytest.raises(error):
            sender.send(key, x=[[secrets.randbits(30)]])
    assert sender.blobs() == WAITING
    assert sender.send("first", y=[0]).number == 1  # the same again is no new job


@pytest.mark.parametrize(
    "facts",
    [
        {"params": {"words": ["a" * 100] * 3000}},
        {"source": "a.csv", "y": "b", "columns": ["a" * 100] * 3000},
        {"webhook": "http://localhost/" + "a" * 3000},
        {"params": {"a" * 300_000: 1}},
    ],
)
def test_what_a_row_of_the_queue_holds_is_bounded(sender: Sender, facts: dict[str, Any]) -> None:
    """Each look at the queue reads it; the message does not repeat it."""
    with pytest.raises(DataInvalid, match="expected at most") as raised:
        sender.send(**facts)
    assert len(str(raised.value)) < 200


def test_a_query_is_run_again(tmp_path: Path) -> None:
    """Nobody knows whether its rows have changed: each night the same `PUT` asks for a new fit."""
    database = tmp_path / "data.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE sales AS SELECT 1 AS a, 2 AS b")
    sender = Sender(tmp_path / "home", data_url=Secret(f"sqlite:///{database}"))
    tonight, tomorrow = (
        sender.send(x=None, source="SELECT a, b FROM sales", y="b") for _ in range(2)
    )
    assert tomorrow.number == tonight.number + 1
    assert tomorrow.asked.key == tonight.asked.key  # which means the newest version
