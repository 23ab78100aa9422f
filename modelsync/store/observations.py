"""Observations: predictions of sampled requests, and the truth that clients tell later.

Either may come first: a truth waits for a day for its prediction. Both together say how right a
version is, of all replicas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, or_, select
from sqlalchemy import update as change

from modelsync.models.statistics.agreement import agreement
from modelsync.store.database import Database
from modelsync.store.records import LiveQuality, Observation
from modelsync.store.tables import observations as rows

MOST = 100_000
"""Observations of a model; over it those without a prediction are forgotten, then the oldest."""

KEPT = timedelta(days=30)
"""Time after which an observation is forgotten."""

WAITING = timedelta(days=1)
"""Time after which a truth is forgotten whose request was not sampled."""

PRUNED_EVERY = 1_000
"""Observations that a process adds before it looks whether there are too many."""

_CHUNK = 500


class Observations:
    """What was predicted, what was true, and how well both agree."""

    database: Database
    _added = PRUNED_EVERY  # so that the first one looks

    def observe(self, predictions: Iterable[Observation]) -> None:
        """Keep predictions; to repeat this changes nothing.

        A request id that a client gives again means its last request, until its truth is told.
        """
        ordered = sorted(predictions, key=lambda one: one.model)
        with self.database.writing() as (connection, now):
            for model, group in groupby(ordered, key=lambda one: one.model):
                found = {one.request_id: one for one in group}
                changes = {
                    identity: {"version": one.version, "prediction": one.prediction}
                    for identity, one in found.items()
                }
                known = _known(connection, model, changes)
                for identity, row in known.items():
                    if row["correct"] is not None:
                        del changes[identity]
                self._write(connection, model, changes, known, now)

    def tell_truths(self, model: str, truths: Mapping[str, Any]) -> int:
        """Keep what was true, by request id; return of how many requests the prediction is known.

        What is told later of the same request replaces what was told before.
        """
        with self.database.writing() as (connection, now):
            changes = {
                identity: {"truth": truth, "answered": now} for identity, truth in truths.items()
            }
            known = _known(connection, model, changes)
            self._write(connection, model, changes, known, now)
            return sum(row["version"] is not None for row in known.values())

    def live_quality(self, model: str) -> list[LiveQuality]:
        """Return how right each version was whose truth is known, the newest version first."""
        compared = func.count()
        query = (
            select(
                rows.c.version,
                compared.label("compared"),
                func.avg(rows.c.correct).label("accuracy"),
                func.avg(rows.c.error).label("error"),
                func.count(rows.c.error).label("numbers"),
                func.min(rows.c.created).label("since"),
            )
            .where(rows.c.model == model, rows.c.correct.is_not(None))
            .group_by(rows.c.version)
            .order_by(rows.c.version.desc())
        )
        with self.database.reading() as connection:
            return [
                LiveQuality(
                    row.version,
                    row.compared,
                    row.accuracy,
                    row.error if row.numbers == row.compared else None,
                    row.since,
                )
                for row in connection.execute(query)
            ]

    def last_truth(self) -> datetime | None:
        """Return when a truth was told last, of any model; None if none ever was."""
        with self.database.reading() as connection:
            found: datetime | None = connection.scalar(select(func.max(rows.c.answered)))
            return found

    def told_since(self, moment: datetime | None) -> set[str]:
        """Return the models of which a truth was told after a moment, None: at any time."""
        query = select(rows.c.model).distinct().where(rows.c.answered.is_not(None))
        if moment is not None:
            query = query.where(rows.c.answered > moment)
        with self.database.reading() as connection:
            return set(connection.scalars(query))

    def _write(
        self,
        connection: Connection,
        model: str,
        changes: Mapping[str, Mapping[str, Any]],
        known: Mapping[str, Mapping[str, Any]],
        now: datetime,
    ) -> None:
        """Insert or change rows by request id, and compare those that have both halves."""
        new, changed = [], []
        for identity, values in changes.items():
            row = {**_NOTHING, **known.get(identity, {}), **values}
            found = agreement(row["prediction"], row["truth"])
            row |= {"correct": found and found.correct, "error": found and found.error}
            if identity in known:
                changed.append({"of": model, "id": identity, **row})
            else:
                new.append({"model": model, "request_id": identity, "created": now, **row})
        if changed:
            named = and_(rows.c.model == bindparam("of"), rows.c.request_id == bindparam("id"))
            values = {name: bindparam(name) for name in _NOTHING}
            connection.execute(change(rows).where(named).values(**values), changed)
        if new:
            connection.execute(insert(rows), new)
        self._added += len(new)
        if self._added >= PRUNED_EVERY:
            self._added = 0
            _prune(connection, model, now)


_NOTHING: Mapping[str, Any] = dict.fromkeys(
    ("version", "prediction", "truth", "correct", "error", "answered")
)


def _known(
    connection: Connection, model: str, identities: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Return the rows of these requests by their ids."""
    found = {}
    for chunk in _chunks(identities):
        query = select(rows).where(rows.c.model == model, rows.c.request_id.in_(chunk))
        for row in connection.execute(query).mappings():
            found[row["request_id"]] = {name: row[name] for name in _NOTHING}
    return found


def _chunks(values: Iterable[str]) -> Iterator[Sequence[str]]:
    left = iter(values)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _prune(connection: Connection, model: str, now: datetime) -> None:
    """Forget what is too old, of all models, and what one model has too much of."""
    unmatched: ColumnElement[bool] = rows.c.version.is_(None)
    old = or_(rows.c.created < now - KEPT, and_(unmatched, rows.c.created < now - WAITING))
    connection.execute(delete(rows).where(old))
    count = connection.scalar(select(func.count()).where(rows.c.model == model)) or 0
    if count <= MOST:
        return
    surplus = (
        select(rows.c.request_id)
        .where(rows.c.model == model)
        .order_by(unmatched.desc(), rows.c.created)
        .limit(count - MOST)
    )
    connection.execute(delete(rows).where(rows.c.model == model, rows.c.request_id.in_(surplus)))
