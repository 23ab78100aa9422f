"""Figure 10: a check of ten million rows by a schema takes at most three times as long as pyarrow
takes to read them, and 300 MB.

Each run is a process of its own: `python -m bench.checks read|check FILE` measures itself.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from bench.reporting import Figure, Line, progress

ROWS = 10_000_000
PART = 1_000_000
RUNS = 5

TIMES = 3.0
MEMORY = 300.0
"""MB of the whole process."""

SCHEMA = b"""
survived: {type: int, target: true, allowed: [0, 1]}
class: {type: int, min: 1, max: 3}
sex: {type: str, allowed: [male, female]}
age: {type: float, na_value: 0, min: 0, max: 120}
embarked: {type: category, allowed: [S, C, Q]}
"""


def measure(folder: Path) -> Figure:
    """Check Parquet and CSV files of the columns of Titanic."""
    write_data(folder)
    lines: list[Line] = []
    for file in ("data.parquet", "data.csv"):
        read: list[float] = []
        checked: list[float] = []
        peaks: list[float] = []
        for run in range(RUNS):
            progress(f"{file}: run {run + 1} of {RUNS}")
            read.append(_run("read", folder / file)["seconds"])
            found = _run("check", folder / file)
            checked.append(found["seconds"])
            peaks.append(found["peak"] / 1e6)
        ratios = tuple(one / other for one, other in zip(checked, read, strict=True))
        lines += [
            Line(f"{file}: check to read", statistics.median(ratios), "times", TIMES, ratios),
            Line(f"{file}: memory, at most", max(peaks), "MB", MEMORY, tuple(peaks)),
            Line(f"{file}: read by pyarrow", statistics.median(read), "s", runs=tuple(read)),
            Line(f"{file}: check", statistics.median(checked), "s", runs=tuple(checked)),
        ]
    notes = [
        f"{ROWS:,} rows of five columns with seven rules; reading and checking in turn, each in a "
        "process of its own, whose start and imports count for its memory alone.",
        "pyarrow reads batch by batch: Parquet by `iter_batches`, CSV by `open_csv`.",
    ]
    return Figure("10. A check of ten million rows", "checks", lines, notes)


def write_data(folder: Path) -> None:
    """Write the same rows as Parquet and as CSV."""
    random = np.random.default_rng(0)
    schema = pa.schema(
        [("survived", pa.int64()), ("class", pa.int64()), ("sex", pa.string()),
         ("age", pa.float64()), ("embarked", pa.string())]
    )  # fmt: skip
    with (
        parquet.ParquetWriter(folder / "data.parquet", schema) as rows,
        csv.CSVWriter(folder / "data.csv", schema) as lines,
    ):
        for _ in range(0, ROWS, PART):
            columns = [
                random.integers(0, 2, PART),
                random.integers(1, 4, PART),
                pa.array(["male", "female"]).take(pa.array(random.integers(0, 2, PART))),
                pa.array(random.uniform(1, 80, PART).round(1), mask=random.random(PART) < 0.2),
                pa.array(["S", "C", "Q"]).take(pa.array(random.integers(0, 3, PART))),
            ]
            table = pa.table(columns, schema=schema)
            rows.write_table(table)
            lines.write_table(table)


def _run(what: str, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, what, str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# --- in a process of its own ----------------------------------------------------------------------


def _read(file: Path) -> float:
    started = time.perf_counter()
    if file.suffix == ".parquet":
        with parquet.ParquetFile(file) as opened:
            rows = sum(batch.num_rows for batch in opened.iter_batches())
    else:
        with csv.open_csv(file) as reader:
            rows = sum(batch.num_rows for batch in reader)
    assert rows == ROWS, rows
    return time.perf_counter() - started


def _check(file: Path) -> float:
    import pandera.pyarrow  # noqa: F401  what it imports is not the check

    from modelsync.data.checking import check
    from modelsync.data.sources import examine
    from modelsync.models.data_schema import DataSchema
    from modelsync.models.schemas.reading import read
    from modelsync.settings import load

    schema = read(SCHEMA)
    assert isinstance(schema, DataSchema)
    started = time.perf_counter()
    source = examine(file.name, "", folder=file.parent, settings=load({}), schema=schema)
    report = check(source, schema)
    assert report.passed, report
    assert report.rows == ROWS, report
    return time.perf_counter() - started


def _peak() -> int:
    """Return the most bytes of memory of this process since its program began."""
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    seconds = {"read": _read, "check": _check}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"seconds": seconds, "peak": _peak()}))
