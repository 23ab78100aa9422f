"""Figure 5: from `git push` and its webhook to the first answer of the new commit, with 100 small
models.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from bench.host import Host, Pushed, first_answer, hosted
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import Service

MODELS = 100
RUNS = 5
TARGET = 5.0

PLAIN = '''"""Scores a customer by a few weights."""

import json
import math


class Model:
    """Run {number}."""

    def __init__(self, path):
        with open(path + "weights.json") as file:
            self.weights = json.load(file)

    def transform_predict(self, age: float = 40.0, visits: int = 3):
        score = self.weights["age"] * age + self.weights["visits"] * visits
        return {{"number": {number}, "score": 1 / (1 + math.exp(-score))}}
'''

PANDAS = '''"""The original convention: a pickled scikit-learn model, a DataFrame in."""

import pickle

import pandas as pd


class transform_predict:
    """Run {number}."""

    def __init__(self, path):
        with open(path + "model.pkl", "rb") as file:
            self.model = pickle.load(file)

    def transform_predict(self, X):
        frame = pd.DataFrame({{"age": [40.0], "visits": [3.0]}})
        probabilities = self.model.predict_proba(frame.to_numpy())
        return {{"number": {number}, "score": float(probabilities[0, 1])}}
'''

EXAMPLE = '{"variables": {"age": 31, "visits": 5}}'

Files = Mapping[str, str | bytes]


def plain(index: int, number: int) -> Files:
    """A folder of a small model in plain Python; `number` is what it answers."""
    return {
        f"Model{index:03}/etls.py": PLAIN.format(number=number),
        f"Model{index:03}/weights.json": f'{{"age": 0.0{index + 1}, "visits": -0.2}}',
        f"Model{index:03}/examples/one.json": EXAMPLE,
    }


def pandas(index: int, number: int) -> Files:
    """A folder of a scikit-learn model behind pandas."""
    return {
        f"Model{index:03}/etls.py": PANDAS.format(number=number),
        f"Model{index:03}/model.pkl": _pickled(),
        f"Model{index:03}/examples/one.json": EXAMPLE,
    }


def measure(folder: Path) -> Figure:
    lines: list[Line] = []
    notes = []
    for what, kind in (("plain Python", plain), ("scikit-learn and pandas", pandas)):
        progress(f"{MODELS} models, {what}")
        # The figure speaks of small models; those that import 0.1 GB of libraries are shown for
        # information.
        target = TARGET if kind is plain else None
        with hosted(folder / kind.__name__, _commit(kind, range(MODELS), 0)) as (host, service):
            number = 0
            for changed in (1, MODELS):
                runs, steps = [], []
                for _ in range(RUNS):
                    number += 1
                    seconds, step = _run(host, service, kind, changed, number)
                    runs.append(seconds)
                    steps.append(step)
                lines.append(median(f"{what}, {changed} of {MODELS} changed", runs, "s", target))
                told = ", ".join(
                    f"{name} {statistics.median(one[name] for one in steps):.2f} s"
                    for name in steps[0]
                )
                notes.append(f"{what}, {changed} changed, medians of the steps: {told}.")
    return Figure("5. Push to answer: the first answer of the new commit", "push", lines, notes)


def _commit(
    kind: Callable[[int, int], Files], indexes: range, number: int
) -> dict[str, str | bytes]:
    return {name: content for index in indexes for name, content in kind(index, number).items()}


def _run(
    host: Host, service: Service, kind: Callable[[int, int], Files], changed: int, number: int
) -> tuple[float, dict[str, float]]:
    commit = host.commit(_commit(kind, range(changed), number))
    pushed = host.push(service)
    answer = first_answer(service, "Model000", commit)
    end = time.time()
    assert answer.json()["number"] == number, answer.text
    return end - pushed.started, _steps(service, pushed, end)


def _steps(service: Service, pushed: Pushed, end: float) -> dict[str, float]:
    """Seconds of each step, from the moments in the service's log."""
    [published] = service.lines(event="sync", result="published", served=pushed.commit)
    built = datetime.fromisoformat(published["time"]).timestamp()
    return {
        "git push": pushed.pushed - pushed.started,
        "webhook": pushed.told - pushed.pushed,
        "fetch, check, publish": built - pushed.told,
        "new generation, first answer": end - built,
    }


def _pickled() -> bytes:
    import pickle

    import numpy as np
    from sklearn.linear_model import LogisticRegression

    rows = np.array([[20.0, 1.0], [30.0, 9.0], [50.0, 2.0], [70.0, 8.0]])
    return pickle.dumps(LogisticRegression().fit(rows, [0, 1, 0, 1]))
