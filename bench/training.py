"""Figure 7: fitting on a Parquet data set that is larger than memory: all processes of the job stay
under 600 MB together.

The service runs as a user starts it; the model has `fit` for the first batch and `update`, which is
scikit-learn's `partial_fit`, for the others.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import requests
from pyarrow import parquet

from bench.processes import pss
from bench.reporting import Figure, Line, progress
from tests.fixtures.service import Service, serving, write_model

TARGET = 600.0
"""MB of all processes of the job."""

COLUMNS = 24
FILE = 256 * 1024**2
GROUP = 64 * 1024**2
EVERY = 0.25
"""Seconds between two looks at the memory."""

PATIENCE = 3600.0

TOKEN = "bench"
LOGIN = {"Authorization": f"Bearer {TOKEN}"}

CODE = """
from sklearn.linear_model import SGDClassifier


class Stream:
    def fit(self, x, y):
        return SGDClassifier(loss="log_loss", max_iter=1, tol=None).fit(x, y)

    def update(self, x, y):
        return self.model.partial_fit(x, y)
"""


def measure(folder: Path, size: int = 512 * 1024**2) -> Figure:
    """Fit on `size` bytes of Parquet."""
    data = folder / "data"
    rows = write_data(data, size)
    on_disk = sum(file.stat().st_size for file in data.iterdir())
    write_model(folder / "models", "Stream", CODE)
    settings = {"MODELSYNC_DATA": str(data), "MODELSYNC_TRAIN_TOKENS": TOKEN}
    with serving(folder, folder / "models", env=settings) as service:
        started = time.monotonic()
        most, parts, metadata = _fit(service)
        seconds = time.monotonic() - started
    assert metadata["rows"] == rows, metadata
    lines = [
        Line("all processes of the job, at most", most / 1e6, "MB", TARGET),
        Line("data", on_disk / 1e6, "MB"),
        Line("time", seconds, "s"),
        Line("rows per second", rows / seconds, "rows"),
    ]
    shown = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in parts.items())
    notes = [
        f"{rows:,} rows of {COLUMNS} columns of 64-bit floats in files of "
        f"{FILE >> 20} MB; scikit-learn's SGDClassifier, each row once.",
        f"PSS of the processes below the trainer every {EVERY} s; at the peak: {shown}.",
        "The size of the data does not matter: `--training-size 4GiB` on the command line.",
    ]
    return Figure("7. Training: data larger than memory", "training", lines, notes)


def write_data(folder: Path, size: int) -> int:
    """Write Parquet files of so many bytes in all; return how many rows they have."""
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = FILE // (8 * COLUMNS)
    count = max(1, round(size / FILE))
    for number in range(count):
        progress(f"file {number + 1} of {count}")
        x = {f"x{n:02}": random.standard_normal(rows) for n in range(COLUMNS)}
        y = (x["x00"] + x["x01"] > random.standard_normal(rows)).astype(np.int64)
        table = pa.table({**x, "y": y})
        parquet.write_table(
            table,
            folder / f"part-{number:04}.parquet",
            row_group_size=GROUP // (8 * COLUMNS),
            compression="none",
            use_dictionary=False,
        )
    return rows * count


def _fit(service: Service) -> tuple[int, dict[str, int], dict[str, Any]]:
    """Ask for a fit and wait for it; the most memory that its processes took, which they were then,
    and what the job says of itself.
    """
    body = {"source": "*.parquet", "target": "y"}
    asked = requests.put(f"{service.base}/Stream", json=body, headers=LOGIN, timeout=60)
    assert asked.status_code == 202, (asked.status_code, asked.text)
    job = service.url + asked.headers["Location"].removeprefix(service.url)
    most, parts = 0, {}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = _memory(service)
        if sum(found.values()) > most:
            most, parts = sum(found.values()), found
        answer = requests.get(job, headers=LOGIN, timeout=60).json()
        if answer["done"]:
            assert "error" not in answer, answer
            return most, parts, answer["metadata"]
        time.sleep(EVERY)
    raise AssertionError("the job has not ended")


def _memory(service: Service) -> dict[str, int]:
    """Bytes of each process of the job, by what it does."""
    found: dict[str, int] = {}
    for process in psutil.Process(service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError, AssertionError):
            command = " ".join(process.cmdline())
            name = next((n for n in ("job run", "modelsync.fitting") if n in command), "")
            if name:
                found[name] = found.get(name, 0) + pss([process])
    return found
