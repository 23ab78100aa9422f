"""Which days a command without a date works on: today, and before it those that were missed."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from modelsync.models.types import ModelSpec
from modelsync.store.catalog import Catalog
from modelsync.training import plan

MOST = 30
"""Days that are caught up."""


def today() -> date:
    """Return the date here."""
    return datetime.now().astimezone().date()


def to_train(spec: ModelSpec, catalog: Catalog, now: date) -> list[date]:
    """Return the days to train a model with, the oldest first; `now` is the last one.

    Days are caught up only where each has data of its own: those that have failed, and those since
    the first run that have none. Raises StoreUnavailable.
    """
    if not plan.has_days(spec):
        return [now]
    since = now - timedelta(days=MOST)
    runs = [one for one in catalog.runs(spec.name, limit=10 * MOST) if since <= one.date < now]
    if not runs:
        return [now]
    done = {one.date for one in runs if one.state == "done"}
    first = min(one.date for one in runs)
    days = [first + timedelta(days=count) for count in range((now - first).days)]
    return [*(day for day in days if day not in done), now]
