"""The pointer to the version of a model that is current, and its history."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, func, insert, select, update

from modelsync.store.rows import count_revision
from modelsync.store.tables import models, promotions, versions


def current(connection: Connection, model: str) -> int | None:
    """Return the number of the version that is current."""
    return connection.scalar(select(models.c.current).where(models.c.name == model))


def highest(connection: Connection, model: str) -> int:
    """Return the greatest number that was ever current, 0 if none was."""
    return connection.scalar(select(models.c.highest).where(models.c.name == model)) or 0


def move(connection: Connection, model: str, number: int, now: datetime) -> None:
    """Make a version current and remember it; nothing happens if it is current."""
    if current(connection, model) == number:
        return
    values = {"model": model, "number": number, "created": now, "undone": False}
    connection.execute(insert(promotions).values(**values))
    _point(connection, model, number)


def before(connection: Connection, model: str) -> int | None:
    """Return the version that was current before the current one, of those that still exist."""
    exists = and_(versions.c.model == promotions.c.model, versions.c.number == promotions.c.number)
    query = (
        select(promotions.c.number)
        .join(versions, exists)
        .where(promotions.c.model == model, ~promotions.c.undone)
        .order_by(promotions.c.sequence.desc())
    )
    now = current(connection, model)
    return next((number for number in connection.scalars(query) if number != now), None)


def move_back(connection: Connection, model: str, number: int) -> None:
    """Make an earlier version current: what became current after it is undone, so that another
    step back goes to the one before it.
    """
    mine = promotions.c.model == model
    last = (
        select(func.max(promotions.c.sequence))
        .where(mine, promotions.c.number == number, ~promotions.c.undone)
        .scalar_subquery()
    )
    connection.execute(
        update(promotions).where(mine, promotions.c.sequence > last).values(undone=True)
    )
    _point(connection, model, number)


def drop(connection: Connection, model: str) -> None:
    """Make no version current."""
    connection.execute(update(models).where(models.c.name == model).values(current=None))
    count_revision(connection)


def _point(connection: Connection, model: str, number: int) -> None:
    top = max(number, highest(connection, model))
    connection.execute(
        update(models).where(models.c.name == model).values(current=number, highest=top)
    )
    count_revision(connection)
