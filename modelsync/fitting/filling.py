"""Calls the `fill` of a model's class: the rows that a day has brought, written as Parquet."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import chdir
from datetime import date
from typing import Any

from modelsync.errors import JobFailed
from modelsync.fitting.batches import require_pyarrow
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.fitting.reporter import ProgressReporter
from modelsync.models.loading import lifecycle, loader

FILE = "incoming.parquet"
"""The file in the output folder for the rows."""

EXPECTED = "expected a DataFrame, an Arrow table, a list of dicts or a dict of columns"


def run(job: FitJob, reporter: ProgressReporter) -> FitResult:
    """Write the rows of the day; `rows` of the result is 0, and no file is there, without any.

    Raises JobFailed for what are no rows, and what the model raises.
    """
    with reporter.stage("load"):
        require_pyarrow()
        model = loader.load(job.spec, alone=True)
        lifecycle.start(model)
    with reporter.stage("fit"), chdir(job.spec.path):
        method = model.instance.fill
        found = model.context.run(method, _day(method, date.fromisoformat(job.params["date"])))
        if inspect.isawaitable(found):
            found = lifecycle.wait_here(found)
        rows = _write(job, _parts(found, model.context))
    return FitResult(file=FILE, rows=rows)


def _day(method: Any, day: date) -> Any:
    """Return the day in the type that the method asks for: a text if it is annotated as one."""
    first = next(iter(inspect.signature(method).parameters.values()))
    return day.isoformat() if first.annotation in (str, "str") else day


def _parts(found: Any, context: Any) -> Iterator[Any]:
    if not inspect.isgenerator(found):
        yield found
        return
    while True:
        try:
            yield context.run(next, found)
        except StopIteration as end:
            yield end.value
            return


def _write(job: FitJob, parts: Iterator[Any]) -> int:
    """Write all parts into one file, in the types of the first one."""
    import pyarrow as pa
    from pyarrow import parquet

    writer, rows = None, 0
    try:
        for part in parts:
            table = _table(part)
            if table is None or not table.num_rows:
                continue
            if writer is None:
                writer = parquet.ParquetWriter(job.output / FILE, table.schema)
            try:
                writer.write_table(table.select(writer.schema.names).cast(writer.schema))
            except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                said = str(error).partition("\n")[0]
                raise JobFailed(
                    "fit", "", f"fill: its parts differ in their columns: {said}"
                ) from None
            rows += table.num_rows
    finally:
        if writer:
            writer.close()
    return rows


def _table(found: Any) -> Any:
    """Return what a method has given as an Arrow table, None for nothing. Raises JobFailed."""
    import pyarrow as pa

    if found is None or (isinstance(found, list | tuple | dict) and not found):
        return None
    if hasattr(found, "to_arrow"):  # of polars
        found = found.to_arrow()
    if isinstance(found, pa.RecordBatch):
        return pa.Table.from_batches([found])
    if isinstance(found, pa.Table):
        return found
    try:
        if hasattr(found, "iloc"):
            return pa.Table.from_pandas(found, preserve_index=False)
        if isinstance(found, Mapping):
            return pa.table(dict(found))
        if isinstance(found, list | tuple) and all(isinstance(one, Mapping) for one in found):
            names = dict.fromkeys(name for row in found for name in row)
            return pa.table({name: [row.get(name) for row in found] for name in names})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        said = str(error).partition("\n")[0]
        raise JobFailed("fit", "", f"fill: its rows cannot be a table: {said}") from None
    raise JobFailed("fit", "", f"fill: {EXPECTED}; it returned a {type(found).__name__}")
