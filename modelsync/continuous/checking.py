"""The step `check`: the whole source is read once, held to its schema, and compared with the last
good data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelsync.continuous import failures
from modelsync.continuous.context import RunContext, StepReport
from modelsync.continuous.failures import StepFailed
from modelsync.models.data_schema import CheckReport
from modelsync.models.types import ModelSpec
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.store.records import TrainingRun
from modelsync.training import plan

if TYPE_CHECKING:
    from datetime import date

    from modelsync.data.sources import DataSource

TRAINED = ("promoted", "kept")
"""Outcomes of runs that have trained."""


def check(run: RunContext) -> StepReport:
    """Check the data of the run, and note what it is.

    Raises StepFailed for data that breaks the schema, DataInvalid, StoreUnavailable.
    """
    from modelsync.data import checking, reports  # they load pyarrow

    if not plan.sources_of(run.spec):
        return StepReport("nothing to check: train() fetches its data itself", {})
    catalog, source = run.store.catalog, source_of(run.spec, run.config, run.day)
    run.record.checked = source.fingerprint()
    good = run.record.insist(lambda: catalog.last_good(run.spec.name))
    report = checking.check(source, run.spec.schema, before=good.columns if good else None)
    report = reports.masked(report, run.config.continuous.sample_mask)
    run.record.note(
        source=source.text,
        fingerprint=run.record.checked if source.tells_rows else report.fingerprint,
        columns=report.columns,
        report=failures.plain(report),
    )
    if not report.passed:
        raise StepFailed.of_report(report)
    if not report.rows:
        raise StepFailed("DataRefused", f"{source.name} has no row", report=failures.plain(report))
    rule = "fit schema.yml" if run.spec.schema else "can be read (the folder has no schema.yml)"
    said = f"{report.rows:,} rows of {source.name} {rule}"
    if report.changes:
        listed = ", ".join(_said(report))
        said += f"; since the last good data: {listed}"
    facts = {"rows": report.rows, "source": source.text, "fingerprint": run.record.row.fingerprint}
    if not run.force and (before := trained_before(run.record.row, run.record.row.code, catalog)):
        said += f"; the same data and code were trained by run {before.number}"
        return StepReport(said, {**facts, "version": before.version}, over=True)
    return StepReport(said, facts)


def source_of(spec: ModelSpec, config: Settings, day: date) -> DataSource:
    """Return the source of a day, examined. Raises DataInvalid, StoreUnavailable."""
    from modelsync.data import sources

    return sources.first(
        plan.sources_of(spec),
        plan.target_of(spec),
        folder=spec.path,
        settings=config,
        day=day,
        schema=spec.schema,
    )


def trained_before(
    known: TrainingRun, code: str, catalog: Catalog, fingerprint: str = ""
) -> TrainingRun | None:
    """Return the run that has trained with the data of a run, or of the fingerprint, and with this
    code, if none has trained since, and what it made is still there. Raises StoreUnavailable.
    """
    digest = fingerprint or known.fingerprint
    before = catalog.trained(known.model, digest, code) if digest else None
    if before is None:
        return None
    runs = catalog.runs(known.model, limit=100)
    newest = max(one.number for one in runs if one.outcome in TRAINED)
    versions = {one.number for one in catalog.model(known.model).versions}
    return before if newest == before.number and before.version in versions else None


def _said(report: CheckReport) -> list[str]:
    return [
        f"column {one.column} was {one.before} and is {one.now}"
        if one.change == "type"
        else f"column {one.column} {one.change}"
        for one in report.changes
    ]
