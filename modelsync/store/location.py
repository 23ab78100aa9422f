"""Where the embedded database is; the supervisor asks, which loads no SQLAlchemy."""

from __future__ import annotations

from pathlib import Path

FILE = "modelsync.db"
"""The SQLite database in the state directory."""


def database_file(home: Path) -> Path:
    """Return the file of the embedded database; it need not exist."""
    return home / FILE
