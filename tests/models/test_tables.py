"""Tables: the forms in which rows come as JSON, their errors, and the columns of a version."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from modelsync.errors import DataInvalid, VariablesInvalid
from modelsync.models.tables import alignment, bodies, frames, parsing, schema
from modelsync.models.tables.table import Table
from modelsync.models.versions import Column, TableSchema

FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 6])
COLUMNS = {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    ("value", "columns", "named"),
    [
        ([[1, 2], [3, 4]], {"0": [1, 3], "1": [2, 4]}, False),
        ([{"a": 1, "b": "x"}, {"a": 2}], COLUMNS, True),
        (COLUMNS, COLUMNS, True),
        ({"a": 1, "b": "x"}, {"a": [1], "b": ["x"]}, True),
        ([1, 2, None], {"0": [1, 2, None]}, False),
        ('[["q", true]]', {"0": ["q"], "1": [True]}, False),
    ],
)
def test_forms_of_rows(value: Any, columns: dict[str, Any], named: bool) -> None:
    """Rows, objects and columns, with names and without, become the same columns."""
    table = parsing.parse(value, "x")
    assert (dict(table), table.named, table.rows) == (
        columns,
        named,
        len(columns[next(iter(columns))]),
    )


@pytest.mark.parametrize("orient", ["split", "records", "index", "columns", "values", "table"])
@pytest.mark.parametrize("as_text", [True, False])
def test_every_orient_of_pandas(orient: Any, as_text: bool) -> None:
    """What `to_json` writes is read, as a text in JSON and as an object already."""
    text = FRAME.to_json(orient=orient)
    table = parsing.parse(text if as_text else json.loads(text), "x", orient)
    assert list(table.values()) == list(COLUMNS.values())
    assert table.named == (orient != "values")
    assert (table.as_text, table.orient) == (as_text, orient)
    series = FRAME["a"].to_json(orient=orient)
    assert list(parsing.parse(series, "y", orient, series=True).values()) == [[1, 2]]


@pytest.mark.parametrize("orient", ["split", "columns", "table"])
def test_orients_that_show_themselves(orient: Any) -> None:
    """The body need not say how pandas wrote it, where that can be seen."""
    assert dict(parsing.parse(json.loads(FRAME.to_json(orient=orient)), "x")) == COLUMNS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "x: is a number; send a list of rows"),
        (None, "x: is null"),
        ("no", "x: is a text, but no JSON"),
        ([], "x: has no rows"),
        ({}, "x: has no columns"),
        ([[]], "x: has no columns"),
        ({"a": []}, "x: has no rows"),
        ([[1], [1, 2], [3, 4]], "row 0 has 1 values, row 1 has 2; 2 of 3 rows differ"),
        ({"a": [1], "b": [2, 3]}, "different numbers of values: a has 1, b has 2"),
        ({"a": [1], "b": 2}, "x.b: is a number, but a hold lists"),
        ([[1], {"a": 1}], "row 0 is a list, row 1 is an object"),
        ([1, [2]], "row 0 is a number, row 1 is a list"),
        ([[[1]]], "x.0: row 0 holds a list; a table has one value in each place"),
        ({"a": [1, {}]}, "x.a: row 1 holds an object"),
    ],
)
def test_what_is_no_table_is_named(value: Any, message: str) -> None:
    """Each message says what came, and where."""
    with pytest.raises(VariablesInvalid) as caught:
        parsing.parse(value, "x")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "orient", "message"),
    [
        ([[1]], "wide", "orient: is 'wide'; pandas has split, records"),
        ([[1]], "split", "x: is a list; with orient 'split' it is an object"),
        ({"a": 1}, "records", "x: is an object; with orient 'records' it is a list"),
        ({"columns": ["a"], "data": [[1, 2]]}, "split", "x.columns: has 1 names; the rows have 2"),
        ({"columns": ["a", "a"], "data": [[1, 2]]}, "split", "more than once: a"),
        ({"columns": ["a"], "index": [], "data": [[1]]}, "split", "has 0 labels for 1 rows"),
        ({"data": []}, "table", "no schema.fields"),
        ({"a": {"0": 1}, "b": 2}, "columns", "x.b: is a number"),
    ],
)
def test_wrong_orients_are_named(value: Any, orient: str, message: str) -> None:
    """A form that is not the one which the body names is refused with both."""
    with pytest.raises(VariablesInvalid) as caught:
        parsing.parse(value, "x", orient)
    assert message in str(caught.value)


def test_training_data() -> None:
    """Inputs and targets, in any form; a target may be a column."""
    data = bodies.training({"x": COLUMNS, "y": [0, 1]})
    assert data.y == {"0": [0, 1]}
    data = bodies.training({"x": COLUMNS, "target": "a"})
    assert (data.x, data.y) == ({"b": ["x", None]}, {"a": [1, 2]})
    text = {"x": FRAME.to_json(), "y": FRAME["a"].to_json(), "orient": "columns"}
    assert bodies.training(text).y == {"0": [1, 2]}
    assert bodies.training({"x": [[1]], "y": [[0, 1]]}).y == {"0": [0], "1": [1]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"y": [1]}, "x: is missing"),
        ({"x": [[1], [2]], "y": [1, 2, 3]}, "y: has 3 values, x has 2 rows"),
        ({"x": COLUMNS, "target": "c"}, "target: x has no column 'c'; it has a, b"),
        ({"x": {"a": [1]}, "target": "a"}, "x has no column besides 'a'"),
        ({"x": [[1]], "y": 3}, "y: is a number"),
        ({"x": [[1]], "orient": 3}, "orient: is a number, not a text"),
    ],
)
def test_training_data_that_does_not_fit(body: Any, message: str) -> None:
    """Each fault says what was expected and what came."""
    with pytest.raises(DataInvalid) as caught:
        bodies.training(body)
    assert message in str(caught.value)


def test_types_of_columns() -> None:
    """The types of JSON become those of a frame; a column has one type."""
    table = parsing.parse(
        {"i": [1, 2], "n": [1, None], "f": [1, 0.5], "t": ["a", "b"], "b": [True, False],
         "huge": [10**30, 1], "none": [None, None]}, "x",
    )  # fmt: skip
    found = schema.of_tables(table, parsing.parse(["a", "b"], "y"))
    assert {column.name: column.dtype for column in found.columns} == {
        "i": "int64", "n": "int64", "f": "float64", "t": "object", "b": "bool",
        "huge": "float64", "none": "float64",
    }  # fmt: skip
    assert [column.name for column in found.columns if column.nullable] == ["n", "none"]
    assert (found.form, found.target) == ("frame", Column("y", "object"))
    mixed = parsing.parse({"a": [1, "two", 3]}, "x")
    with pytest.raises(VariablesInvalid, match=r"numbers and texts: 1 of 3 .* 'two' in row 1"):
        schema.of_tables(mixed, None)


SCHEMA = TableSchema(
    "frame",
    (
        Column("n", "int64"),
        Column("when", "datetime64[ns]"),
        Column("kind", "category", False, ("a", "b")),
        Column("text", "object"),
        Column("yes", "bool"),
    ),
)
ROW = {"n": 1, "when": "2026-01-02T03:04:05", "kind": "b", "text": "t", "yes": True}


def frame(rows: Any, fitted: TableSchema = SCHEMA) -> Any:
    columns = alignment.align(parsing.parse(rows, "x"), fitted)
    return frames.build(columns, fitted.columns, fitted.form)


def test_a_frame_like_the_one_that_was_fitted() -> None:
    """Order and types are those of the version; extra columns are dropped, null is NaN."""
    found = frame([{"more": 1, **dict(reversed(ROW.items()))}])
    assert list(found.columns) == list(ROW)
    kinds = {name: str(kind) for name, kind in found.dtypes.items()}
    assert (kinds["n"], kinds["kind"], kinds["yes"]) == ("int64", "category", "bool")
    assert kinds["when"] == "datetime64[ns]"
    assert found["kind"].cat.categories.tolist() == ["a", "b"]
    assert found["when"][0] == pd.Timestamp("2026-01-02T03:04:05")
    nulls = frame([ROW, dict.fromkeys(ROW)])
    assert nulls.isna().iloc[1].all()
    assert nulls["n"].tolist()[0] == 1.0
    unknown = frame([{**ROW, "kind": "other"}])
    assert unknown["kind"].isna().all()


@pytest.mark.parametrize(
    "when", [1767323045000, "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00"]
)
def test_times(when: Any) -> None:
    """Times come as texts of ISO 8601, or as pandas writes them: milliseconds since 1970."""
    assert frame([{**ROW, "when": when}])["when"][0] == pd.Timestamp("2026-01-02T03:04:05")


def test_numbers_that_a_type_cannot_hold_stay_right() -> None:
    """A fraction is not cut off, and a text with a number is one."""
    assert frame([{**ROW, "n": 1.5}])["n"][0] == 1.5
    assert frame([{**ROW, "n": "12"}])["n"][0] == 12
    small = TableSchema("array", (Column("0", "int8"),))
    assert frame([[300]], small).tolist() == [[300.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": "many"}, "x.n: takes numbers: row 1 is a text, 'many'; 1 of 2 values do not fit"),
        ({"when": "soon"}, "x.when: takes times"),
        ({"text": 5}, "x.text: takes texts: row 1 is a number"),
        ({"yes": "maybe"}, "x.yes: takes booleans"),
    ],
)
def test_values_of_another_type_are_named(change: Any, message: str) -> None:
    """The column, the row, what came and how many."""
    with pytest.raises(VariablesInvalid) as caught:
        frame([ROW, {**ROW, **change}])
    assert message in str(caught.value)


def test_missing_columns_are_named() -> None:
    """Each one is a field of the answer."""
    with pytest.raises(VariablesInvalid) as caught:
        frame({"n": [1], "kind": ["a"], "text": ["t"]})
    assert [field.field for field in caught.value.fields] == ["x.when", "x.yes"]
    with pytest.raises(VariablesInvalid, match="its rows have 2 values; the model takes n, when"):
        frame([[1, 2]])
    numbers = TableSchema("array", (Column("0", "int64"), Column("1", "int64")))
    with pytest.raises(VariablesInvalid, match="rows have 3 values; the model takes 2 columns"):
        frame([[1, 2, 3]], numbers)
    with pytest.raises(VariablesInvalid, match="is a list of 2 values; a row has 5"):
        frame([1, 2])


def test_a_flat_list_is_what_the_model_takes() -> None:
    """One row of several columns, or a column of several rows."""
    numbers = TableSchema("array", (Column("0", "float64"), Column("1", "float64")))
    assert frame([1, 2], numbers).tolist() == [[1.0, 2.0]]
    assert frame([1, 2], TableSchema("array", (Column("0", "int64"),))).tolist() == [[1], [2]]
    texts = schema.of_tables(parsing.parse(["good", "bad"], "x"), None)
    assert texts.form == "vector"
    assert frame(["fine"], texts).tolist() == ["fine"]


def test_the_schema_of_a_frame() -> None:
    """What a library holds is described too: data that jobs read in batches."""
    data = pd.DataFrame(
        {"c": pd.Categorical(["x", "y"]), "d": pd.to_datetime(["2026-01-01"] * 2), "t": ["a", "b"],
         "n": [1, 2]}
    )  # fmt: skip
    found = schema.of_data(data, pd.Series([0, 1], name="kind"))
    assert found
    assert found.columns[0] == Column("c", "category", False, ("x", "y"))
    assert [column.dtype for column in found.columns[2:]] == ["object", "int64"]
    assert found.target == Column("kind", "int64")
    again = frames.build(
        {"c": ["y"], "d": ["2026-01-01"], "t": ["a"], "n": [1]}, found.columns, "frame"
    )
    assert again.dtypes.tolist() == data.dtypes.tolist()


def test_without_libraries_rows_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose environment has neither pandas nor numpy gets plain Python."""
    monkeypatch.setattr(frames, "has", lambda library: False)
    numbers = (Column("a", "int64"), Column("b", "int64"))
    assert frames.build({"a": [1, 2], "b": [3, 4]}, numbers, "frame") == [[1, 3], [2, 4]]
    y = Table({"y": [1, 2]}, named=True)
    assert frames.target(y, (Column("y", "int64"),), "frame", named=True) == [1, 2]
