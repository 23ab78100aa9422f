"""Histograms of the data that a version is fitted with, which live requests are compared with.

They are made of a uniform random sample of the rows (`row_sample`), so that data larger than
memory costs next to nothing, and bins can follow the values: a histogram with fixed bins would need
to know all values before the first one. Up to 10,000 rows the sample is all of them.

Numbers get ten bins of as many values each, as the population stability index is commonly computed;
columns with few different values a bin for each. Texts, booleans and categories are counted by
value.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from modelsync.models.statistics.labels import MAX_LABEL
from modelsync.models.statistics.summary import ColumnKind, ColumnStatistics, TableStatistics

if TYPE_CHECKING:
    from modelsync.models.statistics.row_sample import RowSample

log = logging.getLogger(__name__)

BINS = 10
"""Bins of a column of numbers."""

FEW = 20
"""Different values up to which each has a bin."""

TOP = 50
"""Values of a category that are counted by themselves."""

SAMPLE = 1_000
"""Values of a column that are kept."""

SAMPLES = 50_000
"""Values of all columns that are kept."""

_TARGET = "y\0"
"""What the names of the target's columns begin with in the sample."""


class Histograms:
    """Collects the rows that a model is given. Nothing here ever fails a fit."""

    def __init__(self) -> None:
        self._sample: RowSample | None = None
        self._failed = find_spec("numpy") is None

    def add(self, x: Any, y: Any = None) -> None:
        """Add rows: tables of any library, or of JSON; `y` has what is to be predicted."""
        if self._failed or x is None:
            return
        try:
            from modelsync.models.statistics.row_sample import RowSample

            self._sample = self._sample or RowSample()
            tables = [(x, "")] if y is None else [(x, ""), (y, _TARGET)]
            self._sample.add(*tables)
        except Exception as error:  # noqa: BLE001  rows of an unknown kind have no statistics
            self._failed = True
            log.info("the data has no statistics: %s", type(error).__name__)

    def statistics(self, *, classifies: bool | None = None) -> TableStatistics | None:
        """Return the statistics of all rows so far; None without any."""
        if self._failed or self._sample is None or not self._sample.taken:
            return None
        try:
            return _statistics(self._sample, classifies)
        except Exception as error:  # noqa: BLE001
            log.info("the data has no statistics: %s", type(error).__name__)
            return None


def _statistics(sample: RowSample, classifies: bool | None) -> TableStatistics:
    scale = sample.rows / sample.taken
    kept = min(SAMPLE, max(100, SAMPLES // len(sample.columns)))
    found = [_column(name, values, scale, kept) for name, values in sample.columns.items()]
    columns = [one for one in found if one and not one.name.startswith(_TARGET)]
    target = [_renamed(one) for one in found if one and one.name.startswith(_TARGET)]
    if classifies is None and target:
        many = len(set(target[0].sample)) > FEW
        classifies = True if target[0].kind == "category" else False if many else None
    return TableStatistics(sample.rows, tuple(columns), tuple(target), classifies)


def _renamed(column: ColumnStatistics) -> ColumnStatistics:
    """Return a column of the target under its own name, `y` if it has none."""
    name = column.name.removeprefix(_TARGET)
    return replace(column, name="y" if name in ("", "0", "None") else name)


def _column(name: str, values: Any, scale: float, kept: int) -> ColumnStatistics | None:
    """Return the statistics of a column; None if its values are lists or objects.

    `scale`: rows of the data for each of the sample.
    """
    kind, known = _read(values)
    if kind is None:
        return None
    missing = round((len(values) - len(known)) * scale)
    if kind == "category":
        most = Counter(known).most_common(TOP)
        others = len(known) - sum(count for _, count in most)
        counts = [*(count for _, count in most), others]
        return ColumnStatistics(
            name, kind, _scaled(counts, scale), (), tuple(value for value, _ in most), missing
        )
    edges = _edges(known)
    counts = binned(known, edges) if edges else []
    rounded = tuple(float(f"{value:.9g}") for value in _drawn(known, kept))
    return ColumnStatistics(name, kind, _scaled(counts, scale), edges, (), missing, rounded)


def _scaled(counts: Any, scale: float) -> tuple[int, ...]:
    return tuple(round(int(count) * scale) for count in counts)


def _drawn(known: Any, most: int) -> Any:
    """Return `most` of the values at random."""
    import numpy as np

    if len(known) <= most:
        return known
    return np.random.default_rng(1).choice(known, most, replace=False)


def _read(values: Any) -> tuple[ColumnKind | None, Any]:
    """Return the kind of a column, and its values without the missing ones: an array of numbers,
    or a list of texts and booleans.
    """
    import numpy as np

    kind = values.dtype.kind
    if kind == "b":
        return "category", values.tolist()
    if kind in "iuf":
        numbers = values.astype(float)
        return "number", numbers[np.isfinite(numbers)]
    if kind == "M":
        known = values[~np.isnat(values)]
        return "time", known.astype("datetime64[us]").astype("int64") / 1e6
    return _read_objects([value for value in values.tolist() if not _is_missing(value)])


def _read_objects(known: list[Any]) -> tuple[ColumnKind | None, Any]:
    import numpy as np

    kinds = set(map(type, known))
    if not known:
        return "number", np.empty(0)
    if all(issubclass(one, int | float | Decimal | np.number) for one in kinds - {bool}):
        if kinds <= {bool, np.bool_}:
            return "category", [bool(value) for value in known]
        numbers = np.array([float(value) for value in known])
        return "number", numbers[np.isfinite(numbers)]
    if all(issubclass(one, date) for one in kinds):
        return "time", np.array([seconds_of(value) for value in known])
    if any(issubclass(one, list | dict | tuple | set | np.ndarray) for one in kinds):
        return None, known
    return "category", [str(value)[:MAX_LABEL] for value in known]


def _is_missing(value: Any) -> bool:
    """Whether a value is missing: None, NaN, NaT, NA of pandas."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # NA is neither true nor false, nor is an array
        return type(value).__name__ == "NAType"


def seconds_of(value: date) -> float:
    """Return a date, or a time, as seconds since 1970; one without a zone is in UTC."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _edges(known: Any) -> tuple[float, ...]:
    """Return the edges of the bins of some numbers; empty without any."""
    import numpy as np

    different = np.unique(known)
    if len(different) == 0:
        return ()
    if len(different) <= FEW:  # and an empty bin at each side, for values that are not there yet
        gaps = np.diff(different)
        gap = float(np.median(gaps)) if len(gaps) else max(1.0, abs(float(different[0])))
        first, last = different[0], different[-1]
        middles = (different[1:] + different[:-1]) / 2
        edges = [first - gap, first - gap / 2, *middles, last + gap / 2, last + gap]
    else:
        edges = _deciles(known, different)
    return tuple(float(edge) for edge in edges)


def _deciles(known: Any, different: Any) -> list[float]:
    """Return the edges of bins with a tenth of the values each. A value that makes up more, such as
    0 in most rows, has one by itself: else all others could be in its bin, and never drift.
    """
    import numpy as np

    edges, times = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)), return_counts=True)
    found = set(edges)
    for often in edges[times > 1]:
        after = different[different > often]
        gap = after[0] - often if len(after) else often - different[different < often][-1]
        found.add(often + gap / 2)
    return sorted(found)


def binned(values: Any, edges: tuple[float, ...]) -> list[int]:
    """Return how many numbers are in each bin; those beyond the edges are in the outer bins."""
    import numpy as np

    bins = len(edges) - 1
    places = np.searchsorted(np.asarray(edges[1:-1]), values, side="right")
    return [int(count) for count in np.bincount(places, minlength=bins)]
