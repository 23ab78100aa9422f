"""What is kept of a table's values: a histogram of each column. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ColumnKind = Literal["number", "category", "time"]


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """The values of one column.

    `kind`: `number` (`edges` are the n + 1 edges of n bins, in increasing order, and `counts` their
    n counts; the first and the last bin also hold what is beyond them), `time`, which is the same
    of seconds since 1970 in UTC, or `category` (`values` are the most frequent ones, `counts`
    theirs, and the last count is that of all others). `missing`: values that are missing; in no
    count. Counts are of all rows, estimated from a sample of them where they are many.

    `sample`: values of a `number` or `time` that were drawn at random, each row with the same
    chance, in no order: a histogram alone is not enough for a Kolmogorov-Smirnov test.
    """

    name: str
    kind: ColumnKind
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    values: tuple[Any, ...] = ()
    missing: int = 0
    sample: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """The columns of some data. `rows`: how many rows there were.

    `target`: the columns that are predicted. `classifies`: whether those are classes, None if that
    is not known.
    """

    rows: int
    columns: tuple[ColumnStatistics, ...] = ()
    target: tuple[ColumnStatistics, ...] = ()
    classifies: bool | None = None
