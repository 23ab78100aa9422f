"""Statistics of the data of a version and of those that it was updated with, as one.

The bins stay those of the first; what came later is brought into them by its sample, whose values
stand for as many rows each.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

from modelsync.models.statistics.histograms import SAMPLE, TOP
from modelsync.models.statistics.summary import ColumnStatistics, TableStatistics


def merged(before: TableStatistics | None, now: TableStatistics | None) -> TableStatistics | None:
    """Return the statistics of the rows of both; None if those of one are not known."""
    if before is None or now is None:
        return None
    classifies = now.classifies if before.classifies is None else before.classifies
    shares = before.rows, now.rows
    return TableStatistics(
        before.rows + now.rows,
        _columns(before.columns, now.columns, shares),
        _columns(before.target, now.target, shares),
        classifies,
    )


def without(statistics: TableStatistics, names: Collection[str]) -> TableStatistics:
    """Return the statistics without the columns of these names, which are in lower case."""
    return replace(
        statistics,
        columns=tuple(one for one in statistics.columns if one.name.casefold() not in names),
        target=tuple(one for one in statistics.target if one.name.casefold() not in names),
    )


def _columns(
    before: tuple[ColumnStatistics, ...],
    now: tuple[ColumnStatistics, ...],
    rows: tuple[int, int],
) -> tuple[ColumnStatistics, ...]:
    """Merge the columns that both have, with values of the same kind."""
    known = {one.name: one for one in now}
    pairs = [(one, known[one.name]) for one in before if one.name in known]
    return tuple(_column(one, other, rows) for one, other in pairs if one.kind == other.kind)


def _column(
    before: ColumnStatistics, now: ColumnStatistics, rows: tuple[int, int]
) -> ColumnStatistics:
    missing = before.missing + now.missing
    if before.kind == "category":
        return replace(_categories(before, now), missing=missing)
    if not before.edges or not now.edges:  # no value at all in one of them
        return replace(now if now.edges else before, missing=missing)
    counts = list(before.counts)
    weight = sum(now.counts) / len(now.sample) if now.sample else 0.0
    found = Counter(bisect_right(before.edges[1:-1], value) for value in now.sample)
    for place, count in found.items():
        counts[place] += round(count * weight)
    return replace(before, counts=tuple(counts), missing=missing, sample=_sample(before, now, rows))


def _categories(before: ColumnStatistics, now: ColumnStatistics) -> ColumnStatistics:
    counts = Counter(dict(zip(before.values, before.counts, strict=False)))
    counts.update(dict(zip(now.values, now.counts, strict=False)))
    others = before.counts[-1] + now.counts[-1]
    most = counts.most_common(TOP)
    others += counts.total() - sum(count for _, count in most)
    values = tuple(value for value, _ in most)
    return replace(before, values=values, counts=(*(count for _, count in most), others))


def _sample(
    before: ColumnStatistics, now: ColumnStatistics, rows: tuple[int, int]
) -> tuple[float, ...]:
    """Return values of both, of each as many as it has of all rows."""
    share = rows[0] / max(1, sum(rows))
    most = min(
        float(SAMPLE),
        len(before.sample) / share if share else SAMPLE,
        len(now.sample) / (1 - share) if share < 1 else SAMPLE,
    )
    first = min(len(before.sample), round(most * share))
    second = min(len(now.sample), round(most * (1 - share)))
    drawn = random.Random(0)  # noqa: S311  the same data gives the same sample
    return (*drawn.sample(before.sample, first), *drawn.sample(now.sample, second))
