"""How far samples of live requests are from the data that a version was fitted with.

The population stability index is computed over the bins of the stored histogram, and missing
values as one more. The two-sample Kolmogorov-Smirnov test needs values, not bins: it compares the
samples with values that were drawn at random from the data of the fit and stored beside the
histogram. So its p-value is that of two samples, of at most 1,000 and 10,000 values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from importlib.util import find_spec
from math import isfinite
from typing import Any

from modelsync.models.statistics.histograms import binned, seconds_of
from modelsync.models.statistics.labels import label_of
from modelsync.models.statistics.stability import pooled, stability_index
from modelsync.models.statistics.summary import ColumnStatistics
from modelsync.monitoring.figures import ColumnDrift

LEAST = 100
"""Samples below which chance decides."""

MILLISECONDS = 1e11
"""Numbers over it are no seconds, which would be after the year 5000."""

NO_SCIPY = "the Kolmogorov-Smirnov test needs scipy, which scikit-learn brings: install it"


def columns_drift(
    columns: Iterable[ColumnStatistics], samples: dict[str, Sequence[Any]]
) -> tuple[ColumnDrift, ...]:
    """Return the drift of each column that the samples have, and of which the fit had a value."""
    found = (
        column_drift(column, samples[column.name])
        for column in columns
        if column.name in samples and any(column.counts)
    )
    return tuple(found)


def column_drift(column: ColumnStatistics, values: Sequence[Any]) -> ColumnDrift:
    """Return the drift of a column; values are of JSON, None for a missing one."""
    if column.kind == "category":
        return ColumnDrift(column.name, _index(column, *_categories(column, values)))
    numbers = _numbers(values, _seconds if column.kind == "time" else _number)
    index = _index(column, binned(numbers, column.edges), len(values) - len(numbers))
    statistic, probability = _smirnov(column.sample, numbers)
    return ColumnDrift(column.name, index, statistic, probability)


def _index(column: ColumnStatistics, counts: Sequence[int], missing: int) -> float:
    expected, found = [*column.counts, column.missing], [*counts, missing]
    return round(stability_index(*pooled(expected, found)), 6)


def _categories(column: ColumnStatistics, values: Sequence[Any]) -> tuple[list[int], int]:
    """Return how often each category is there, then all others; and how many are missing."""
    booleans = all(isinstance(value, bool) for value in column.values)
    labels = (_label(value) for value in values if value is not None)
    counts = Counter(_BOOLEANS.get(one, one) if booleans else one for one in labels)
    known = [counts.pop(label_of(value), 0) for value in column.values]
    missing = sum(value is None for value in values)
    return [*known, counts.total()], missing


_BOOLEANS = {"1": "true", "0": "false"}


def _label(value: Any) -> str:
    """Return the label of a value; one of a sample may have become a text with its column."""
    return {"True": "true", "False": "false"}.get(found := label_of(value), found)


def _numbers(values: Sequence[Any], read: Any) -> list[float]:
    found = (read(value) for value in values)
    return [one for one in found if one is not None and isfinite(one)]


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(value: Any) -> float | None:
    """Return a date as seconds since 1970: of ISO 8601, or a number, as pandas and JavaScript write
    them in milliseconds.
    """
    if isinstance(value, date):
        return seconds_of(value)
    try:
        return seconds_of(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        found = _number(value)
        return found / 1000 if found is not None and abs(found) > MILLISECONDS else found


def has_scipy() -> bool:
    """Whether values can be tested."""
    return find_spec("scipy") is not None


def _smirnov(
    expected: Sequence[float], found: Sequence[float]
) -> tuple[float | None, float | None]:
    """Return the statistic of the test, and the p-value of its limiting distribution."""
    if not expected or not found or not has_scipy():
        return None, None
    from scipy.stats import ks_2samp

    test = ks_2samp(expected, found, method="asymp")
    return round(float(test.statistic), 6), float(test.pvalue)
