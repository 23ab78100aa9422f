"""Types of columns that hold the same values in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

from modelsync import json_text


class Words(TypeDecorator[str]):
    """Text. PostgreSQL takes neither a NUL character nor a lone surrogate: they are replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what no database holds."""
        if value is None:
            return None
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


class JsonText(TypeDecorator[Any]):
    """JSON as text, because PostgreSQL's own type takes no NaN, which metrics may be."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write JSON; None is NULL."""
        return None if value is None else json_text.dump_lossy(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it, with Python's NaN and integers of any size."""
        return None if value is None else json.loads(value)


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite, which knows no time zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn it to UTC."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that it is UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
