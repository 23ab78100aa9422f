"""Rows of a table by their numbers, whatever library holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def count(table: Any) -> int:
    """Return how many rows a table has. Raises ValueError, TypeError for what is none."""
    if isinstance(table, Mapping):
        return len(next(iter(table.values()), ()))
    if (rows := getattr(table, "num_rows", None)) is not None:  # of Arrow
        return int(rows)
    if shape := getattr(table, "shape", None):
        return int(shape[0])
    return len(table)


def columns(table: Any, rows: Any, most: int) -> dict[str, Any]:
    """Return the values of some rows by column, as arrays of numpy; at most `most` columns.

    `rows`: an array of row numbers. A column without a name has its number. Raises ValueError, or
    what the table's library raises, for what is no table.
    """
    if isinstance(table, Mapping):  # columns of lists
        return {
            str(name): _array([values[row] for row in rows])
            for name, values in list(table.items())[:most]
        }
    if hasattr(table, "iloc"):
        return _of_pandas(table.iloc[rows], most)
    if hasattr(table, "num_rows"):
        found = table.select(table.schema.names[:most]).take(rows).to_pydict()
        return {name: _array(values) for name, values in found.items()}
    if hasattr(table, "get_columns"):  # of polars
        series = table[rows].get_columns()[:most]
        return {column.name: _array(column.to_list()) for column in series}
    if hasattr(table, "tocsr"):  # a sparse matrix of SciPy
        return _of_array(table.tocsr()[rows][:, :most].toarray(), most)
    if isinstance(table, list | tuple):
        return _of_list([table[row] for row in rows], most)
    return _of_array(table[rows], most)


def _of_pandas(data: Any, most: int) -> dict[str, Any]:
    if not hasattr(data, "columns"):  # a Series
        return {str(data.name if data.name is not None else 0): data.to_numpy()}
    names = [str(name) for name in data.columns[:most]]
    return {name: data.iloc[:, place].to_numpy() for place, name in enumerate(names)}


def _of_list(rows: Sequence[Any], most: int) -> dict[str, Any]:
    first = rows[0]
    if isinstance(first, Mapping):
        names = list(first)[:most]
        return {str(name): _array([row.get(name) for row in rows]) for name in names}
    if isinstance(first, list | tuple):
        places = range(min(most, len(first)))
        return {str(place): _array([row[place] for row in rows]) for place in places}
    return {"0": _array(rows)}


def _of_array(values: Any, most: int) -> dict[str, Any]:
    import numpy as np

    array = np.asarray(values)
    if array.dtype.names:  # a structured array
        return {name: array[name] for name in array.dtype.names[:most]}
    if array.ndim == 1:
        return {"0": array}
    table = array.reshape(len(array), -1)
    return {str(place): table[:, place] for place in range(min(most, table.shape[1]))}


def _array(values: Sequence[Any]) -> Any:
    """Return Python's values as an array of objects, also where they are lists."""
    import numpy as np

    array = np.empty(len(values), object)
    array[:] = values
    return array
