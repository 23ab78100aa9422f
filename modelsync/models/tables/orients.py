"""The forms in which pandas writes a DataFrame or Series as JSON, read and written without it.

https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.to_json.html

| orient | JSON |
|---|---|
| `split` | `{"columns": [...], "index": [...], "data": [[...]]}` |
| `records` | `[{column: value}, ...]` |
| `index` | `{label: {column: value}}` |
| `columns` | `{column: {label: value}}` |
| `values` | `[[...], ...]` |
| `table` | `{"schema": {"fields": [...]}, "data": [{column: value}]}` |
| `list` | `{column: [...]}`, that of pandas' to_dict |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from modelsync.models.tables import rows
from modelsync.models.tables.table import Orient, Table, kind_of, shown, wrong

ORIENTS: tuple[str, ...] = get_args(Orient)

_DTYPES = {"datetime": "datetime64[ns]", "boolean": "bool", "integer": "int64", "number": "float64"}
"""numpy's types by those of a Table Schema (https://specs.frictionlessdata.io/table-schema/)."""


def named(orient: str) -> Orient:
    """Return an orient by its name. Raises VariablesInvalid, which lists those that exist."""
    if orient not in ORIENTS:
        raise wrong("orient", f"is {orient[:60]!r}; pandas has {', '.join(ORIENTS)}")
    return cast(Orient, orient)


def recognize(value: Mapping[str, Any]) -> Orient | None:
    """Return the orient that an object shows by its form; None if it does not."""
    if isinstance(value.get("schema"), dict) and isinstance(value.get("data"), list):
        return "table"
    if isinstance(value.get("data"), list) and value.keys() <= {"columns", "index", "data", "name"}:
        listed = value["data"] and all(isinstance(row, list) for row in value["data"])
        if isinstance(value.get("columns"), list) and (listed or not value["data"]):
            return "split"
        if "name" in value and isinstance(value.get("index"), list):  # of a Series
            return "split"
    if value and all(isinstance(item, dict) for item in value.values()):
        return "columns"
    return None


def read(value: Any, name: str, orient: str, *, series: bool = False) -> Table:
    """Return the table that JSON of this orient holds. Raises VariablesInvalid."""
    found = named(orient)
    listed = found in ("records", "values")
    if isinstance(value, list) and listed:
        return rows.read_list(value, name)
    if not isinstance(value, dict) or listed:
        wanted = "a list" if listed else "an object"
        raise wrong(name, f"is {kind_of(value)}; with orient {found!r} it is {wanted}")
    if found == "list" or (
        found in ("index", "columns")  # of a Series, or with lists for columns
        and not any(isinstance(one, dict) for one in value.values())
    ):
        return rows.read_object(value, name, series=series)
    return _READERS[found](value, name)


def _split(value: dict[str, Any], name: str) -> Table:
    """Read rows beside the names of their columns; those of a Series have none."""
    data, columns = value.get("data"), value.get("columns")
    if not isinstance(data, list):
        raise wrong(f"{name}.data", f"is {kind_of(data)}; orient 'split' has the rows there")
    table = rows.read_list(data, f"{name}.data")
    table.index = value.get("index") if isinstance(value.get("index"), list) else None
    if table.index is not None and len(table.index) != table.rows:
        raise wrong(f"{name}.index", f"has {len(table.index)} labels for {table.rows} rows")
    if columns is None:
        return table
    if not isinstance(columns, list) or len(columns) != len(table):
        count = len(columns) if isinstance(columns, list) else kind_of(columns)
        raise wrong(f"{name}.columns", f"has {count} names; the rows have {len(table)} values")
    names = list(map(str, columns))
    if len(set(names)) < len(names):
        twice = sorted({one for one in names if names.count(one) > 1})
        raise wrong(f"{name}.columns", f"holds a name more than once: {shown(twice)}")
    return Table(dict(zip(names, table.values(), strict=True)), named=True, index=table.index)


def _index(value: dict[str, Any], name: str) -> Table:
    table = rows.read_list(list(value.values()), name)
    table.index = list(value)
    return table


def _columns(value: dict[str, Any], name: str) -> Table:
    for key, one in value.items():
        if not isinstance(one, dict):
            raise wrong(f"{name}.{key}", f"is {kind_of(one)}; other columns hold objects")
    labels = list(dict.fromkeys(label for one in value.values() for label in one))
    columns = {key: [one.get(label) for label in labels] for key, one in value.items()}
    return Table(columns, named=True, index=labels)


def _table(value: dict[str, Any], name: str) -> Table:
    schema, data = value.get("schema"), value.get("data")
    fields = schema.get("fields") if isinstance(schema, dict) else None
    if not isinstance(fields, list) or not isinstance(data, list):
        raise wrong(name, "has no schema.fields or no data; orient 'table' has both")
    key = schema.get("primaryKey", ["index"]) if isinstance(schema, dict) else []
    labels = {key} if isinstance(key, str) else set(map(str, key))
    table = rows.read_list(data, f"{name}.data")
    kept = {one: values for one, values in table.items() if one not in labels}
    index = next((table[one] for one in labels if one in table), None)
    dtypes = {
        one["name"]: _DTYPES[one["type"]]
        for one in fields
        if isinstance(one, dict) and one.get("type") in _DTYPES and one.get("name") in kept
    }
    return Table(kept, named=table.named, index=index, dtypes=dtypes)


_READERS: dict[str, Callable[[dict[str, Any], str], Table]] = {
    "split": _split,
    "index": _index,
    "columns": _columns,
    "table": _table,
}


# --- writing --------------------------------------------------------------------------------------


def write(columns: Mapping[str, Sequence[Any]], orient: Orient, index: Sequence[Any] | None) -> Any:
    """Return columns of JSON values in the form that pandas gives a DataFrame of them."""
    names = list(columns)
    lines = list(zip(*columns.values(), strict=True))
    labels = list(index) if index is not None else list(range(len(lines)))
    keys = list(map(str, labels))
    match orient:
        case "split":
            return {"columns": names, "index": labels, "data": list(map(list, lines))}
        case "records":
            return [dict(zip(names, row, strict=True)) for row in lines]
        case "index":
            found = (dict(zip(names, row, strict=True)) for row in lines)
            return dict(zip(keys, found, strict=True))
        case "columns":
            return {one: dict(zip(keys, values, strict=True)) for one, values in columns.items()}
        case "values":
            return list(map(list, lines))
        case "list":
            return {one: list(values) for one, values in columns.items()}
    data = [
        {"index": label, **dict(zip(names, row, strict=True))}
        for label, row in zip(labels, lines, strict=True)
    ]
    fields = [{"name": one, "type": _type_of(values)} for one, values in columns.items()]
    fields.insert(0, {"name": "index", "type": _type_of(labels)})
    schema = {"fields": fields, "primaryKey": ["index"], "pandas_version": "1.4.0"}
    return {"schema": schema, "data": data}


def _type_of(values: Sequence[Any]) -> str:
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "integer"
    return "number" if kinds and kinds <= {int, float} else "string"
