"""Results of 32 bits have the same digits however they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelsync import json_text, plain_json
from modelsync.models import results, single_precision
from modelsync.models.check.comparison import find_difference

VALUE = np.float32(0.1)
HOLDERS: dict[str, Callable[[Any], Any]] = {
    "scalar": lambda value: value,
    "array": lambda value: np.array([value]),
    "strided": lambda value: np.array([value, value])[::2],
    "nested": lambda value: np.array([[value], [value]]),
    "list": lambda value: [value, (value, {"a": value})],
    "slow": lambda value: [value, 2**70],
    "objects": lambda value: np.array([value], dtype=object),
    "key": lambda value: {value: 1},
    "series": lambda value: pd.Series([value]),
    "frame": lambda value: pd.DataFrame({"a": pd.Series([value]), "b": [1.5]}),
}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("holder", HOLDERS)
def test_one_form_everywhere(monkeypatch: pytest.MonkeyPatch, holder: str, plain: bool) -> None:
    """With orjson and without, value by value or not: 0.1, and no 0.10000000149011612."""
    if plain:
        for module in (results, json_text):
            name = "_dumps" if module is results else "dumps"
            monkeypatch.setattr(module, name, plain_json.dumps)
        monkeypatch.setattr(json_text, "Fragment", plain_json.Fragment)
    body = results.dump({"it": HOLDERS[holder](VALUE)})
    assert b"0.1" in body
    assert b"0.1000" not in body


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_no_digit_is_lost(value: float) -> None:
    """The digits mean the same number of 32 bits, and are those of orjson."""
    single = np.float32(value)
    found = single_precision.listed(single)
    assert np.float32(found) == single
    assert json.loads(results.dump({"it": single}))["it"] == found
    assert json.loads(results.dump({"it": [single, 2**70]}))["it"][0] == found
    assert single_precision.is_same(float(single), found)
    assert find_difference(float(single), found) is None


@pytest.mark.parametrize(
    ("expected", "got"),
    [(0.12345678, 0.12345679), (1.0, 0.99999999), (0.333333, 0.33333334), (1e39, 1.1e39)],
)
def test_other_numbers_differ(expected: float, got: float) -> None:
    """An example is compared as exactly as before."""
    assert find_difference(expected, got)


def test_what_is_not_finite_is_null() -> None:
    """As everywhere in results."""
    found: Any = single_precision.listed(np.array([np.nan, np.inf, 0.5], dtype=np.float16))
    assert found == [None, None, 0.5]
