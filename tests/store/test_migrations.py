"""The tables are made and changed once, completely, by whoever comes first."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from modelsync import store as stores
from modelsync.errors import StoreUnavailable
from modelsync.settings import Settings
from modelsync.store import Store, migration, tables
from modelsync.store.engine import begin_reading, make_engine
from tests.fixtures.fits import fit, in_processes


def test_the_migrations_make_the_tables(store: Store) -> None:
    """Those that the queries are written for, with the same columns, indexes and constraints."""
    with store.catalog.database.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": migration.TABLE}
        )
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == migration.HEAD


def test_the_newest_migration_is_the_head() -> None:
    """Or a new one would never run."""
    assert migration.scripts().get_heads() == [migration.HEAD]


def test_many_processes_migrate_once(settings: Settings) -> None:
    """Eight of them at once, on an empty database: workers and replicas of a new installation."""

    def use(index: int) -> int:
        return fit(stores.open(settings), f"Model{index}").number

    assert in_processes(8, use) == [1] * 8
    assert len(stores.open(settings).catalog.models()) == 8


def test_who_comes_late_says_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One process migrates, and one line tells of it, though others have found old tables too."""
    engine = make_engine(settings.store.database_url, settings.state.home)
    monkeypatch.setattr(migration, "_revision", lambda engine: None)
    with caplog.at_level("INFO", logger=migration.__name__):
        for _ in range(2):
            migration.migrate(engine)
    assert [one.getMessage() for one in caplog.records] == [
        f"the tables of the store have the form {migration.HEAD}"
    ]
    engine.dispose()


def test_a_killed_migration_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    """The next process does all of it."""
    child = os.fork()
    if not child:
        from modelsync.store.migrations import initial

        source = Path(initial.__file__).read_text("utf-8")
        folder = tmp_path / "migrations"
        folder.mkdir()
        killing = f"    __import__('os').kill(__import__('os').getpid(), {signal.SIGKILL:d})\n"
        (folder / "initial.py").write_text(
            source.replace("    _make_versions()\n", killing + "    _make_versions()\n")
        )
        migration.FOLDER = folder
        stores.open(settings).catalog.models()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    engine = make_engine(settings.store.database_url, settings.state.home)
    with begin_reading(engine) as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()
    assert fit(stores.open(settings)).number == 1


def test_a_database_of_a_newer_modelsync_is_left_alone(store: Store, settings: Settings) -> None:
    """An old replica must not write rows that the new one cannot read."""
    fit(store)
    with store.catalog.database.writing() as (connection, _):
        connection.execute(text(f"UPDATE {migration.TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreUnavailable, match="its database was made by a newer modelsync"):
        stores.open(settings).catalog.models()
    with store.catalog.database.writing() as (connection, _):
        connection.execute(text(f"UPDATE {migration.TABLE} SET version_num = '{migration.HEAD}'"))
    assert stores.open(settings).catalog.model("Churn").current == 1
