"""The time in the files of the state directory."""

from __future__ import annotations

from datetime import UTC, datetime


def moment() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def now() -> str:
    """The time now in ISO 8601, UTC, with microseconds, so that text sorts as time."""
    return moment().isoformat(timespec="microseconds")
