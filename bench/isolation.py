"""Figure 6: what it costs to run a model elsewhere than in the workers, beside the same there.

Each pair is one model twice, in one service and in turn: as it is, and so that the check places it
elsewhere.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from bench import wrk
from bench.host import default_workers
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import Service, serving, write_example, write_model

ROUNDS = 5
SECONDS = 3

PLAIN = """
class Plain:
    def __init__(self, path):
        self.factor = 2

    def transform_predict(self, x: int):
        return {"y": x * self.factor}
"""

BOUND = """
import threading

class Bound:
    def __init__(self, path):
        self.bound = threading.local()
        self.bound.factor = 2

    def transform_predict(self, x: int):
        return {"y": x * self.bound.factor}
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A model in the workers and the same one elsewhere; `share` of its requests per second is the
    target.
    """

    what: str
    place: str
    share: float
    in_workers: str
    elsewhere: str


FORKING = """
import multiprocessing

class Forking:
    def __init__(self, path):
        self.factor = 2
        multiprocessing.set_start_method("spawn", force=True)

    def transform_predict(self, x: int):
        return {"y": x * self.factor}
"""

LINEAR = """
import {module}
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

class {name}:
    def __init__(self, path):
        rows, labels = [[x, -x] for x in range(50)], [x > 20 for x in range(50)]
        self.model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
        {then}

    def transform_predict_batch(self, rows: list[dict]) -> list:
        found = self.model.predict_proba([[row["x"], 1] for row in rows])[:, 1]
        return [{{"y": round(float(value), 6)}} for value in found]
"""

PAIRS = (
    Pair("in a thread of its own", "thread", 0.6, "Plain", "Bound"),
    Pair("in a runner", "runner", 0.5, "Plain", "Forking"),
    Pair("scikit-learn, batched, in a runner", "runner", 0.7, "Linear", "ForkingLinear"),
)

MODELS = {
    "Plain": PLAIN,
    "Bound": BOUND,
    "Forking": FORKING,
    "Linear": LINEAR.format(name="Linear", module="math", then="self.one = math.cos(0)"),
    "ForkingLinear": LINEAR.format(
        name="ForkingLinear",
        module="multiprocessing",
        then="multiprocessing.set_start_method('spawn', force=True)",
    ),
}


def measure(folder: Path) -> Figure:
    models = folder / "models"
    for name, code in MODELS.items():
        write_model(models, name, code)
        expected = None if name.endswith("Linear") else {"y": 4}
        write_example(models / name, {"x": 2}, expected)
    with serving(folder, models, MODELSYNC_WORKERS=default_workers()) as service:
        lines = [line for pair in PAIRS for line in compare(service, folder, pair)]
    notes = [
        f"wrk, {wrk.CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s for each of the two, "
        "in turn; ratios of neighbouring rounds.",
    ]
    return Figure("6. Isolation: a model elsewhere beside the same in the workers", "isolation",
                  lines, notes)  # fmt: skip


def compare(service: Service, folder: Path, pair: Pair) -> list[Line]:
    """The lines of one pair."""
    progress(pair.what)
    place = service.release()["models"][pair.elsewhere]["placement"]["place"]
    assert place == pair.place, place
    rates, tails, costs = [], [], []
    for _ in range(ROUNDS):
        here = wrk.measure(service, folder, pair.in_workers, {"x": 2}, SECONDS)
        there = wrk.measure(service, folder, pair.elsewhere, {"x": 2}, SECONDS)
        rates.append(there.rate)
        costs.append(here.rate / there.rate)
        tails.append(there.p99 / here.p99)
    share = 1 / statistics.median(costs)
    return [
        median(
            f"{pair.what}: time for a request, to that in a worker ({share:.2f} of the requests "
            "per second)", costs, "times", 1 / pair.share,
        ),
        median(f"{pair.what}: p99, to that in a worker", tails, "times", 2.0),
        median(f"… requests per second {pair.what}", rates, "/s"),
    ]  # fmt: skip
