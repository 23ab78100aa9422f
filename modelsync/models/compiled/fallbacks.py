"""Reports the rows that an estimator has answered in the place of its compiled form."""

from __future__ import annotations

from collections.abc import Callable

Count = Callable[[str, int], None]
"""Takes the name of a model and a number of rows; called in any thread."""

_count: Count | None = None


def listen(count: Count) -> None:
    """Have `count` called in this process, in place of what was set before."""
    global _count
    _count = count


def report(model: str, rows: int) -> None:
    """The estimator of a model has answered these rows; only where somebody listens it counts."""
    if _count:
        _count(model, rows)
