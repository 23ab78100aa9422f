"""Turns what a model predicts for a table into the answer, in the form of the request.

| request | answer |
|---|---|
| `{"x": ...}` | `{"y": [...]}` |
| the same with `orient`, or a text by pandas | `{"y": ...}`, a frame with the column `y` in that |
| | orient; a text for a text |
| `{"data": {column: [...]}}` | `{"predict": [...], "predict_proba": [[...]]}` |
| `{"data": [...]}` | `{"predictions": [...]}` |

A frame that the model returns becomes a list for each column, several outputs a list for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelsync.errors import ModelRaised
from modelsync.models import results
from modelsync.models.tables import orients
from modelsync.models.tables.table import Orient, Table

Values = list[Any] | dict[str, list[Any]]
"""A value for each row, or columns of them."""


def answer(table: Table, rows: int, predicted: Any, probabilities: Any = None) -> dict[str, Any]:
    """Return the answer to a table's request, of `rows` rows.

    Raises ModelRaised if `predicted` does not hold a value for each row.
    """
    values = values_of(predicted, rows)
    if table.orient:
        return {"y": _oriented(values, table, table.orient)}
    if table.form == "x":
        return {"y": values}
    if table.form == "rows":
        return {"predictions": values}
    if probabilities is None:
        return {"predict": values}
    return {"predict": values, "predict_proba": _by_row(probabilities)}


def _by_row(probabilities: Any) -> list[Any]:
    """Return probabilities row by row; those of several outputs come as an array for each."""
    if isinstance(probabilities, list) and all(hasattr(one, "shape") for one in probabilities):
        return [list(outputs) for outputs in zip(*map(listed, probabilities), strict=True)]
    return listed(probabilities)


def values_of(predicted: Any, rows: int) -> Values:
    """Return predictions as a list with one value for each row, a frame's as columns.

    Raises ModelRaised if there are not as many as rows.
    """
    values: Values
    if hasattr(predicted, "get_columns"):  # of polars
        values = {column.name: column.to_list() for column in predicted.get_columns()}
    elif hasattr(predicted, "columns") and hasattr(predicted, "to_dict"):
        values = {str(key): column for key, column in predicted.to_dict("list").items()}
    elif isinstance(predicted, Mapping):
        values = {results.as_key(key): listed(column) for key, column in predicted.items()}
    else:
        values = listed(predicted)
    found = {len(one) for one in values.values()} if isinstance(values, dict) else {len(values)}
    if found != {rows}:
        count = ", ".join(map(str, sorted(found))) or "no"
        raise ModelRaised("ValueError", f"predict returned {count} values for {rows} rows")
    return values


def listed(values: Any) -> list[Any]:
    """Return an array, sparse matrix, Series, tensor or sequence as a list, one element per row."""
    if isinstance(values, list | tuple):
        return list(values)
    dense = values.toarray() if hasattr(values, "toarray") else values
    dense = dense.detach().cpu() if hasattr(dense, "detach") else dense  # a tensor of torch
    for name in ("tolist", "to_list"):
        if callable(convert := getattr(dense, name, None)):
            found = convert()
            return found if isinstance(found, list) else [found]
    if callable(convert := getattr(dense, "numpy", None)):  # a tensor of tensorflow
        return listed(convert())
    if isinstance(dense, str | bytes) or not hasattr(dense, "__iter__"):
        raise ModelRaised(
            "TypeError", f"predict returned a {type(values).__name__}, not one value for each row"
        )
    return list(dense)


def _oriented(values: Values, table: Table, orient: Orient) -> Any:
    """Return predictions as pandas writes a frame of them, with the labels of the request."""
    columns = _columns(values)
    written = orients.write(columns, orient, table.index)
    return results.dump({"y": written})[len('{"y":') : -1].decode() if table.as_text else written


def _columns(values: Values) -> dict[str, list[Any]]:
    if isinstance(values, dict):
        return values
    if values and all(isinstance(value, list) for value in values):
        width = {len(value) for value in values}
        if len(width) == 1:
            names = ["y"] if width == {1} else [f"y{place}" for place in range(max(width))]
            outputs = map(list, zip(*values, strict=True))
            return dict(zip(names, outputs, strict=True))
    return {"y": values}
