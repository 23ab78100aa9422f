"""Labels: names of versions that are given and moved at will, by calls or by tags of git."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import and_, delete, insert, select

from modelsync.store import lookup
from modelsync.store.database import Database
from modelsync.store.rows import count_revision
from modelsync.store.tables import labels, versions


class LabelRecords:
    """The labels of each model. `origin` says who gave one: `api` or `git`."""

    database: Database

    def set_label(self, model: str, label: str, number: int, *, origin: str = "api") -> None:
        """Let a label name a version, from now on only this one. Raises UnknownVersion."""
        with self.database.writing() as (connection, now):
            lookup.read(connection, model, number)
            connection.execute(delete(labels).where(lookup.labelled(model, label)))
            values = {"model": model, "label": label, "number": number}
            connection.execute(insert(labels).values(**values, origin=origin, created=now))
            count_revision(connection)

    def remove_label(self, model: str, label: str) -> None:
        """Remove a label, if the model has it."""
        with self.database.writing() as (connection, _):
            connection.execute(delete(labels).where(lookup.labelled(model, label)))
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
