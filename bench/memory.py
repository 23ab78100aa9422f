"""Figure 3: four workers share the memory of a model that holds 200 MB: at most 1.15 times what one
worker uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.processes import family, pss, reach_every_worker
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import serving, write_model

WORKERS = 4
CALLS = 200
TARGET = 1.15

ARRAY = """import os
import numpy as np

class Model:
    def __init__(self):
        self.data = np.random.default_rng(0).random(25_000_000)  # 200 MB

    def transform_predict(self, how: str = "scan"):
        return {"pid": os.getpid(), "value": float(self.data.sum()), "bytes": self.data.nbytes}
"""

OBJECTS = """import os
import random
import sys

class Model:
    def __init__(self):
        self.data = {f"customer-{i}": i * 0.5 for i in range(1_800_000)}  # about 200 MB
        parts = (sys.getsizeof(k) + sys.getsizeof(v) for k, v in self.data.items())
        self.bytes = sys.getsizeof(self.data) + sum(parts)

    def transform_predict(self, how: str = "scan"):
        if how == "scan":
            value = 0.0
            for key, one in self.data.items():
                value += one
        else:
            value = sum(self.data[f"customer-{random.randrange(1_800_000)}"] for _ in range(10))
        return {"pid": os.getpid(), "value": value, "bytes": self.bytes}
"""

REFCOUNTS = (
    "A dict of Python objects is shared only until it is read: CPython counts references in the "
    "object itself, so that "
    "reading one writes to its page, and the kernel copies the page. The master keeps its own "
    "copy, so one worker pays "
    "too. `gc.freeze()` before the fork keeps the collector off these pages, nothing can keep a "
    "reader off them: hold "
    "large data in arrays (numpy, Arrow, a DataFrame of numbers), or in a file that is mapped."
)


@dataclass(frozen=True, slots=True)
class Case:
    """A model and how it is called; `how` is its variable."""

    what: str
    code: str
    how: str
    calls: int
    runs: int = 1
    known: bool = False


CASES = (
    Case("numpy array, each call reads all of it", ARRAY, "scan", CALLS, runs=3),
    Case(
        "dict of 1.8 million str and float, each call looks up 10",
        OBJECTS,
        "look",
        CALLS,
        known=True,
    ),
    Case(
        "dict of 1.8 million str and float, each call reads all of it",
        OBJECTS,
        "scan",
        5,
        known=True,
    ),
)


def measure(folder: Path) -> Figure:
    lines: list[Line] = []
    notes = []
    for number, case in enumerate(CASES):
        measured = [_both(folder / f"{number}-{run}", case) for run in range(case.runs)]
        lines.append(
            median(
                case.what,
                [four / one for one, four, _ in measured],
                "times one worker",
                TARGET,
                known=case.known,
            )
        )
        one, four, held = measured[-1]
        notes.append(
            f"{case.what}: {one / 1e6:,.0f} MB with one worker, {four / 1e6:,.0f} MB with "
            f"{WORKERS}; the model holds "
            f"{held / 1e6:,.0f} MB."
        )
    notes += [
        "PSS of the whole family (supervisor, master, workers), after each worker has answered at "
        f"least {CALLS} calls "
        f"({CASES[-1].calls} where each reads the whole dict).",
        "More look-ups move the second line towards the third.",
        REFCOUNTS,
    ]
    return Figure(f"3. Memory: {WORKERS} workers share a model of 200 MB", "memory", lines, notes)


def _both(folder: Path, case: Case) -> tuple[int, int, int]:
    """Bytes that the family uses with one and with four workers, and that the model holds."""
    folder.mkdir()
    one, held = _used(folder / "one", case, 1)
    four, _ = _used(folder / "four", case, WORKERS)
    return one, four, held


def _used(folder: Path, case: Case, workers: int) -> tuple[int, int]:
    """Bytes that the family uses, and that the model says it holds."""
    progress(f"{case.what}, workers: {workers}")
    folder.mkdir()
    write_model(folder / "models", "Big", case.code)
    with serving(folder, folder / "models", MODELSYNC_WORKERS=str(workers)) as service:
        variables: dict[str, object] = {"how": case.how}
        reach_every_worker(service, "Big", variables, workers, case.calls)
        return pss(family(service)), service.post("Big", variables).json()["bytes"]
