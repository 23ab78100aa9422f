"""Leases in the catalog, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from modelsync.store.catalog import Catalog
from tests.fixtures.fits import in_processes

MOMENT = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)


def test_one_owner_has_a_lease(catalog: Catalog) -> None:
    """It goes on with it; others wait until it has run out or was given back."""
    assert catalog.lease("schedule", "one", 60)
    assert catalog.lease("schedule", "one", 60)
    assert not catalog.lease("schedule", "two", 60)
    assert catalog.lease("other", "two", 60)
    catalog.release("schedule", "two")
    assert not catalog.lease("schedule", "two", 60)
    catalog.release("schedule", "one")
    assert catalog.lease("schedule", "two", 60)


def test_a_lease_runs_out(catalog: Catalog) -> None:
    """Its owner may have died; when it comes back it is one of the others."""
    assert catalog.lease("schedule", "one", -1)
    assert catalog.lease("schedule", "two", 60)
    assert not catalog.lease("schedule", "one", 60)


def test_of_processes_that_want_a_lease_at_once_one_gets_it(catalog: Catalog) -> None:
    """The first time, when there is no row, and when it has run out."""
    for round_ in range(2):
        got = in_processes(4, lambda index: catalog.lease("schedule", f"process{index}", 60))
        assert got.count(True) == 1, round_
        catalog.release("schedule", f"process{got.index(True)}")


def test_what_is_done_outlives_the_lease(catalog: Catalog) -> None:
    """Whoever has it, and also before somebody had it."""
    assert catalog.done_until("schedule") is None
    catalog.mark_done("schedule", MOMENT)
    assert catalog.lease("schedule", "one", 60)
    assert catalog.done_until("schedule") == MOMENT
    catalog.mark_done("schedule", MOMENT + timedelta(days=1))
    catalog.release("schedule", "one")
    assert catalog.lease("schedule", "two", 60)
    assert catalog.done_until("schedule") == MOMENT + timedelta(days=1)
