"""Brings the tables of a database to the newest form, in one transaction and by one process.

Each migration is one file in `migrations/`, in Alembic's form. A crash leaves the database as it
was; other processes wait, and then find it done.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Text, column, select, table
from sqlalchemy.exc import OperationalError, ProgrammingError

from modelsync.errors import StoreUnavailable
from modelsync.store.engine import begin_reading, begin_writing

if TYPE_CHECKING:  # Alembic takes a while to load, and is needed once
    from alembic.script import ScriptDirectory

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
HEAD = "0002"
"""The newest migration."""

TABLE = "modelsync_migrations"
"""The table that names the last one; Alembic's usual name may be another program's in a database
that is shared.
"""


def migrate(engine: Engine) -> None:
    """Run the migrations that the database lacks.

    Raises StoreUnavailable if a newer modelsync has migrated it, SQLAlchemy's errors if it does not
    answer.
    """
    if _revision(engine) == HEAD:
        return
    connection, _ = begin_writing(engine)
    with connection:
        migrated = _upgrade(connection)
        connection.commit()
    if migrated:
        log.info("the tables of the store have the form %s", HEAD)


def scripts() -> ScriptDirectory:
    """Return the migrations, in the order in which they run."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])


def _revision(engine: Engine) -> str | None:
    try:
        with begin_reading(engine) as connection:
            versions = table(TABLE, column("version_num", Text))
            found: str | None = connection.scalar(select(versions.c.version_num))
            return found
    except (OperationalError, ProgrammingError):  # no such table; or away, which comes up again
        return None


def _upgrade(connection: Connection) -> bool:
    """Run the migrations that are missing; return whether any was.

    Raises StoreUnavailable if the database is newer.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for each of its plugins
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.util import CommandError

    def steps(revision: Any, context: MigrationContext) -> list[object]:
        return list(scripts()._upgrade_revs("head", revision))

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "transactional_ddl": True, "version_table": TABLE}
    )
    try:
        if context.get_current_revision() == HEAD:  # another process was faster
            return False
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        raise StoreUnavailable(
            "the store of trained models is away: its database was made by a newer modelsync"
        ) from error
    return True
