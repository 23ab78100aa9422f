"""Training runs as they were: found, listed, and what they say of data and days."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from modelsync.errors import UnknownRun
from modelsync.store.database import Database
from modelsync.store.records import RunState, TrainingRun
from modelsync.store.rows import run_of
from modelsync.store.tables import training_runs as rows


class RunHistory:
    """The runs of all models, the newest first."""

    database: Database

    def run(self, model: str, number: int) -> TrainingRun:
        """Return the run of a model with this number. Raises UnknownRun."""
        with self.database.reading() as connection:
            row = run_row(connection, number)
            if row["model"] != model:
                raise UnknownRun(f"{model} has no training run {number}")
            return run_of(row)

    def runs(
        self,
        model: str | None = None,
        date: date | None = None,
        limit: int = 20,
        *,
        state: RunState | None = None,
    ) -> list[TrainingRun]:
        """Return the newest runs, newest first: of a model, a day and in a state, or of all."""
        query = select(rows).order_by(rows.c.number.desc()).limit(limit)
        if model is not None:
            query = query.where(rows.c.model == model)
        if date is not None:
            query = query.where(rows.c.date == date)
        if state is not None:
            query = query.where(rows.c.state == state)
        with self.database.reading() as connection:
            return [run_of(row) for row in connection.execute(query).mappings()]

    def newest_runs(self) -> dict[str, TrainingRun]:
        """Return the newest run of each model that has one."""
        newest = select(func.max(rows.c.number)).group_by(rows.c.model)
        with self.database.reading() as connection:
            found = connection.execute(select(rows).where(rows.c.number.in_(newest))).mappings()
            return {row["model"]: run_of(row) for row in found}

    def last_good(self, model: str) -> TrainingRun | None:
        """Return the newest run of a model that is done, if its data are known."""
        query = select(rows).where(rows.c.number == last_good(model).scalar_subquery())
        with self.database.reading() as connection:
            row = connection.execute(query).mappings().first()
            return run_of(row) if row else None

    def trained(self, model: str, fingerprint: str, code: str) -> TrainingRun | None:
        """Return the newest run that has trained a model with these data and this code."""
        query = select(rows).where(
            rows.c.model == model,
            rows.c.fingerprint == fingerprint,
            rows.c.code == code,
            rows.c.state == "done",
            rows.c.outcome.in_(("promoted", "kept")),
        )
        with self.database.reading() as connection:
            newest = query.order_by(rows.c.number.desc()).limit(1)
            row = connection.execute(newest).mappings().first()
            return run_of(row) if row else None

    def failed_days(self, model: str, since: date) -> list[date]:
        """Return the days from `since` on whose newest run has failed, in order."""
        newest = select(func.max(rows.c.number)).where(rows.c.model == model, rows.c.date >= since)
        query = (
            select(rows.c.date)
            .where(rows.c.number.in_(newest.group_by(rows.c.date)), rows.c.state == "failed")
            .order_by(rows.c.date)
        )
        with self.database.reading() as connection:
            return list(connection.scalars(query))


def run_row(connection: Connection, number: int) -> RowMapping:
    """Return the row of a run. Raises UnknownRun."""
    row = connection.execute(select(rows).where(rows.c.number == number)).mappings().first()
    if row is None:
        raise UnknownRun(f"there is no training run {number}")
    return row


def last_good(model: str) -> Select[Any]:
    """Select the number of the newest run that is done and knows its data."""
    return select(func.max(rows.c.number)).where(
        rows.c.model == model, rows.c.state == "done", rows.c.fingerprint != ""
    )
