"""How a version is found: by its number, or by what its model calls it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select

from modelsync.errors import UnknownVersion
from modelsync.models.versions import number_of
from modelsync.store.records import Version
from modelsync.store.rows import version_of
from modelsync.store.tables import labels, models, versions

_SHOWN = 10
"""How many versions a message names."""


def read(connection: Connection, model: str, number: int) -> Version:
    """Return the version of this number. Raises UnknownVersion."""
    query = select(versions).where(versions.c.model == model, versions.c.number == number)
    if (row := connection.execute(query).mappings().first()) is None:
        raise _unknown(connection, model, str(number))
    return version_of(row)


def find(connection: Connection, model: str, name: str) -> int:
    """Return the number that a name means: a label's, else a key's, else its own (3 or v3).

    Of several versions with one key it is the newest. Raises UnknownVersion.
    """
    label: int | None = connection.scalar(select(labels.c.number).where(labelled(model, name)))
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
    if (number := number_of(name)) is not None:
        return number
    raise _unknown(connection, model, name)


def base(connection: Connection, job: Row[Any]) -> int | None:
    """Return the version that an update starts from, as its option `follows` says: the newest of
    its `key`, or the `current` one while that has its key; without it the one that was named.

    So of two updates that were asked for at once, the second goes on from what the first made.
    """
    follows = job.options.get("follows")
    named: int | None = job.parent
    if not follows or job.checkpoint:
        return named
    query = select(versions.c.number).where(
        versions.c.model == job.model, versions.c.key == job.key, versions.c.number < job.number
    )
    if follows == "current":
        now = select(models.c.current).where(models.c.name == job.model).scalar_subquery()
        query = query.where(versions.c.number == now)
    newest: int | None = connection.scalar(query.order_by(versions.c.number.desc()).limit(1))
    return named if newest is None else newest


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


def labelled(model: str, label: str) -> ColumnElement[bool]:
    """Return the condition on a label of a model."""
    return and_(labels.c.model == model, labels.c.label == label)
