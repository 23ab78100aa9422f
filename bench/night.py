"""Figure 12: fifty models are trained at night by the service's schedule, while clients go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import requests

from bench.reporting import Figure, Line, progress
from tests.fixtures.load import Tally, load
from tests.fixtures.service import Service, serving, write_example, write_model

MODELS = 50
ROWS = 2_000
CONNECTIONS = 8
PAUSE = 0.02
"""Seconds between an answer and the next request of a client: the machine is not full of it."""

ALONE = 30.0
"""Seconds of the same load without a training, before and after."""

PATIENCE = 3600.0

LANE = """
class Lane:
    def transform_predict(self, a: float, b: float):
        return {"y": 2 * a + 3 * b}
"""

NIGHTLY = """
from sklearn.linear_model import LinearRegression


class {name}:
    source = "rows.csv"
    target = "y"

    def fit(self, x, y):
        return LinearRegression().fit(x, y)
"""


def measure(folder: Path) -> Figure:
    """The latency of a plain model alone, and while the schedule trains all others."""
    models = folder / "models"
    write_example(write_model(models, "Lane", LANE), {"a": 0.1, "b": 0.2})
    names = [f"Night{number:02}" for number in range(MODELS)]
    for number, name in enumerate(names):
        _write_rows(write_model(models, name, NIGHTLY.format(name=name)) / "rows.csv", number)
    due = (datetime.now().astimezone() + timedelta(minutes=3)).replace(second=0, microsecond=0)
    settings = {"MODELSYNC_TRAIN_CRON": f"{due.minute} {due.hour} * * *"}
    with serving(folder, models, env=settings) as service:
        progress("alone")
        with _asked(service) as before:
            time.sleep(ALONE)
        time.sleep(max(0.0, (due - datetime.now().astimezone()).total_seconds() - 1))
        progress("the night")
        with _asked(service) as beside:
            runs = _trained(service, names)
        progress("beside a niced process that is none of ours")
        with _busy(), _asked(service) as control:
            time.sleep(ALONE)
        progress("alone again")
        with _asked(service) as after:
            time.sleep(ALONE)
    alone = min(before.p99, after.p99)  # the quieter one: what disturbs both is no training
    begun = [datetime.fromisoformat(run["started"]) for run in runs]
    ended = [datetime.fromisoformat(run["ended"]) for run in runs]
    lines = [
        Line(
            "p99 of the plain model, to that without trainings",
            beside.p99 / alone,
            "times",
            2.0,
            known=True,
        ),
        Line(
            "the same beside one niced process that only imports libraries",
            control.p99 / alone,
            "times",
        ),
        Line("its requests that failed", len(beside.failures), "", 0, of=beside.answered),
        Line(
            "from the time of the schedule to the first training",
            _seconds(min(begun) - due),
            "s",
            5,
        ),
        Line(
            "p99 without trainings",
            alone * 1e3,
            "ms",
            runs=(before.p99 * 1e3, after.p99 * 1e3),
        ),
        Line("p99 beside them", beside.p99 * 1e3, "ms"),
        Line(f"all {MODELS} trainings", _seconds(max(ended) - min(begun)), "s"),
    ]
    notes = [
        f"{MODELS} models with `fit` and a CSV file of {ROWS:,} rows, scikit-learn's "
        "LinearRegression, started by MODELSYNC_TRAIN_CRON with the default settings: one job at a "
        "time, niced.",
        "p99 to that of the quieter of two measurements without trainings. On a machine of two "
        "cores that has nothing else to do, one niced process that is none of ours raises it about "
        "as much, whatever its priority (SCHED_IDLE, nice 19, one core): the known limit.",
        f"{CONNECTIONS} clients in Python that wait {PAUSE * 1e3:.0f} ms between requests, "
        f"{before.answered:,} answers alone and {beside.answered:,} beside; they share the "
        "machine.",
    ]
    return Figure("12. Trainings at night", "night", lines, notes)


@contextmanager
def _busy() -> Iterator[None]:
    """Run processes that import what a training does, one after another, niced as jobs are."""
    code = "import sqlalchemy, pandas, sklearn.linear_model"
    again = f"while :; do '{sys.executable}' -c '{code}'; done"
    process = subprocess.Popen(["nice", "-n", "10", "sh", "-c", again], start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _write_rows(file: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.standard_normal((ROWS, 3))
    y = x @ [1.0, 2.0, 3.0] + random.standard_normal(ROWS)
    np.savetxt(file, np.column_stack([x, y]), "%.6f", ",", header="a,b,c,y", comments="")


def _asked(service: Service) -> AbstractContextManager[Tally]:
    body = b'{"variables": {"a": 0.5, "b": 0.25}}'
    return load(service.port, "/models/Lane", body, connections=CONNECTIONS, pause=PAUSE)


def _trained(service: Service, names: list[str]) -> list[dict[str, Any]]:
    """Wait until each model was trained once; their runs."""
    found: dict[str, dict[str, Any]] = {}
    end = time.monotonic() + PATIENCE
    while len(found) < len(names):
        assert time.monotonic() < end, f"only {len(found)} were trained"
        time.sleep(2)
        for name in names:
            if name in found:
                continue
            runs = requests.get(f"{service.base}/{name}/runs", timeout=60).json()["runs"]
            if not runs or not runs[0]["done"]:
                break  # one after another, in this order
            assert runs[0]["outcome"] == "promoted", runs[0]
            found[name] = runs[0]
    return list(found.values())


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
