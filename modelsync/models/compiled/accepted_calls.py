"""Which calls of an estimator its compiled form answers, and how the rows of the form are read from
what a call is given. Everything else is for the estimator.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from modelsync.models.forms.compiled_model import NotProven

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MOST_ROWS = 1000
"""Rows of a call that a form answers: an estimator computes large tables as fast."""

MAX_LAYOUTS = 64
"""Orders of columns, and types of a column, that are remembered."""

LARGEST = 2**53
"""Up to it each integer is a number of 64 bits."""

_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class AcceptedColumn:
    """A column of the form: its `place` among the inputs of the estimator, and the names of the
    types with which it was proven in a DataFrame. `text`: it holds texts; `null`: what a missing
    one is, `nan` or `none`; empty if none may be missing.
    """

    place: int
    dtypes: tuple[str, ...]
    text: bool = False
    null: Literal["", "nan", "none"] = ""


@dataclass(frozen=True, slots=True)
class AcceptedCalls:
    """The calls that a form was proven for.

    `labels`: the names with which the estimator was fitted, empty without; `width`: how many inputs
    it has. `by_place`: the columns of a DataFrame may have any names. `reordered`: they may come in
    another order, and `further` ones among them. `arrays`: the types of arrays, `lists`: lists of
    rows are proven too. `methods`: the type of what each method returns, as numpy writes it.
    """

    labels: tuple[str, ...]
    width: int
    columns: tuple[AcceptedColumn, ...]
    by_place: bool = False
    reordered: bool = False
    further: bool = False
    arrays: tuple[str, ...] = ()
    lists: bool = False
    methods: dict[str, str] = field(default_factory=dict)


class CallReader:
    """Reads the rows of a form from what `predict` is given."""

    def __init__(self, calls: AcceptedCalls) -> None:
        self._calls = calls
        self._order = [column.place for column in calls.columns]
        self._names = {name: place for place, name in enumerate(calls.labels)}
        self._layouts: dict[tuple[Any, ...], list[int] | None] = {}
        self._last: tuple[Any, list[int]] | None = None
        self._converters: list[dict[Any, Convert | None]] = [{} for _ in calls.columns]

    def rows(self, x: Any) -> list[Any]:
        """Return the rows, each with one value for each column of the form.

        Raises NotProven if the estimator must answer: it alone knows whether `x` is an error.
        """
        kind = type(x)
        if kind.__name__ == "DataFrame" and kind is getattr(_pandas(), "DataFrame", None):
            return self._of_frame(x)
        if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
            return self._of_array(x)
        if kind is list and self._calls.lists:
            return self._of_array(_as_array(x))
        raise NotProven(f"a {kind.__name__}")

    # --- DataFrames -------------------------------------------------------------------------------

    def _of_frame(self, frame: Any) -> list[Any]:
        if not 0 < len(frame) <= MOST_ROWS:
            raise NotProven("a DataFrame without rows, or with many")
        places = self._places(frame.columns)
        column = _column_of(frame)
        found: list[list[Any]] = []
        for place, converters in zip(places, self._converters, strict=True):
            values = column(place)
            kind = values.dtype
            try:
                convert = converters[kind]
            except KeyError:
                convert = self._converter(len(found), kind)
            found.append(convert(values.tolist()) if convert else values.tolist())
        return list(zip(*found, strict=True))

    def _places(self, labels: Any) -> list[int]:
        """Return where the columns of the form are in a DataFrame with these labels."""
        last = self._last
        if last is not None and last[0] is labels:
            return last[1]
        key = tuple(labels.tolist())
        try:
            found = self._layouts[key]
        except KeyError:
            found = self._found(key)
            if len(self._layouts) < MAX_LAYOUTS:
                self._layouts[key] = found
        if found is None:
            raise NotProven("other columns")
        self._last = labels, found
        return found

    def _found(self, labels: tuple[Any, ...]) -> list[int] | None:
        calls = self._calls
        if calls.by_place or labels == calls.labels:
            return self._order if len(labels) == calls.width else None
        if not calls.reordered or len(set(labels)) != len(labels):
            return None
        if not set(self._names).issubset(labels):
            return None
        if len(labels) > len(self._names) and not calls.further:
            return None
        return [labels.index(calls.labels[place]) for place in self._order]

    def _converter(self, number: int, kind: Any) -> Convert | None:
        """Return how a column is converted from a type of pandas. Raises NotProven."""
        column = self._calls.columns[number]
        if (name := str(kind)) not in column.dtypes:
            raise NotProven(f"a column of type {name}")
        convert = converter(column, name)
        if len(self._converters[number]) < MAX_LAYOUTS:
            self._converters[number][kind] = convert
        return convert

    # --- arrays -----------------------------------------------------------------------------------

    def _of_array(self, array: Array) -> list[Any]:
        calls = self._calls
        if array.ndim != 2 or array.shape[1] != calls.width or not 0 < len(array) <= MOST_ROWS:
            raise NotProven("an array of another shape")
        name = str(array.dtype)
        if name not in calls.arrays:
            raise NotProven(f"an array of type {name}")
        columns = []
        for column in calls.columns:
            convert = converter(column, name)
            values = array[:, column.place].tolist()
            columns.append(convert(values) if convert else values)
        return list(zip(*columns, strict=True))


def _pandas() -> Any:
    return sys.modules.get("pandas")


def _column_of(frame: Any) -> Callable[[int], Any]:
    """Return the function that gives the values of a column by its place, without a Series."""
    try:
        found: Callable[[int], Any] = frame._mgr.iget_values
    except AttributeError:  # it is no part of pandas' interface
        return lambda place: frame.iloc[:, place].values
    return found


def _as_array(rows: list[Any]) -> Array:
    import numpy as np

    try:
        return np.array(rows)
    except ValueError as error:  # of rows of several lengths
        raise NotProven("a list that is no table") from error


# --- the values of a column -----------------------------------------------------------------------

Convert = Callable[[list[Any]], list[Any]]
"""Checks the values of a column, and returns them as a row of the form has them."""


def converter(column: AcceptedColumn, kind: str) -> Convert | None:
    """Return how values of a type, by its name, are checked; None: all of them are proven."""
    if column.text:
        null = column.null if kind == "object" else "nan"  # of pandas' own types
        return lambda values: _texts(values, null)
    if kind == "object":
        return _numbers
    return _integers if kind in ("int64", "uint64") else None


_STR = frozenset({str})


def _texts(values: list[Any], null: str) -> list[Any]:
    """Return texts, and None for a missing one."""
    if _STR.issuperset(map(type, values)):
        return values
    for value in values:
        missing = "none" if value is None else "nan" if value != value else ""
        if type(value) is not str and missing != null:
            raise NotProven("a value that is no text")
    return [value if type(value) is str else None for value in values]


def _numbers(values: list[Any]) -> list[Any]:
    """Return objects that are numbers; NaN is one, None is not."""
    if not _NUMBERS.issuperset(map(type, values)):
        raise NotProven("a value that is no number")
    return values


def _integers(values: list[Any]) -> list[Any]:
    """Return integers that are doubles too."""
    if max(values) > LARGEST or min(values) < -LARGEST:
        raise NotProven("a large integer")
    return values
