"""The step `fill`: what a day has brought is checked, and takes the place of that day in the table.

A day that breaks its rules is refused before anything is loaded, so the table keeps its good rows.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelsync.continuous import failures
from modelsync.continuous.context import RunContext, StepReport
from modelsync.continuous.failures import StepFailed
from modelsync.environments.store import python_of
from modelsync.files import storage
from modelsync.fitting.messages import FitJob
from modelsync.models.data_schema import DataSchema
from modelsync.training import plan
from modelsync.training.fit_process import FitProcess, ProcessKilled

if TYPE_CHECKING:
    import pyarrow as pa

    from modelsync.data.sources import DataSource

log = logging.getLogger(__name__)

LONGEST_LINE = 1 << 16
"""Bytes that are kept of what is printed without the end of a line."""


def fill(run: RunContext) -> StepReport:
    """Bring the rows of the day into the table.

    Raises StepFailed for rows that break the schema, DataInvalid, StoreUnavailable, StorageFailed.
    """
    from modelsync.data import checking, reports, table_writer  # they load pyarrow

    table = plan.table_of(run.spec)
    if not table:
        return StepReport("nothing is filled: the class names no incoming data", {})
    with _incoming(run) as source:
        if source is None:
            run.record.note(filled=0)
            return StepReport("nothing has come that day", {"rows": 0, "table": table})
        report = checking.check(source, run.spec.schema)
        report = reports.masked(report, run.config.continuous.sample_mask)
        if not report.rows:
            run.record.note(filled=0)
            return StepReport(f"{source.name} has no row", {"rows": 0, "table": table})
        if not report.passed:
            run.record.note(source=source.text, report=failures.plain(report))
            raise StepFailed.of_report(report)
        run.record.require_own()
        rows = _rows(source, run.spec.schema)
        done = table_writer.replace_day(table, run.day, rows, run.config)
    run.record.note(filled=done.rows)
    said = f"{done.rows:,} rows of {source.name} into table {table}"
    known = [one.name for one in run.spec.schema.columns] if run.spec.schema else report.columns
    unused = [name for name in report.columns if name not in known]
    for what, names in (("new", done.added), ("without", done.absent), ("not used", unused)):
        said += f"; {what}: {', '.join(names)}" if names else ""
    return StepReport(said, {"rows": done.rows, "table": table, "added": list(done.added)})


@contextmanager
def _incoming(run: RunContext) -> Iterator[DataSource | None]:
    """Give what the day has brought; None for nothing."""
    from modelsync.data import sources

    folder, settings = run.spec.path, run.config
    if "fill" not in run.spec.methods:
        text = sources.dated(run.spec.plan.incoming, run.day)
        there = sources.is_there(text, folder=folder, settings=settings)
        schema = run.spec.schema
        yield (
            sources.examine(text, (), folder=folder, settings=settings, schema=schema)
            if there
            else None
        )
        return
    with storage():
        # Cleaned if this process is killed; absolute, because the child works in another folder.
        scratch = run.config.state.home.absolute() / "run" / "requests"
        scratch.mkdir(parents=True, exist_ok=True)
        work = tempfile.TemporaryDirectory(prefix="fill-", dir=scratch)
    with work as name:
        file = _called(run, Path(name))
        found = None
        if file:
            found = sources.examine(
                file.name, (), folder=file.parent, settings=settings, schema=run.spec.schema
            )
            found.name = "fill()"
        yield found


def _called(run: RunContext, work: Path) -> Path | None:
    """Call the class's `fill` in a process without secrets; return the file of its rows.

    Raises StepFailed with what has ended it.
    """
    (work / "output").mkdir()
    training = run.config.training
    task = FitJob(
        spec=run.spec,
        kind="fill",
        parent=0,
        output=work / "output",
        params={"date": run.day.isoformat()},
        memory=training.memory,
        log_level=run.config.logs.level,
    )
    environment, printed = run.spec.environment, _Printed()
    process = FitProcess(
        task,
        work,
        python=python_of(run.config.state.home, environment) if environment else None,
        timeout=training.timeout,
        on_output=printed.add,
        on_progress=lambda progress: None,
    )
    try:
        result = process.run(lambda: run.stop.asked or run.record.taken is not None)
    except ProcessKilled as killed:
        raise StepFailed("ProcessKilled", f"the process of fill was ended with {killed}") from None
    finally:
        printed.add(b"\n")
    run.record.require_own()
    assert result is not None
    if error := result.error:
        place = f" ({error.file}:{error.line})" if error.file else ""
        raise StepFailed(error.kind or "FillFailed", f"{error.message}{place}")
    file = task.output / result.file
    return file if result.rows and file.is_file() else None


class _Printed:
    """Logs what a process prints, whole lines together: `print` writes each word by itself."""

    def __init__(self) -> None:
        self._line = b""

    def add(self, chunk: bytes) -> None:
        lines, _, self._line = (self._line + chunk).rpartition(b"\n")
        if len(self._line) > LONGEST_LINE:
            lines, self._line = lines + b"\n" + self._line, b""
        if lines.strip():
            log.info("%s", lines.decode(errors="replace").strip("\n"))


def _rows(source: DataSource, schema: DataSchema | None) -> Iterator[pa.RecordBatch]:
    """Return the rows as the table keeps them: in the schema's types, but what is missing stays so,
    since a fill value may change.
    """
    if schema is None:
        yield from source.batches()
        return
    from modelsync.data.conforming import conform

    columns = (replace(one, fill=None, nullable=True) for one in schema.columns)
    kept = DataSchema(tuple(columns))
    for batch in source.raw():
        yield conform(batch, kept)
