"""The bodies of requests with tables: of predictions, and of training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelsync.errors import DataInvalid, VariablesInvalid
from modelsync.models.tables import parsing
from modelsync.models.tables.table import Table, kind_of, shown, wrong

KEYS = ("key", "model_key", "model-key")
"""The members that name the version which is asked."""


def holds_table(body: Mapping[str, Any]) -> bool:
    """Return whether the body of a prediction has rows and no `variables`."""
    return "variables" not in body and ("x" in body or "data" in body)


def prediction(body: Mapping[str, Any]) -> Table:
    """Return the table of `{"x": ...}` or `{"data": ...}`. Raises VariablesInvalid."""
    name = "x" if "x" in body else "data"
    orient = _text(body, "orient")
    table = parsing.parse(body[name], name, orient)
    if name == "data":
        table.form = "rows" if isinstance(body[name], list) else "data"
    table.key = next((found for one in KEYS if (found := _text(body, one))), "")
    return table


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if name in KEYS and type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise wrong(name, f"is {kind_of(value)}, not a text")
    return value


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a model is fitted with: the table `x`, and `y`, of as many rows, None without one."""

    x: Table
    y: Table | None = None


def training(body: Mapping[str, Any]) -> TrainingData:
    """Return the training data of `{"x": ..., "y": ...}`, or of `{"x": ..., "target": column}`.

    `orient` is for both, as in what pandas wrote. Raises DataInvalid.
    """
    try:
        return _training(body)
    except VariablesInvalid as error:
        raise DataInvalid(str(error)) from None


def _training(body: Mapping[str, Any]) -> TrainingData:
    if "x" not in body and "data" not in body:
        raise wrong("x", "is missing: the rows to fit with")
    name = "x" if "x" in body else "data"
    orient = _text(body, "orient")
    x = parsing.parse(body[name], name, orient)
    if body.get("y") is None:
        if target := _text(body, "target"):
            return TrainingData(*split(x, target))
        return TrainingData(x)
    y = parsing.parse(body["y"], "y", _orient_of(body["y"], orient), series=True)
    if y.rows != x.rows:
        raise wrong("y", f"has {y.rows} values, x has {x.rows} rows")
    return TrainingData(x, y)


def _orient_of(y: Any, orient: str) -> str:
    """Return the orient of `y`: that of x, unless it is a plain list beside a frame."""
    return "" if isinstance(y, list) else orient


def split(x: Table, target: str) -> tuple[Table, Table]:
    """Return the table without its column `target`, and that column. Raises VariablesInvalid."""
    if target not in x:
        raise wrong("target", f"x has no column {target[:60]!r}; it has {shown(list(x))}")
    if len(x) == 1:
        raise wrong("target", f"x has no column besides {target[:60]!r}")
    dtypes = {name: kind for name, kind in x.dtypes.items() if name == target}
    return x.without(target), Table({target: x[target]}, named=True, dtypes=dtypes)
