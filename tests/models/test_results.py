"""The results of models, as clients read them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import uuid
from collections import OrderedDict, deque, namedtuple
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
import scipy.sparse

from modelsync.errors import ModelRaised
from modelsync.models.request_form import Rows
from modelsync.models.results import dump

UTC = dt.UTC


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float
    y: object = None


class Answer(pydantic.BaseModel):
    score: float
    when: dt.date | None = None


Pair = namedtuple("Pair", "a b")


def read(value: object) -> object:
    return json.loads(
        dump({"it": value}), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )["it"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (np.float64("nan"), None),
        (np.float32("-inf"), None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.datetime64("NaT"), None),
        (np.datetime64("NaT", "ns"), None),
        (np.timedelta64("NaT"), None),
        (np.array([1.0, np.nan, np.inf]), [1.0, None, None]),
        (np.array([[1.0, np.nan]]).T, [[1.0], [None]]),
        (np.array([1.0, None, float("nan")], dtype=object), [1.0, None, None]),
        (pd.Series([1.0, float("nan")]), [1.0, None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (
            pd.DataFrame({"a": [1.0, float("nan")], "b": ["x", None]}),
            [{"a": 1.0, "b": "x"}, {"a": None, "b": None}],
        ),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"), ["2020-01-01T00:00:00", None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nan_and_infinities_become_null(value: Any, expected: list[Any] | None) -> None:
    """A client never sees a NaN, wherever it hides."""
    assert read(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float16(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([[1, 2], [3, 4]]).T, [[1, 3], [2, 4]]),
        (np.array([True, False]), [True, False]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(7), 7),
        (np.datetime64("2020-01-02T03:04:05"), "2020-01-02T03:04:05"),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.array([1000], dtype="timedelta64[ms]"), [1.0]),
        (pd.Timestamp("2020-01-02 03:04", tz="UTC"), "2020-01-02T03:04:00+00:00"),
        (pd.Timedelta("90s"), 90.0),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (pd.Index([1, 2]), [1, 2]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (pd.Series([pd.Timestamp("2020-01-02")]), ["2020-01-02T00:00:00"]),
        (pd.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (dt.datetime(2020, 1, 2, 3, 4, tzinfo=UTC), "2020-01-02T03:04:00+00:00"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (dt.timedelta(minutes=1), 60.0),
        (Decimal("5"), 5),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
        (Colour.RED, "red"),
        (b"abc", "abc"),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({1}), [1]),
        ((1, 2), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (deque([1]), [1]),
        (range(2), [0, 1]),
        ({"a": 1}.values(), [1]),
        ({"a": 1}.keys(), ["a"]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (
            Point(1.0, Point(float("nan"), {Decimal("1.5")})),
            {"x": 1.0, "y": {"x": None, "y": [1.5]}},
        ),
        (
            Answer(score=float("nan"), when=dt.date(2020, 1, 2)),
            {"score": None, "when": "2020-01-02"},
        ),
        ([Answer(score=1)], [{"score": 1.0, "when": None}]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_python_has_its_json(value: Any, expected: Any) -> None:
    """The types data scientists return arrive as plain JSON."""
    assert read(value) == expected


def test_numbers_keep_all_their_digits() -> None:
    """Neither a Decimal nor an integer beyond 64 bits is rounded."""
    big = 2**200
    body = dump(
        {"price": Decimal("12345678901234567890.123"), "big": big, "deep": [{"negative": -big}]}
    )
    assert b'"price":12345678901234567890.123' in body
    assert json.loads(body)["big"] == big
    assert json.loads(body)["deep"] == [{"negative": -big}]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (np.int64(3), "3"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02"), "2020-01-02T00:00:00"),
        (Colour.RED, "red"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_keys_become_text(key: Any, expected: str) -> None:
    """A key of another type is written as text, as `json` does."""
    assert json.loads(dump({"counts": {key: np.int64(1)}})) == {"counts": {expected: 1}}


def test_text_that_is_no_unicode_is_still_answered() -> None:
    """A lone surrogate, as read from an odd file name, does not lose the answer."""
    assert read("a\ud800b") == "a?b"


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (None, "None"),
        ([1], "list"),
        ((n for n in "ab"), "generator"),
        ("x", "str"),
        (np.float64(1), "float64"),
    ],
)
def test_a_result_that_is_no_dict_is_named(result: Any, kind: str) -> None:
    """None, a list or a generator is refused, and its type told."""
    with pytest.raises(ModelRaised, match=rf"returned (a )?{kind}, not a dict"):
        dump(result)


@pytest.mark.parametrize(
    "result",
    [Answer(score=1), Point(1, None), MappingProxyType({"score": 1, "when": None})],
    ids=lambda value: type(value).__name__,
)
def test_an_object_with_fields_is_a_result(result: Any) -> None:
    """A pydantic model, a dataclass and any mapping are written as a dict of their members."""
    found = json.loads(dump(result))
    assert list(found.values()) == [1, None]
    assert json.loads(dump(Rows([result, result]))) == [found, found]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rows": [1, object()]}, r"it\.rows\[1\] is a object"),
        ({"f": lambda: 1}, r"it\.f is a function"),
        (1j, "it is a complex"),
        (np.array([1j]), r"it\[0\] is a complex"),
        ((n for n in "ab"), "it is a generator"),
        ({(1, 2): 3}, "it has a key that is a tuple"),
        (b"\xff", "bytes that are not UTF-8"),
        (Point, "it is a type"),
        (int("9" * 4000) ** 3, "an integer of"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_named_with_its_place(value: Any, message: str) -> None:
    """The author reads which value it is, not only that there is one."""
    with pytest.raises(ModelRaised, match=message):
        dump({"it": value})


def test_a_result_that_contains_itself_is_refused() -> None:
    """A cycle ends in an error, not in the end of the process."""
    result: dict[str, Any] = {}
    result["me"] = [result]
    with pytest.raises(ModelRaised, match="contains itself"):
        dump(result)


def test_code_of_the_model_that_fails_while_serialising_is_its_error() -> None:
    """A serialiser of the model's own that raises is reported as what it raised."""

    class Odd(pydantic.BaseModel):
        @pydantic.model_serializer
        def fail(self) -> dict[str, Any]:
            raise KeyError("oops")

    with pytest.raises(ModelRaised, match="oops"):
        dump({"it": Odd()})


def test_a_result_over_the_limit_is_refused() -> None:
    """A huge answer is refused with its size."""
    with pytest.raises(ModelRaised, match=r"1011 bytes of JSON; at most 1000"):
        dump({"it": "x" * 1002}, limit=1000)


CUT = pd.cut(pd.Series([30]), [0, 18, 65])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CUT, ["(18, 65]"]),
        (CUT[0], "(18, 65]"),
        (CUT.cat.categories, ["(0, 18]", "(18, 65]"]),
        (CUT.value_counts().to_dict(), {"(0, 18]": 0, "(18, 65]": 1}),
        (pd.Series([1, None, 3], dtype="Int64"), [1, None, 3]),
        (pd.Categorical(["a", None]), ["a", None]),
        (pd.Period("2024-01", "M"), "2024-01"),
        (pd.period_range("2024-01", periods=2, freq="M"), ["2024-01", "2024-02"]),
        (pd.Timestamp("2024-01-01", tz="Europe/Zurich"), "2024-01-01T00:00:00+01:00"),
        (pa.array([1, None]), [1, None]),
        (pa.table({"a": [1]}), [{"a": 1}]),
        (pa.scalar(3), 3),
        (scipy.sparse.csr_matrix([[1, 0]]), [[1, 0]]),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
    ],
)
def test_values_of_libraries(value: object, expected: object) -> None:
    assert read(value) == expected


def test_series_of_polars() -> None:
    polars = pytest.importorskip("polars")
    assert read(polars.Series("a", [1, None])) == [1, None]
    assert read(polars.DataFrame({"a": [1]})) == [{"a": 1}]


@pytest.mark.parametrize("value", [pd.offsets.Day(1), pd.Series([1]).rolling(1), pd.Int64Dtype()])
def test_objects_that_hold_no_values_are_refused(value: object) -> None:
    with pytest.raises(ModelRaised, match="what JSON cannot hold: it is a"):
        read(value)
