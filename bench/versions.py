"""Figure 8: what it costs to predict with a stored version, beside the same model pasted into a
folder; and the memory of a stored version of 200 MB in all workers.
"""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

from bench import wrk
from bench.host import default_workers
from bench.processes import family, pss, reach_every_worker
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.fixtures.versions import STORE_AWAY, Versions
from tests.waiting import until

ROUNDS = 21
SECONDS = 1
WORKERS = 4
SIZE = 25_000_000
"""Doubles of the large model: 200 MB."""

PASTED = """
import joblib

class {name}:
    def __init__(self, path):
        self.model = joblib.load(path + "model.joblib")

    def {method}
"""

STORED = """
from sklearn.linear_model import LogisticRegression

class {name}:
    def fit(self, x, y, **params):
        return LogisticRegression(**params).fit(x, y)

    def {method}
"""

ONE = """transform_predict(self, a: float, b: float):
        return {"y": float(self.model.predict_proba([[a, b]])[0, 1])}
"""

BATCH = """transform_predict_batch(self, rows: list[dict]):
        found = self.model.predict_proba([[row["a"], row["b"]] for row in rows])[:, 1]
        return [{"y": float(value)} for value in found]
"""

PLAIN = """transform_predict(self, a: float, b: float):
        return {"y": a * self.model["a"] + b * self.model["b"]}
"""

LARGE = """
import os

class Large:
    def fit(self, x, y=None):
        return x

    def transform_predict(self):
        data = self.model
        value = float(data.sum()) if data is not None else 0.0
        return {"pid": os.getpid(), "value": value}
"""

PAIRS = {"plain Python": PLAIN, "LogisticRegression": ONE, "LogisticRegression, batched": BATCH}


def measure(folder: Path) -> Figure:
    cost = _cost(folder / "cost")
    memory = _memory(folder / "memory")
    notes = [
        f"wrk, {wrk.CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s for each of the two, "
        "in turn, now the one first, now the other, in one service with "
        f"{default_workers()} workers; "
        "ratios of neighbouring rounds.",
        "Memory: PSS of the whole family (supervisor, trainer, master, workers) after each worker "
        f"has read all of the model's 200 MB; with {WORKERS} workers, less that of the same "
        "service with a version of 80 bytes: so without the libraries that come with a version, "
        "which each worker imports anew if the model's file does not.",
        "The store is away all the time: what serves is read from disk.",
    ]
    title = "8. Stored versions: beside the same model in a folder, and 200 MB in all workers"
    return Figure(title, "versions", [*cost, *memory], notes)


def _cost(folder: Path) -> list[Line]:
    """The time for a request with a stored version, to that with one that lies in the folder."""
    rng = np.random.default_rng(0)
    x = rng.random((200, 2))
    estimator = LogisticRegression().fit(x, x.sum(axis=1) > 1)
    versions = Versions(folder / "home")
    pairs = {}
    for number, (what, method) in enumerate(PAIRS.items()):
        pasted, stored = f"Pasted{number}", f"Stored{number}"
        fitted = {"a": 2.0, "b": 3.0} if method is PLAIN else estimator
        path = write_model(folder / "models", pasted, PASTED.format(name=pasted, method=method))
        joblib.dump(fitted, path / "model.joblib")
        write_example(path, {"a": 0.1, "b": 0.2})
        write_model(folder / "models", stored, STORED.format(name=stored, method=method))
        # As the job that has made a version measures it.
        versions.store(stored, 1, fitted, serializer="joblib", call_seconds=1e-4)
        versions.serve(**{stored: 1})
        pairs[what] = (pasted, stored)
    with serving(
        folder, folder / "models", env=STORE_AWAY, MODELSYNC_WORKERS=default_workers()
    ) as service:
        return [_compare(service, folder, what, *pair) for what, pair in pairs.items()]


def _compare(service: Service, folder: Path, what: str, pasted: str, stored: str) -> Line:
    progress(what)
    costs = []
    for number in range(ROUNDS):
        names = [pasted, stored] if number % 2 else [stored, pasted]
        rates = {name: rate(service, folder, name) for name in names}
        costs.append(rates[pasted] / rates[stored])
    return median(f"{what}: time for a request, to that of the pasted model", costs, "times", 1.05)


def rate(service: Service, folder: Path, name: str) -> float:
    """Requests per second."""
    return wrk.measure(service, folder, name, {"a": 0.1, "b": 0.2}, SECONDS).rate


def _memory(folder: Path) -> list[Line]:
    """The bytes that a version of 200 MB adds to a service, in multiples of its size."""
    lines = []
    for taken_over in (False, True):
        how = "taken over while it runs" if taken_over else "loaded before the fork"
        progress(f"200 MB, {how}")
        home = folder / f"{taken_over}"
        versions = Versions(home / "home")
        write_model(home / "models", "Large", LARGE)
        rng = np.random.default_rng(0)
        versions.store("Large", 1, rng.random(10), serializer="joblib")
        versions.store("Large", 2, rng.random(SIZE), serializer="joblib")
        none = _used(home, WORKERS, versions, None)
        small = _used(home, WORKERS, versions, 1, taken_over=taken_over)
        large = _used(home, WORKERS, versions, 2, taken_over=taken_over)
        libraries = f", without {(small - none) / 1e6:.0f} MB of libraries" if taken_over else ""
        lines.append(
            Line(
                f"200 MB in {WORKERS} workers, {how}: memory that it adds{libraries}",
                (large - small) / (8 * SIZE), "times its size", 1.15,
            )
        )  # fmt: skip
    return lines


def _used(
    folder: Path, workers: int, versions: Versions, number: int | None, *, taken_over: bool = False
) -> int:
    """Bytes of the service once all workers have read the whole version."""
    versions.serve(Large=None if taken_over else number)
    with serving(
        folder, folder / "models", env=STORE_AWAY, MODELSYNC_WORKERS=str(workers)
    ) as service:
        versions.serve(Large=number)
        until(lambda: versions.serving("Large", number, workers))
        if number is not None:
            reach_every_worker(service, "Large", {}, workers, 20)
        return pss(family(service))
