"""Samples as an Arrow table: a row for each row of a request, a column for each variable.

Names of our own begin with `modelsync_`: the request's id, its time, the code and the number of the
version, the row's number, what was predicted, and the whole result of requests with one row. A
column has one type in all files: values of different types make it text, objects are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from modelsync import json_text
from modelsync.monitoring.predictions import by_row, prediction_of

PREFIX = "modelsync_"
ID, TIME, CODE, VERSION, ROW, PREDICTION, RESULT = (
    f"{PREFIX}{name}"
    for name in ("request_id", "time", "code", "version", "row", "prediction", "result")
)

OURS: Mapping[str, pa.DataType] = {
    ID: pa.string(),
    TIME: pa.timestamp("us", "UTC"),
    CODE: pa.string(),
    VERSION: pa.int32(),
    ROW: pa.int32(),
    RESULT: pa.string(),
}

MOST_COLUMNS = 500
"""Variables that have a column; a client that sends ever new names gets no more of them."""

_INT64 = range(-(2**63), 2**63)
_ORDER = ("null", "bool", "int64", "double", "string")
_TYPES = {
    "null": pa.null(), "bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(),
    "string": pa.string(),
}  # fmt: skip


def table_of(
    records: Iterable[Mapping[str, Any]], known: pa.Schema | None = None, target: str = ""
) -> pa.Table:
    """Return the rows of some samples of one model; `known`: the schema of those before them.

    `target`: the name of what the model predicts.
    """
    rows = [row for record in records for row in _rows(record, target)]
    names = dict.fromkeys(name for row in rows for name in row if name not in OURS)
    known_names = [name for name in known.names if name not in OURS] if known else []
    names = dict.fromkeys([*known_names, *names])
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in OURS.items()}
    names.pop(PREDICTION, None)
    for name in [*list(names)[:MOST_COLUMNS], PREDICTION]:  # which variables do not crowd out
        before = _name_of(known.field(name).type) if name in known_names and known else "null"
        columns[name] = _array([row.get(name) for row in rows], before)
    return pa.table(columns)


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Return one table of several, with the types that hold the values of all."""
    names = dict.fromkeys(name for table in tables for name in table.column_names)
    kinds = {}
    for name in names:
        found = [table.schema.field(name).type for table in tables if name in table.column_names]
        kinds[name] = OURS.get(name) or _TYPES[_common(map(_name_of, found))]
    return pa.concat_tables([_as(table, kinds) for table in tables])


def _as(table: pa.Table, kinds: Mapping[str, pa.DataType]) -> pa.Table:
    columns = {}
    for name, kind in kinds.items():
        if name not in table.column_names:
            columns[name] = pa.nulls(table.num_rows, kind)
        elif table.schema.field(name).type == kind:
            columns[name] = table.column(name)
        elif pa.types.is_string(kind):
            columns[name] = pa.array(map(_text, table.column(name).to_pylist()), kind)
        else:
            columns[name] = table.column(name).cast(kind, safe=False)
    return pa.table(columns)


def _rows(record: Mapping[str, Any], target: str) -> Iterable[dict[str, Any]]:
    """Yield the rows of a sample, with what was predicted for each."""
    columns: Mapping[str, Sequence[Any]] = record["columns"]
    count = max(map(len, columns.values()), default=1)
    prediction = prediction_of(record["result"], target)
    predicted = by_row(prediction, count)
    result = json.dumps(record["result"], ensure_ascii=False) if count == 1 else None
    common = {
        ID: str(record["id"]),
        TIME: datetime.fromtimestamp(record["time"], UTC),
        CODE: record.get("code"),
        VERSION: record.get("number"),
        RESULT: result,
    }
    for place in range(count):
        values = {
            name: column[place] if place < len(column) else None
            for name, column in columns.items()
            if not name.startswith(PREFIX)
        }
        yield {**values, **common, ROW: place, PREDICTION: predicted[place]}


def _array(values: list[Any], before: str) -> pa.Array:
    kind = _common([before, *{_kind(value) for value in values}])
    if kind == "string":
        values = [_text(value) for value in values]
    elif kind == "double":
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, _TYPES[kind])


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if value in _INT64 else "string"
    return "double" if isinstance(value, float) else "string"


def _common(kinds: Iterable[str]) -> str:
    """Return the type that holds the values of all of these."""
    found = set(kinds) - {"null"}
    if "bool" in found and len(found) > 1:
        return "string"
    return max(found, key=_ORDER.index, default="null")


def _name_of(kind: pa.DataType) -> str:
    return next((name for name, one in _TYPES.items() if one == kind), "string")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else value.encode(errors="replace").decode()
    return json_text.dump_lossy(value).decode()
