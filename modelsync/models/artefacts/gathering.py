"""Makes the array or DataFrame that an estimator takes of rows, each column of a type of its own.

The type of a column follows from its `ColumnKind`, never from the values in it: a row means alone
what it means beside others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelsync.models.artefacts.column_kinds import ColumnKind

Gather = Callable[[list[Any]], Any]
_NUMBERS_OR_NULL = frozenset({int, float, type(None)})

Alike = Callable[[Any], Any]
"""Returns of a row what rows that are called together have in common."""


def numbers(rows: list[Any]) -> Any:
    """Return an array of numbers, of shape (rows, inputs)."""
    import numpy as np

    return np.array(rows, dtype=np.float64)


def array(kinds: Sequence[ColumnKind]) -> tuple[Gather, Alike | None]:
    """Return the function that makes an array without names, and what tells rows apart.

    It holds objects if a column does; where no column tells, those rows that are not all numbers.
    """
    nulls = [kind.null for kind in kinds]

    def gather(rows: list[Any]) -> Any:
        import numpy as np

        found = np.empty((len(rows), len(nulls)), dtype=object)
        for place, row in enumerate(rows):
            pairs = zip(row, nulls, strict=True)
            found[place] = [null if value is None else value for value, null in pairs]
        return found

    if any(kind.dtype not in ("", "float64") for kind in kinds):
        return gather, None
    return lambda rows: numbers(rows) if _are_numbers(rows[0]) else gather(rows), _are_numbers


def _are_numbers(row: Any) -> bool:
    return _NUMBERS_OR_NULL.issuperset(map(type, row))


def records(rows: list[Any]) -> Any:
    """Return a DataFrame of rows that are objects."""
    import pandas as pd

    return pd.DataFrame.from_records(rows)


def frame(names: Sequence[str], kinds: Sequence[ColumnKind]) -> Gather:
    """Return the function that makes a DataFrame with these columns."""
    import pandas as pd

    makers = [(name, _maker(kind)) for name, kind in zip(names, kinds, strict=True)]

    def gather(rows: list[Any]) -> Any:
        columns = zip(*rows, strict=True) if makers else ()
        made = {name: make(values) for (name, make), values in zip(makers, columns, strict=True)}
        return pd.DataFrame(made, index=range(len(rows)))

    return gather


def alike(kinds: Sequence[ColumnKind]) -> Alike | None:
    """Return what tells which rows may be called together; None if all may.

    Rows are kept apart where the types of their values decide the type of a column.
    """
    places = [place for place, kind in enumerate(kinds) if not kind.dtype]
    if not places:
        return None
    return lambda row: tuple(type(row[place]) for place in places)


def _maker(kind: ColumnKind) -> Callable[[Sequence[Any]], Any]:
    """Return the function that makes one column of its values."""
    import numpy as np

    if kind.dtype == "float64":
        return lambda values: np.array(values, dtype=np.float64)
    if kind.dtype == "category":
        import pandas as pd

        known = list(kind.categories)
        return lambda values: pd.Categorical(list(values), categories=known)
    if kind.dtype == "bool":
        return lambda values: np.array(values, dtype=None if None in values else bool)
    if kind.dtype == "object":
        return lambda values: _objects(values, kind.null)
    return _alike


def _objects(values: Sequence[Any], null: Any) -> Any:
    import numpy as np

    found = np.empty(len(values), dtype=object)
    found[:] = [null if value is None else value for value in values]
    return found


def _alike(values: Sequence[Any]) -> Any:
    """Return a column of values of one type, as pandas makes it; missing ones are NaN."""
    return _objects(values, float("nan")) if values and values[0] is None else list(values)
