"""Figure 2: 500 folders are read and listed within 2 s, and a trivial model costs at most 150 kB of
memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.host import default_workers
from bench.processes import pss, reach_every_worker
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import serving, write_model

FOLDERS = 500
RUNS = 5
SECONDS = 2.0
KILOBYTES = 150.0

LISTING = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from modelsync.models.types import ModelEntry
from modelsync.models.discovery.folders import discover
from modelsync.models.codegen.generator import generate
imported = time.perf_counter()
folders = discover(Path(sys.argv[1]))
discovered = time.perf_counter()
entries = [
    ModelEntry.of(one, Path('models_serve', one.name), fault=one.fault, release="r")
    for one in folders
]
text = generate(entries, base_url="models", release="r")
generated = time.perf_counter()
assert len(folders) == int(sys.argv[2]) and not any(one.fault for one in folders), folders
assert text.count("routes.model(") == len(folders), text[:2000]
print(json.dumps({
    "imports": imported - start,
    "check": discovered - imported,
    "generate": generated - discovered,
}))
"""
"""What an update does with an export whose hashes it does not know, in a process of its own."""

TRIVIAL = """import os

class Model:
    def transform_predict(self):
        return {"pid": os.getpid()}
"""


def measure(folder: Path) -> Figure:
    lines = [*_listing(folder / "listing"), *_memory(folder)]
    notes = [
        "A folder of the first part: the code of an ETL with helpers (90 lines), a helper module, "
        "20 kB of pickle and "
        "an example. Hashes are computed, nothing is known beforehand; files lie in the page "
        "cache.",
        "Together = the whole life of a fresh process, start and imports of Python included.",
        "Memory: PSS of the generation's master and workers, after `/all` has called each model in "
        "each worker "
        f"{CALLS} times, with {FOLDERS} models less with 1, by {FOLDERS - 1}: what one more model "
        "costs the machine.",
    ]
    return Figure(
        f"2. {FOLDERS} folders: time to check and list them, memory of each",
        "folders",
        lines,
        notes,
    )


def _listing(root: Path) -> list[Line]:
    progress(f"static check of {FOLDERS} folders")
    for number in range(FOLDERS):
        path = root / f"Model{number:03}"
        (path / "examples").mkdir(parents=True)
        (path / "etls.py").write_text(source_of(number))
        (path / "helpers.py").write_text(helpers_of(number))
        (path / "model.pkl").write_bytes(os.urandom(20_000))
        (path / "examples" / "one.json").write_text('{"variables": {"age": 31}}')
    together, processor, parts = [], [], []
    for _ in range(RUNS):
        start, before = time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-c", LISTING, str(root), str(FOLDERS)],
            capture_output=True,
            check=False,
            text=True,
        )
        together.append(time.perf_counter() - start)
        after = os.times()
        processor.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
        assert done.returncode == 0, done.stderr
        parts.append(json.loads(done.stdout))
    return [
        median("static check and generation together", together, "s", SECONDS),
        median(
            "… processor time of it, which others on the machine do not lengthen", processor, "s"
        ),
        *(median(f"… {name}", [one[name] for one in parts], "s") for name in parts[0]),
    ]


def source_of(number: int) -> str:
    """The code of an ETL of 90 lines."""
    steps = "\n".join(
        f'''
    def step_{step}(self, rows):
        """Clean column {step}."""
        kept = [row for row in rows if row.get("c{step}") is not None and row["c{step}"] > {number}]
        for row in kept:
            row["c{step}"] = (row["c{step}"] - {step}) / max(1, len(kept))
        return kept or [{{"c{step}": 0.0, "source": f"default {{len(rows)}}"}}]'''
        for step in range(10)
    )
    return f"""import pickle

from helpers import weight


class Model:
    def __init__(self, path):
        with open(path + "model.pkl", "rb") as file:
            self.model = pickle.load(file)
{steps}

    def transform_predict(self, age: float, visits: int = {number}) -> dict:
        rows = [{{f"c{{i}}": age * weight(i) for i in range(10)}}]
        for i in range(10):
            rows = getattr(self, f"step_{{i}}")(rows)
        return {{"score": self.model.score(rows), "visits": visits}}
"""


def helpers_of(number: int) -> str:
    """A helper module of it."""
    return f"def weight(index):\n    return (index + {number}) * 0.01\n"


CALLS = 3


def _memory(folder: Path) -> list[Line]:
    costs = []
    for run in range(3):
        few, many = (_pss_with(folder / f"memory-{run}-{count}", count) for count in (1, FOLDERS))
        costs.append((many - few) / (FOLDERS - 1) / 1000)
    return [median(f"a trivial model, PSS, {default_workers()} workers", costs, "kB", KILOBYTES)]


def _pss_with(folder: Path, count: int) -> int:
    progress(f"memory of {count} trivial models")
    folder.mkdir()
    for number in range(count):
        write_model(folder / "models", f"Model{number:03}", TRIVIAL)
    workers = int(default_workers())
    with serving(
        folder, folder / "models", MODELSYNC_WORKERS=str(workers), MODELSYNC_MAX_QUEUE="100000"
    ) as service:
        reach_every_worker(service, "all", {}, workers, CALLS)
        [master] = service.masters()
        return pss([master, *service.workers()])
