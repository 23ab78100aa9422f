"""The versions of models and their labels: listed, found, promoted, deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from modelsync.errors import UnknownVersion, VersionConflict
from modelsync.store import pointer
from modelsync.store.database import Database
from modelsync.store.records import ModelRecord, Version
from modelsync.store.rows import count_revision, version_of
from modelsync.store.tables import labels, models, promotions, revisions, versions

_SHOWN = 10
"""How many versions a message names."""


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
        """Return the version with this label, key or name, else this number (`3` or `v3`); of
        several with one key the newest.

        Raises UnknownVersion, which names those that exist.
        """
        with self.database.reading() as connection:
            return _read(connection, model, _number(connection, model, name))

    def promote(self, model: str, number: int) -> Version:
        """Make a version current. Raises UnknownVersion."""
        with self.database.writing() as (connection, now):
            version = _read(connection, model, number)
            pointer.move(connection, model, number, now)
            return version

    def rollback(self, model: str) -> Version:
        """Make the version current that was so before; another call goes back one more.

        Raises VersionConflict if there was none.
        """
        with self.database.writing() as (connection, _):
            if (number := pointer.before(connection, model)) is None:
                raise VersionConflict(f"no version of {model} was current before")
            pointer.move_back(connection, model, number)
            return _read(connection, model, number)

    def delete(self, model: str, number: int, *, force: bool = False) -> None:
        """Delete a version and its labels. Its number is never given again.

        Raises UnknownVersion; VersionConflict if it is current, unless `force`: then no version is.
        """
        with self.database.writing() as (connection, _):
            _read(connection, model, number)
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

    def set_label(self, model: str, label: str, number: int, *, origin: str = "api") -> None:
        """Let a label name a version, from now on only this one. Raises UnknownVersion."""
        with self.database.writing() as (connection, now):
            _read(connection, model, number)
            connection.execute(delete(labels).where(_labelled(model, label)))
            values = {"model": model, "label": label, "number": number}
            connection.execute(insert(labels).values(**values, origin=origin, created=now))
            count_revision(connection)

    def remove_label(self, model: str, label: str) -> None:
        """Remove a label, if the model has it."""
        with self.database.writing() as (connection, _):
            connection.execute(delete(labels).where(_labelled(model, label)))
            count_revision(connection)

    def replace_labels(self, model: str, wanted: Mapping[str, int], *, origin: str) -> None:
        """Make the labels of one origin exactly these, by name with their numbers.

        Labels of other origins stay, and keep their names; versions that are gone get none.
        """
        with self.database.writing() as (connection, now):
            known = select(versions.c.number).where(versions.c.model == model)
            numbers = set(connection.scalars(known))
            query = select(labels).where(labels.c.model == model)
            marks = list(connection.execute(query))
            taken = {row.label for row in marks if row.origin != origin}
            before = {row.label: row.number for row in marks if row.origin == origin}
            after = {
                label: number
                for label, number in wanted.items()
                if number in numbers and label not in taken
            }
            if after == before:
                return
            ours = and_(labels.c.model == model, labels.c.origin == origin)
            connection.execute(delete(labels).where(ours))
            rows = [{"model": model, "label": label, "number": after[label]} for label in after]
            if rows:
                common = {"origin": origin, "created": now}
                connection.execute(insert(labels), [{**row, **common} for row in rows])
            count_revision(connection)

    def revision(self) -> int:
        """Return a number that grows with every change of versions, pointers and labels."""
        with self.database.reading() as connection:
            return connection.scalar(select(revisions.c.revision)) or 0


def _models(connection: Connection, model: str | None = None) -> dict[str, ModelRecord]:
    """Read all models, or one, with three queries."""
    names, rows, marks = select(models), select(versions), select(labels)
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


def _read(connection: Connection, model: str, number: int) -> Version:
    query = select(versions).where(versions.c.model == model, versions.c.number == number)
    if (row := connection.execute(query).mappings().first()) is None:
        raise _unknown(connection, model, str(number))
    return version_of(row)


def _number(connection: Connection, model: str, name: str) -> int:
    """The number that a name means: a label's, a key's, or its own."""
    label: int | None = connection.scalar(select(labels.c.number).where(_labelled(model, name)))
    if label is not None:
        return label
    query = (
        select(versions.c.number)
        .where(versions.c.model == model, versions.c.key == name)
        .order_by(versions.c.number.desc())
        .limit(1)
    )
    newest: int | None = connection.scalar(query)
    if newest is not None:
        return newest
    digits = name.removeprefix("v")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:  # more is no INTEGER
        return int(digits)
    raise _unknown(connection, model, name)


def _unknown(connection: Connection, model: str, name: str) -> UnknownVersion:
    query = (
        select(versions.c.number, versions.c.key)
        .where(versions.c.model == model)
        .order_by(versions.c.number.desc())
        .limit(_SHOWN + 1)
    )
    rows = connection.execute(query).all()
    if not rows:
        return UnknownVersion(f"{model} has no version {name!r}: it has none yet")
    shown = ", ".join(f"{row.number} ({row.key})" for row in rows[:_SHOWN])
    more = " and older ones" if len(rows) > _SHOWN else ""
    query = select(labels.c.label).where(labels.c.model == model).order_by(labels.c.label)
    marks = ", ".join(connection.scalars(query.limit(_SHOWN)))
    named = f"; labels: {marks}" if marks else ""
    return UnknownVersion(f"{model} has no version {name!r}; it has {shown}{more}{named}")


def _labelled(model: str, label: str) -> ColumnElement[bool]:
    return and_(labels.c.model == model, labels.c.label == label)


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
