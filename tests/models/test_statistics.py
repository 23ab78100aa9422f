"""What is kept of the data that a version has seen, and how far other data differ from it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from math import isclose, log
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from modelsync.models.serialization import from_json, to_json
from modelsync.models.statistics.agreement import MOST_ERROR, agreement, kept
from modelsync.models.statistics.histograms import Histograms
from modelsync.models.statistics.merging import merged, without
from modelsync.models.statistics.stability import pooled, stability_index
from modelsync.models.statistics.summary import ColumnStatistics, TableStatistics
from modelsync.models.tables.table import Table


def of(x: Any, y: Any = None) -> TableStatistics:
    histograms = Histograms()
    histograms.add(x, y)
    found = histograms.statistics()
    assert found
    return from_json(TableStatistics, to_json(found))


def column(x: Any, name: str = "a") -> ColumnStatistics:
    return next(one for one in of(x).columns if one.name == name)


NUMBERS = [float(number) for number in range(1000)]
ROWS = pd.DataFrame({"a": NUMBERS, "b": ["x", "y"] * 500})


@pytest.mark.parametrize(
    "table",
    [
        ROWS,
        pa.Table.from_pandas(ROWS),
        Table({"a": NUMBERS, "b": ["x", "y"] * 500}, named=True),
        ROWS.to_dict("records"),
        ROWS.astype({"a": "Int64", "b": "category"}),
        ROWS.astype({"b": "string"}),
    ],
)
def test_same_rows_have_the_same_statistics_in_every_library(table: Any) -> None:
    """A DataFrame, an Arrow table, a table of JSON, a list of dicts: one histogram."""
    found = of(table)
    assert found.rows == 1000
    number, text = found.columns
    assert (number.kind, number.counts, len(number.sample)) == ("number", (100,) * 10, 1000)
    assert (text.kind, dict(zip(text.values, text.counts, strict=False))) == (
        "category",
        {"x": 500, "y": 500},
    )


@pytest.mark.parametrize(
    "make", [np.asarray, sparse.csr_matrix, lambda rows: rows.tolist(), pd.DataFrame]
)
def test_columns_without_names_are_numbered(make: Callable[[Any], Any]) -> None:
    """Arrays, sparse matrices and lists have the columns 0, 1 and so on."""
    found = of(make(np.arange(12.0).reshape(4, 3)))
    assert [one.name for one in found.columns] == ["0", "1", "2"]
    assert found.columns[1].sample == (1.0, 4.0, 7.0, 10.0)


def test_missing_values_are_counted_apart() -> None:
    """None, NaN, NaT, NA and infinities are missing, in numbers, texts and dates."""
    frame = pd.DataFrame(
        {
            "a": [1.0, np.nan, np.inf, 2.0],
            "text": ["x", None, np.nan, "y"],
            "when": pd.to_datetime(["2026-01-01", "", "", "2026-01-02"]),
            "na": pd.array([1, pd.NA, pd.NA, 2], "Int64"),
            "empty": [None] * 4,
        }
    )
    assert {one.name: one.missing for one in of(frame).columns} == {
        "a": 2, "text": 2, "when": 2, "na": 2, "empty": 4,
    }  # fmt: skip


def test_kinds_of_columns() -> None:
    """Booleans are categories, dates are seconds, lists have no statistics."""
    rows = [
        {"flag": True, "day": date(1970, 1, 2), "at": datetime(1970, 1, 1, 1, tzinfo=UTC), "l": [1]}
    ] * 3
    kinds = {one.name: one for one in of(rows).columns}
    assert kinds.keys() == {"flag", "day", "at"}
    assert (kinds["flag"].kind, kinds["flag"].values) == ("category", (True,))
    assert (kinds["day"].kind, kinds["day"].sample[0]) == ("time", 86400.0)
    assert kinds["at"].sample[0] == 3600.0


def test_few_numbers_have_a_bin_each_and_room_beside_them() -> None:
    """A value that was never seen falls into an empty bin."""
    found = column({"a": [0, 1, 1, 1]})
    assert found.counts == (0, 1, 3, 0)
    assert column({"a": [7] * 5}).counts == (0, 5, 0)


@pytest.mark.parametrize("often", [0.0, 5e3, 1e6], ids=["least", "middle", "greatest"])
def test_a_number_that_most_rows_have_has_a_bin_by_itself(often: float) -> None:
    """As the capital gains of a census, of which nine of ten are 0."""
    values = [often] * 950 + [10_000.0 * row / 50 + 1 for row in range(50)]
    found = column({"a": values})
    assert 950 in found.counts
    assert sum(found.counts) == 1000


def test_many_categories_are_bounded() -> None:
    """The fifty most frequent values are counted, the others together."""
    found = column({"a": [f"value {number % 400}" for number in range(4000)]})
    assert len(found.values) == 50
    assert found.counts[-1] == 4000 - 50 * 10


def test_stream_of_batches_keeps_a_bounded_sample_of_all() -> None:
    """Of 500,000 sorted rows in batches the sample has all parts, and the counts are of all."""
    histograms = Histograms()
    for start in range(0, 500_000, 50_000):
        numbers = np.arange(start, start + 50_000, dtype=float)
        histograms.add(pd.DataFrame({"a": numbers}), pd.Series(numbers > 250_000, name="late"))
    found = histograms.statistics()
    assert found
    assert found.rows == 500_000
    assert all(abs(count - 50_000) < 100 for count in found.columns[0].counts)
    assert abs(np.median(found.columns[0].sample) - 250_000) < 25_000
    assert len(found.columns[0].sample) == 1000
    assert (found.target[0].name, found.target[0].kind, found.classifies) == (
        "late", "category", True,
    )  # fmt: skip


def test_wide_data_is_bounded() -> None:
    """Five hundred of two thousand columns are kept, with few values each."""
    found = of(np.zeros((50, 2000)))
    assert len(found.columns) == 500
    assert sum(len(one.sample) for one in found.columns) <= 50_000


@pytest.mark.parametrize("rows", [object(), 7, [], {}, np.zeros((0, 3)), iter([1])])
def test_what_is_no_table_has_no_statistics(rows: Any) -> None:
    """A fit never fails for its statistics."""
    histograms = Histograms()
    histograms.add(rows)
    assert histograms.statistics() is None


def test_update_is_merged_in_the_bins_of_the_first() -> None:
    """Counts add up, values of both are in the sample as often as they are in the rows."""
    first, second = (
        of({"a": NUMBERS, "b": ["x"] * 1000}),
        of({"a": [2000.0] * 500, "b": ["z"] * 500}),
    )
    both = merged(first, second)
    assert both
    assert both.rows == 1500
    number, text = both.columns
    assert number.edges == first.columns[0].edges
    assert number.counts == (*((100,) * 9), 600)
    assert isclose(
        sum(value == 2000 for value in number.sample) / len(number.sample), 1 / 3, abs_tol=0.01
    )
    assert dict(zip(text.values, text.counts, strict=False)) == {"x": 1000, "z": 500}
    assert merged(None, second) is None


@pytest.mark.parametrize(
    ("y", "classifies"),
    [
        (["a", "b"] * 50, True),
        ([True, False] * 50, True),
        ([0, 1] * 50, None),
        (NUMBERS[:100], False),
    ],
)
def test_target_tells_whether_there_are_classes(y: list[Any], classifies: bool | None) -> None:
    """Texts and booleans are classes, many numbers are none; few numbers may be either."""
    found = of({"a": NUMBERS[:100]}, y)
    assert (found.target[0].name, found.classifies) == ("y", classifies)


def test_masked_columns_are_left_out() -> None:
    """Names count whatever their case."""
    assert [one.name for one in without(of(ROWS), {"b"}).columns] == ["a"]


def test_stability_index_is_the_known_one() -> None:
    """PSI of two distributions, computed by hand."""
    expected = (0.6 - 0.5) * log(0.6 / 0.5) + (0.4 - 0.5) * log(0.4 / 0.5)
    assert isclose(stability_index([50, 50], [600, 400]), expected)
    assert stability_index([10, 20, 30], [1, 2, 3]) == 0.0
    assert stability_index([1, 1], [0, 0]) == 0.0
    assert stability_index([100, 0], [0, 100]) > 9  # finite


def test_rare_bins_are_taken_together() -> None:
    """Fifty rare categories do not make an index of the same distribution large."""
    rare = np.random.default_rng(3).multinomial(100, [0.02] * 50)
    expected, found = pooled([20] * 50, rare.tolist())
    assert stability_index([20] * 50, rare.tolist()) > 0.25 > stability_index(expected, found)


@pytest.mark.parametrize(
    ("prediction", "truth", "correct", "error"),
    [
        ("yes", "yes", 1.0, None),
        (1, "1", 1.0, None),
        (1.0, 1, 1.0, 0.0),
        (True, 1, 1.0, None),
        (True, "True", 1.0, None),
        (10.0, 12.5, 0.0, 2.5),
        ([1, 0, 1, 1], [1, 1, 1, 0], 0.5, 0.5),
        ([1], 0, 0.0, 1.0),
        (1, [1], 1.0, 0.0),
        ({"a": 1, "b": 2}, {"a": 1, "c": 9}, 1.0, 0.0),
        ("no", {"survived": "no"}, 1.0, None),
        (1.0, 1e300, 0.0, MOST_ERROR),  # PostgreSQL refuses to square it
        (10**400, 1.0, 0.0, MOST_ERROR),
        (list(range(84)), [row // 3 for row in range(250)], 1.0, 0.0),
    ],
)
def test_agreement(prediction: Any, truth: Any, correct: float, error: float | None) -> None:
    """A prediction is compared as people send the truth."""
    found = agreement(prediction, truth)
    assert found
    assert (found.correct, found.error) == (correct, error)


@pytest.mark.parametrize(
    ("prediction", "truth"), [(None, 1), (1, None), ([1, 2], [1]), ([], []), ({"a": 1}, {"b": 1})]
)
def test_what_cannot_be_compared(prediction: Any, truth: Any) -> None:
    """Another number of rows, or nothing at all, is no agreement."""
    assert agreement(prediction, truth) is None


def test_kept_rows_are_spread_over_all() -> None:
    """At most a hundred rows, at equal distances."""
    assert list(kept(3)) == [0, 1, 2]
    assert list(kept(0)) == []
    assert kept(10_000)[99:] == range(9900, 10_000, 100)
    assert len(kept(101)) == 51
