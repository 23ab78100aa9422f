"""What is kept of a table's values: a histogram of each column. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """The values of one column.

    `kind`: `number` (`edges` are the n + 1 edges of n bins, in increasing order, and `counts` their
    n counts) or `category` (`values` are the most frequent ones, `counts` theirs, and the last
    count is that of all others). `missing`: values that are missing; in no count.
    """

    name: str
    kind: Literal["number", "category"]
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    values: tuple[Any, ...] = ()
    missing: int = 0


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """The columns of some data. `rows`: how many rows there were."""

    rows: int
    columns: tuple[ColumnStatistics, ...] = ()
