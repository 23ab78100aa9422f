"""The time in the files of the state directory."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time now in ISO 8601, UTC, with microseconds, so that text sorts as time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")
