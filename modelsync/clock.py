"""The time as the files of the state directory hold it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """The time as release.json and status.json hold it: ISO 8601, UTC, microseconds, so that text
    sorts as time.
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")
