"""The versions of models: listed, found, promoted, deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from modelsync.errors import VersionConflict
from modelsync.store import lookup, pointer
from modelsync.store.database import Database
from modelsync.store.records import ModelRecord, Version
from modelsync.store.rows import count_revision, version_of
from modelsync.store.tables import labels, models, promotions, revisions, versions


class VersionRecords:
    """What is known of each version, and which one is current."""

    database: Database

    def model(self, model: str) -> ModelRecord:
        """Return all versions of a model, oldest first; none for a model that was never fitted."""
        with self.database.reading() as connection:
            return _models(connection, model).get(model) or ModelRecord(model, None)

    def models(self) -> dict[str, ModelRecord]:
        """Return all models that were ever to be fitted, with their versions, oldest first."""
        with self.database.reading() as connection:
            return _models(connection)

    def version(self, model: str, name: str) -> Version:
        """Return the version with this label, key or name, else this number (3 or v3); of
        several with one key the newest.

        Raises UnknownVersion, which names those that exist.
        """
        with self.database.reading() as connection:
            return lookup.read(connection, model, lookup.find(connection, model, name))

    def promote(self, model: str, number: int) -> Version:
        """Make a version current. Raises UnknownVersion."""
        with self.database.writing() as (connection, now):
            version = lookup.read(connection, model, number)
            pointer.move(connection, model, number, now)
            return version

    def settle(self, model: str, number: int, verdict: str) -> Version:
        """Make a version current that waits, or write down why it stays so if there is a `verdict`.

        One that is newer, and was current before, never gives way: that is the verdict then. Told
        twice, it is done once. Raises UnknownVersion.
        """
        with self.database.writing() as (connection, now):
            lookup.read(connection, model, number)
            newest = pointer.highest(connection, model)
            if not verdict and newest > number:
                verdict = f"version {newest}, which is newer, was current before"
            where = (versions.c.model == model, versions.c.number == number)
            connection.execute(update(versions).where(*where).values(verdict=verdict))
            if not verdict:
                pointer.move(connection, model, number, now)
            count_revision(connection)
            return lookup.read(connection, model, number)

    def rollback(self, model: str) -> Version:
        """Make the version current that was so before; another call goes back one more.

        Raises VersionConflict if there was none.
        """
        with self.database.writing() as (connection, _):
            if (number := pointer.before(connection, model)) is None:
                raise VersionConflict(f"no version of {model} was current before")
            pointer.move_back(connection, model, number)
            return lookup.read(connection, model, number)

    def delete(self, model: str, number: int, *, force: bool = False) -> None:
        """Delete a version and its labels. Its number is never given again.

        Raises UnknownVersion; VersionConflict if it is current, unless `force`: then no version is.
        """
        with self.database.writing() as (connection, _):
            lookup.read(connection, model, number)
            _refuse_current(connection, model, [number], force)
            _delete(connection, model, [number])

    def delete_all(self, model: str, *, force: bool = False) -> int:
        """Delete all versions of a model and return how many there were.

        Raises VersionConflict if one is current, unless `force`.
        """
        with self.database.writing() as (connection, _):
            query = select(versions.c.number).where(versions.c.model == model)
            if found := list(connection.scalars(query)):
                _refuse_current(connection, model, found, force)
                _delete(connection, model, found)
            return len(found)

    def statistics(self, model: str, number: int) -> Mapping[str, Any] | None:
        """Return the statistics of the data of a version, a `TableStatistics` as JSON; None
        without.
        """
        query = select(versions.c.statistics).where(
            versions.c.model == model, versions.c.number == number
        )
        with self.database.reading() as connection:
            found: Mapping[str, Any] | None = connection.scalar(query)
            return found

    def revision(self) -> int:
        """Return a number that grows with every change of versions, pointers and labels."""
        with self.database.reading() as connection:
            return connection.scalar(select(revisions.c.revision)) or 0


def _models(connection: Connection, model: str | None = None) -> dict[str, ModelRecord]:
    """Read all models, or one, with three queries; without statistics, which are large."""
    facts = [column for column in versions.c if column is not versions.c.statistics]
    names, rows, marks = select(models), select(*facts), select(labels)
    if model is not None:
        names = names.where(models.c.name == model)
        rows = rows.where(versions.c.model == model)
        marks = marks.where(labels.c.model == model)
    current = {row.name: row.current for row in connection.execute(names)}
    found: Mapping[str, list[Version]] = defaultdict(list)
    for row in connection.execute(rows.order_by(versions.c.number)).mappings():
        found[row["model"]].append(version_of(row))
    labelled: Mapping[str, dict[str, int]] = defaultdict(dict)
    for mark in connection.execute(marks.order_by(labels.c.label)):
        labelled[mark.model][mark.label] = mark.number
    return {
        name: ModelRecord(name, number, tuple(found[name]), labelled[name])
        for name, number in current.items()
    }


def _refuse_current(connection: Connection, model: str, numbers: list[int], force: bool) -> None:
    current = pointer.current(connection, model)
    if current in numbers and not force:
        raise VersionConflict(
            f"version {current} of {model} is in use; promote another one first, or delete it by "
            "force"
        )


def _delete(connection: Connection, model: str, numbers: list[int]) -> None:
    if pointer.current(connection, model) in numbers:
        pointer.drop(connection, model)
    connection.execute(
        update(promotions)
        .where(promotions.c.model == model, promotions.c.number.in_(numbers))
        .values(undone=True)
    )
    connection.execute(
        delete(versions).where(versions.c.model == model, versions.c.number.in_(numbers))
    )
    count_revision(connection)
