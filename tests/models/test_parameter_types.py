"""Types of libraries as parameters, numbers with more digits than a double, names beyond ASCII."""

from __future__ import annotations

import typing
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import annotated_types
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from pydantic import BaseModel, Field, v1

from modelsync.errors import VariablesInvalid
from modelsync.models.binding import methods, plain_checks
from modelsync.models.binding.digits import of as digits_of


class Inner(v1.BaseModel):
    b: list[int] = []


class Row(v1.BaseModel):
    a: float
    inner: Inner = Inner()


class Priced(BaseModel):
    price: Decimal


class Keys(typing.TypedDict):
    when: pd.Timestamp


def taking(hint: Any, **default: Any) -> Callable[[dict[str, Any]], Any]:
    """Bind a method whose one parameter `x` has this type."""

    def method(x: Any) -> Any:
        return x

    method.__annotations__ = {"x": hint}
    method.__defaults__ = tuple(default.values()) or None
    return methods.bind(method)[0]


@pytest.mark.parametrize(
    ("hint", "given", "expected"),
    [
        (pd.Timestamp, "2024-01-01", pd.Timestamp("2024-01-01")),
        (pd.Timestamp | None, None, None),
        (Keys | int, {"when": "2024-01-01"}, {"when": pd.Timestamp("2024-01-01")}),
        (pd.Timedelta, "90min", pd.Timedelta(hours=1.5)),
        (np.float64, 1, np.float64(1.0)),
        (np.float32, 0.1, np.float32(0.1)),
        (np.int8, -3, np.int8(-3)),
        (np.bool_, True, np.bool_(True)),
        (np.str_, "a", np.str_("a")),
        (np.datetime64, "2024-01-01", np.datetime64("2024-01-01")),
        (np.integer, 5, np.int64(5)),
        (list[np.int64], [1, 2], [np.int64(1), np.int64(2)]),
        (v1.conint(ge=0), 3, 3),
        (Row, {"a": 1, "inner": {"b": ["2"]}}, Row(a=1, inner=Inner(b=[2]))),
        (list[Row], [{"a": 1}], [Row(a=1)]),
        (int, 10**30, 10**30),
        (Decimal, Decimal("0.12345678901234567890123"), Decimal("0.12345678901234567890123")),
    ],
)
def test_types_of_libraries_are_made_of_json(hint: Any, given: Any, expected: Any) -> None:
    variables = given if hint is Row else {"x": given}
    found = taking(hint)(variables)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("hint", "given", "dtype"),
    [
        (np.ndarray, [[1, 2], [3, 4]], np.int64),
        (npt.NDArray[np.float32], [1, 2], np.float32),
        (pd.Series, [1.5, 2], np.float64),
    ],
)
def test_lists_become_arrays(hint: Any, given: Any, dtype: Any) -> None:
    found = taking(hint)({"x": given})
    assert (found.tolist(), found.dtype) == (given, dtype)


@pytest.mark.parametrize(
    ("hint", "given", "message"),
    [
        (pd.Timestamp, "nonsense", "x: Input does not fit: "),
        (pd.Timestamp, 0, "x: Input should be a text"),
        (list[pd.Timestamp], ["2024-01-01", "x"], "x.1: Input does not fit"),
        (np.float64, "a", "x: Input should be a number"),
        (np.float64, True, "x: Input should be a number"),
        (np.int64, 1.5, "x: Input should be an integer"),
        (np.int64, 2**70, "x: Input does not fit"),
        (np.int8, 300, "x: Input does not fit"),
        (np.ndarray, 3, "x: Input should be a list"),
        (np.ndarray, [[1], [1, 2]], "x: Input does not fit"),
        (v1.PositiveInt, -1, "x: Input does not fit: ensure this value is greater than 0"),
        (list[Row], [{"a": 1}, {"a": "q", "inner": {"b": ["z"]}}], "x.1: Input does not fit: a: "),
        (Annotated[float, Field(ge=0)], -1, "x: Input should be greater than or equal to 0"),
        (Annotated[int, annotated_types.Gt(3)], 3, "x: Input should be greater than 3"),
        (Annotated[float, annotated_types.Interval(ge=0, le=1)], 2, "x: Input should be less"),
    ],
)
def test_values_that_do_not_fit_are_named(hint: Any, given: Any, message: str) -> None:
    with pytest.raises(VariablesInvalid) as caught:
        taking(hint)({"x": given})
    assert str(caught.value).startswith(message)


def test_each_field_of_a_model_of_pydantic_1_is_named() -> None:
    with pytest.raises(VariablesInvalid) as caught:
        taking(Row)({"a": "q", "inner": {"b": ["z"]}})
    assert [one.field for one in caught.value.fields] == ["a", "inner.b.0"]


def test_a_model_of_pydantic_1_beside_other_arguments_has_a_whole_schema() -> None:
    """Its definitions stand in place of references into another document."""

    def method(row: Row, k: int) -> Any:
        return row.a + k

    call, schema = methods.bind(method)
    assert call({"row": {"a": 1}, "k": 2}) == 3
    assert schema
    assert "definitions" not in str(schema)
    inner = schema["properties"]["row"]["properties"]["inner"]
    assert "'items': {'type': 'integer'}" in str(inner)


def test_a_field_as_default_is_a_part_of_the_type() -> None:
    """As FastAPI's users write it; Python would give the method the `Field` itself."""

    positive: Any = Field(ge=0)
    small: Any = Field(3, le=5)
    listed: Any = Field(default_factory=list)

    def method(x: float = positive, y: int = small, z: list[int] = listed) -> Any:
        return x, y, z

    call, schema = methods.bind(method)
    assert call({"x": 1}) == (1.0, 3, [])
    assert call({"x": 1, "y": 4, "z": [1]}) == (1.0, 4, [1])
    with pytest.raises(VariablesInvalid, match="x: Field required; y: Input should be less than"):
        call({"y": 9})
    assert schema
    assert schema["required"] == ["x"]


def test_names_are_known_in_every_form_of_unicode() -> None:
    """Python normalises identifiers (PEP 3131); keyboards and clients do not."""

    def method(µ: float, größe: float = 1.0) -> float:
        return µ * größe

    call, _ = methods.bind(method)
    assert call({"\u00b5": 2.0}) == 2.0
    assert call({"\u03bc": 2.0, unicodedata.normalize("NFD", "größe"): 3}) == 6.0
    with pytest.raises(VariablesInvalid, match="Field required"):
        call({"u": 2.0})


@pytest.mark.parametrize(
    ("hint", "digits"),
    [
        (float, "doubles"), (int, "doubles"), (list[str], "doubles"), (int | None, "doubles"),
        (Any, "integers"), (dict, "integers"), (list, "integers"), (int | float, "integers"),
        (dict[str, Any], "integers"), (Decimal, "decimals"), (list[Decimal | None], "decimals"),
        (Priced, "decimals"), (Annotated[Decimal, "EUR"], "decimals"), (Row, "doubles"),
    ],
)  # fmt: skip
def test_the_types_say_how_numbers_are_read(hint: Any, digits: str) -> None:
    """A type that refuses a double which stands for a long integer needs nothing."""
    assert digits_of([hint]) == digits


@pytest.mark.parametrize(
    ("demand", "fits", "fails"),
    [
        (annotated_types.Ge(0), 0, -1),
        (annotated_types.Interval(gt=0, lt=1), 0.5, 1),
        (annotated_types.MultipleOf(2), 4, 3),
    ],
)
def test_constraints_hold_without_pydantic(demand: Any, fits: float, fails: float) -> None:
    check = plain_checks.check_of(Annotated[float, demand, "a doc"])
    assert check(fits, ()) == fits
    with pytest.raises(plain_checks.Wrong):
        check(fails, ("x",))
