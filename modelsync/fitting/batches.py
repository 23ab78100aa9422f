"""Reads the Arrow IPC stream of a job's data, batch by batch or all at once, as x and y."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from modelsync.errors import DataInvalid, JobFailed
from modelsync.fitting.held_out import HeldOut
from modelsync.fitting.messages import END, FitJob

SHARE = 3
"""How many times a model's process holds its data: as batches, as a table, and in the library."""


class Part(NamedTuple):
    """Some rows: `x`, a DataFrame (an array where there is no pandas), `y`, and how many rows."""

    x: Any
    y: Any
    rows: int


def parts(job: FitJob, held_out: HeldOut) -> Iterator[Part]:
    """Read batch after batch, but for the rows that are held out.

    Raises JobFailed of stage `data` if the stream breaks off.
    """
    for batch in _batches(job):
        yield part(held_out.split(batch, whole=False), job.target)


def everything(job: FitJob, held_out: HeldOut) -> Any:
    """Read all rows at once, but for those that are held out, as an Arrow table.

    Raises DataInvalid if they are too many for the memory.
    """
    limit = (job.memory or _available()) // SHARE
    batches: list[Any] = []
    size = 0
    for batch in _batches(job):
        size += batch.nbytes
        if size > limit:
            raise DataInvalid(
                f"the data needs more memory than a job may take: over {limit >> 20} MB of rows at "
                "once. Give the class a method update(self, x, y), such as self.model.partial_fit("
                "x, y): then fit gets the first batch, and update each of the others"
            )
        batches.append(batch)
    import pyarrow as pa

    table = pa.Table.from_batches(batches) if batches else pa.table({})
    batches.clear()
    if not table.num_rows:
        raise DataInvalid("the data is empty: it has no row")
    return held_out.split(table, whole=True)


def _batches(job: FitJob) -> Iterator[Any]:
    """Read the Arrow batches of the stream. Raises JobFailed of stage `data` if it breaks off."""
    require_pyarrow()
    import pyarrow as pa

    try:
        with os.fdopen(job.batches, "rb") as pipe, pa.ipc.open_stream(pipe) as stream:
            while True:
                batch, metadata = stream.read_next_batch_with_custom_metadata()
                if metadata and END in dict(metadata):
                    return
                yield batch
                del batch
    except (StopIteration, OSError, pa.ArrowInvalid):
        raise JobFailed("data", "", "reading the source broke off") from None


def require_pyarrow() -> None:
    """Raise JobFailed if the model's environment cannot read or write data."""
    if find_spec("pyarrow") is None:
        raise JobFailed(
            "data", "", "the model's environment has no pyarrow, which reads a source: add the "
            "line pyarrow to its requirements.txt",
        )  # fmt: skip


def part(data: Any, target: tuple[str, ...]) -> Part:
    """Make x and y of an Arrow batch or table; y is None without a target."""
    rows = data.num_rows
    names = [name for name in data.schema.names if name not in target]
    if find_spec("pandas") is None:
        return Part(_array(data, names), _array(data, target) if target else None, rows)
    frame = data.to_pandas(split_blocks=True)
    if not target:
        return Part(frame, None, rows)
    return Part(frame[names], frame[target[0] if len(target) == 1 else list(target)], rows)


def _array(data: Any, names: tuple[str, ...] | list[str]) -> Any:
    import numpy as np

    columns = [data.column(name).to_numpy(zero_copy_only=False) for name in names]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _available() -> int:
    """Return the bytes of memory that are free on this machine."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 4 * 1024**3
