"""The check of data by a schema: what breaks it, in which rows, and what the model gets."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from modelsync.data import reports
from modelsync.data.checking import check
from modelsync.data.conforming import conform
from modelsync.data.content_digest import ContentDigest
from modelsync.data.sources import examine
from modelsync.errors import DataInvalid
from modelsync.models.data_schema import CheckReport, ColumnChange, DataSchema, Violation
from modelsync.models.schemas.reading import read
from modelsync.settings import load

Check = Callable[..., CheckReport]

AGE = "age: {type: float, min: 0, max: 120}\ny: {type: int, target: true, na_value: -1}\n"


def schema_of(text: str) -> DataSchema:
    """Return the schema of the text of a schema.yml."""
    found = read(text.encode())
    assert isinstance(found, DataSchema), found
    return found


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """Check a file: a text, or a table that is written as Parquet."""

    def checked(schema: str, data: str | bytes | pa.Table, file: str = "a.csv") -> CheckReport:
        write(tmp_path, data, file)
        known = schema_of(schema)
        source = examine(file, "", folder=tmp_path, settings=load({}), schema=known)
        return check(source, known)

    return checked


def write(folder: Path, data: str | bytes | pa.Table, file: str) -> None:
    """Write a file of data."""
    if isinstance(data, pa.Table):
        parquet.write_table(data, folder / file, row_group_size=100)
    else:
        (folder / file).write_bytes(data if isinstance(data, bytes) else data.encode())


def given(folder: Path, schema: str, file: str) -> dict[str, list[Any]]:
    """Return the columns that a model gets."""
    source = examine(file, "", folder=folder, settings=load({}), schema=schema_of(schema))
    found: dict[str, list[Any]] = pa.Table.from_batches(list(source.batches())).to_pydict()
    return found


def test_a_report_names_columns_rules_counts_and_rows(checked: Check) -> None:
    """Each rule that is broken, how often, and the first ten rows that break it."""
    rows = [f"{age},1" for age in (*range(-20, 0), 50, 200)] + [",", "x,2", "61,0.5"]
    report = checked(AGE, "\n".join(["age,y", *rows]))
    assert (report.rows, report.passed) == (25, False)
    by_rule = {(one.column, one.rule): one for one in report.violations}
    assert by_rule["age", "min"] == Violation(
        "age", "min", "at least 0.0", 20, tuple((row, row - 20.0) for row in range(10))
    )
    assert by_rule["age", "max"].examples == ((21, 200.0),)
    assert by_rule["age", "nullable"].examples == ((22, None),)
    assert by_rule["age", "type"].examples == ((23, "x"),)
    assert by_rule["y", "type"].examples == ((24, "0.5"),)
    assert "age: min: expected at least 0.0; 20 rows do not fit, the first is row 0 (-20.0)" in (
        reports.summary(report)
    )
    assert "    and 10 more rows" in reports.text(report).splitlines()


@pytest.mark.parametrize(
    ("schema", "data", "values"),
    [
        ("a: str", "a\n01234\n99\n", ["01234", "99"]),
        ("a: {type: str, allowed: ['01', '2']}", "a\n01\n2\n", ["01", "2"]),
        ("a: {type: int, nullable: true}", "a,b\n1,x\n,x\n3,x\n", [1, None, 3]),
        ("a: {type: int, na_value: -1}", "a,b\n1.0,x\n,x\n3,x\n", [1, -1, 3]),
        ("a: float", "\N{BYTE ORDER MARK}a;b\r\n1,5;x\r\n-2;y\r\n", [1.5, -2.0]),
        ("a: float", "b;a\nx;1.5\ny;2\n", [1.5, 2.0]),
        ("a: float", "b|a\nx|1\n", [1.0]),
        ("größe: float", "größe\n1\n", [1.0]),
        ("a: bool", "a\nyes\nNo\n1\n0\nTrue\noff\n", [True, False, True, False, True, False]),
        ("a: {type: bool, na_value: false}", "a\nTrue\nNA\n", [True, False]),
        (
            "a: {type: date, format: '%d.%m.%Y'}",
            "a\n31.01.2024\n1.2.2024\n",
            [datetime.date(2024, 1, 31), datetime.date(2024, 2, 1)],
        ),
        ("a: date", "a\n2024-01-31\n2024-02-01 00:00:00\n",
         [datetime.date(2024, 1, 31), datetime.date(2024, 2, 1)]),
        ("a: datetime", "a\n2024-01-31T12:00:00+02:00\n2024-01-31 10:00\n",
         [datetime.datetime(2024, 1, 31, 10)] * 2),
        ("a: time", "a\n07:30\n", [datetime.time(7, 30)]),
        ("a: {type: category, allowed: [1, 2]}", "a\n2\n1\n", [2, 1]),
        ("a: {type: category, allowed: [x, no], na_value: no}", "b,a\n1,x\n1,\n1,no\n",
         ["x", "no", "no"]),
        ("a: {type: str, na_value: ''}", "a,b\n,1\nx,2\n", ["", "x"]),
        ("a: {type: float, na_value: 0, min: 1}", "a,b\n0,x\n,x\n2,x\n", [0.0, 0.0, 2.0]),
        ("no: int", "no\n1\n", [1]),
    ],
)  # fmt: skip
def test_what_people_write_in_csv_fits(
    checked: Check, tmp_path: Path, schema: str, data: str, values: list[Any]
) -> None:
    """It passes the check, and the model gets it in the type of the schema."""
    report = checked(schema, data)
    assert report.violations == ()
    [column] = given(tmp_path, schema, "a.csv").values()
    assert column == values


@pytest.mark.parametrize(
    ("schema", "values", "made"),
    [
        ("a: {type: int, na_value: 0}", [1.0, float("nan"), 3.0], [1, 0, 3]),
        ("a: {type: float, nullable: true}", [1.5, float("nan"), None], [1.5, None, None]),
        ("a: {type: int}", [True, False], [1, 0]),
        ("a: {type: bool}", [1, 0], [True, False]),
        ("a: {type: date}", [datetime.datetime(2024, 1, 1)], [datetime.date(2024, 1, 1)]),
        ("a: {type: category, allowed: ['1', '2']}", [1, 2], ["1", "2"]),
        ("a: category", pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        ("a: {type: str, pattern: '(?=x)x.*'}", ["xy", "x"], ["xy", "x"]),
        (r"a: {type: str, pattern: '\d+'}", ["12", "\N{ARABIC-INDIC DIGIT ONE}"],
         ["12", "\N{ARABIC-INDIC DIGIT ONE}"]),
        ("a: {type: str, pattern: '[a-z]', nullable: true}", ["", "b"], [None, "b"]),
        ("a: {type: int}", pa.array([1, 2], pa.decimal128(5, 0)), [1, 2]),
        ("a: {type: datetime}", pa.array([0], pa.timestamp("ns", "Europe/Berlin")),
         [datetime.datetime(1970, 1, 1)]),
    ],
)  # fmt: skip
def test_what_libraries_write_in_parquet_fits(
    checked: Check, tmp_path: Path, schema: str, values: Any, made: list[Any]
) -> None:
    """Types of a neighbour that hold the same values, as pandas and databases write them."""
    report = checked(schema, pa.table({"a": values}), "a.parquet")
    assert report.violations == ()
    assert given(tmp_path, schema, "a.parquet") == {"a": made}


@pytest.mark.parametrize(
    ("schema", "values", "rule", "example"),
    [
        ("a: str", [1234], "type", 1234),
        ("a: int", [1.5], "type", 1.5),
        ("a: int", pa.array([2**63 + 1, None], pa.uint64()), "type", 2**63 + 1),
        ("a: float", [float("inf")], "type", "inf"),
        ("a: date", [datetime.datetime(2024, 1, 1, 12)], "type", "2024-01-01T12:00:00"),
        ("a: {type: date, format: '%d.%m.%Y'}", ["1.13.2024"], "format", "1.13.2024"),
        ("a: {type: date, max: 2024-01-31}", [datetime.date(2024, 2, 1)], "max", "2024-02-01"),
        ("a: {type: category, allowed: [x]}", ["z"], "allowed", "z"),
        ("a: {type: str, allowed: [x, y]}", ["z"], "allowed", "z"),
        ("a: {type: int, allowed: [1, 2]}", [3], "allowed", 3),
        ("a: {type: str, pattern: '[a-z]+'}", ["a1"], "pattern", "a1"),
        ("a: {type: str, pattern: 'a|b'}", ["ab"], "pattern", "ab"),
        ("a: bool", ["maybe"], "type", "maybe"),
        ("a: {type: str, allowed: ['']}", ["x" * 500], "allowed", "x" * 200 + "…"),
    ],
)
def test_a_value_that_breaks_a_rule_is_shown(
    checked: Check, schema: str, values: Any, rule: str, example: Any
) -> None:
    """Beside values that fit nothing else is reported."""
    column = [*values, None] if isinstance(values, list) else values
    report = checked(schema, pa.table({"a": column}), "a.parquet")
    found = {one.rule: one for one in report.violations}
    assert set(found) == {rule, "nullable"}
    assert (found[rule].count, found[rule].examples) == (1, ((0, example),))
    assert found["nullable"].examples == ((1, None),)


def test_columns_that_are_missing_are_told(checked: Check) -> None:
    """With the one that may be meant; others and another order do not matter."""
    report = checked(AGE, "y,extra, Age \n1,x,3\n")
    [missing] = report.violations
    assert (missing.column, missing.rule) == ("age", "missing")
    assert missing.expected == "a column of this name (is ' Age ' meant?)"
    assert checked(AGE, "extra,y,age\nx,1,3\n").passed


@pytest.mark.parametrize("data", ["age,y\n", pa.table({"age": [1.0], "y": [1]}).slice(0, 0)])
def test_data_without_rows_breaks_the_schema(checked: Check, data: Any) -> None:
    """A header alone, or an empty file of Parquet."""
    report = checked(AGE, data, "a.csv" if isinstance(data, str) else "a.parquet")
    assert [one.rule for one in report.violations] == ["rows"]
    assert "the data is empty" in reports.summary(report)


def test_a_column_twice_is_refused(checked: Check) -> None:
    """Nobody knows which one is meant."""
    with pytest.raises(DataInvalid, match="two columns of the name 'age'"):
        checked(AGE, "age,age,y\n1,2,3\n")


def test_what_has_changed_since_the_last_good_data(tmp_path: Path) -> None:
    """Columns that appear, go or change their type are told, also without a schema."""
    (tmp_path / "a.csv").write_text("age,new,empty\nx,1,\n")
    source = examine("a.csv", "", folder=tmp_path, settings=load({}))
    report = check(source, None, before={"age": "double", "gone": "int64", "empty": "int64"})
    assert report.passed
    assert report.changes == (
        ColumnChange("gone", "disappeared", "int64"),
        ColumnChange("new", "appeared", now="int64"),
        ColumnChange("age", "type", "double", "string"),
    )
    assert report.columns == {"age": "string", "new": "int64", "empty": "null"}


def test_the_fingerprint_is_that_of_the_rows(checked: Check) -> None:
    """Whatever the format, the batches, and the columns that are not used; not another order."""
    table = pa.table({"age": [1.5, 2.0, None] * 100, "y": [1, None, 3] * 100})
    schema = AGE.replace("min: 0", "nullable: true")
    first = checked(schema, table, "a.parquet").fingerprint
    text = "more,age,y\n" + "x,1.5,1\nx,2,\nx,,3\n" * 100
    assert checked(schema, text).fingerprint == first
    assert checked(schema, text.replace("1.5", "1.25", 1)).fingerprint != first
    assert checked(schema, table.slice(1), "a.parquet").fingerprint != first


def test_a_digest_knows_no_batches() -> None:
    """Texts, missing values and lists in parts of any size give the digest of the whole."""
    table = pa.table(
        {
            "text": ["a", "", None, "bc"] * 50,
            "flag": [True, None, False, True] * 50,
            "coded": pa.array(["x", "y", None, "x"] * 50).dictionary_encode(),
            "list": [[1], None, [], [2, 3]] * 50,
        }
    ).combine_chunks()
    [whole] = table.to_batches()
    digests = set()
    for size in (200, 7, 1):
        digest = ContentDigest()
        for start in range(0, 200, size):
            part = whole.slice(start, size)
            digest.add(dict(zip(part.schema.names, part.columns, strict=True)), part.num_rows)
        digests.add(digest.hexdigest())
    assert len(digests) == 1
    other = ContentDigest()
    other.add({"text": pa.array(["ab", "c"])}, 2)
    same = ContentDigest()
    same.add({"text": pa.array(["a", "bc"])}, 2)
    assert other.hexdigest() != same.hexdigest()


def test_files_whose_types_differ_are_one_source(tmp_path: Path) -> None:
    """What the schema says counts: a day without decimals, one with a word for a missing value."""
    write(tmp_path, "age,y\n1,1\n", "1.csv")
    write(tmp_path, "y,age\n0,1.5\n", "2.csv")
    write(tmp_path, "age,y\nabout 30,1\n", "3.csv")
    known = schema_of(AGE)
    report = check(examine("*.csv", "", folder=tmp_path, settings=load({}), schema=known), known)
    [wrong] = report.violations
    assert (report.rows, wrong.rule, wrong.examples) == (3, "type", ((2, "about 30"),))


def test_a_wrong_value_far_down_is_found(checked: Check) -> None:
    """Beyond the first block of a file, whose types the reader knows by then."""
    rows = ["age,y,note"] + ["1.5,1,7"] * 300_000 + ["old,1,word"] + ["200,0,"] * 5
    report = checked(AGE, "\n".join(rows))
    assert report.rows == 300_006
    found = {one.rule: one for one in report.violations}
    assert found["type"].examples == ((300_000, "old"),)
    assert [row for row, _ in found["max"].examples] == list(range(300_001, 300_006))


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ('{"age": 3, "y": 1}', True),
        ('{"age": null, "y": 1}', False),
        ('{"age": "3", "y": 1}', True),
    ],
)
def test_json_lines_are_checked(checked: Check, line: str, passes: bool) -> None:
    """Numbers that are written as texts are numbers, as they are in a request."""
    assert checked(AGE, f"{line}\n{line}\n", "a.jsonl").passed is passes


def test_rows_that_were_not_checked_are_refused_with_their_place(tmp_path: Path) -> None:
    """A feed never gives a model a value of another type."""
    batch = pa.record_batch({"age": pa.array(["1", "x"]), "y": pa.array([1, 2])})
    with pytest.raises(DataInvalid, match=r"'age': expected a number, as .*, came 'x' in row 8"):
        conform(batch, schema_of(AGE), row=7)
    with pytest.raises(DataInvalid, match="has no column 'age'"):
        conform(batch.select(["y"]), schema_of(AGE))
    write(tmp_path, "y\n1\n", "a.csv")
    with pytest.raises(DataInvalid, match=r"a\.csv has no column 'age'"):
        given(tmp_path, AGE, "a.csv")


def test_a_query_and_a_table_are_checked(tmp_path: Path) -> None:
    """By the types that the rows have; what the database calls missing is missing."""
    file = tmp_path / "data.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE people (y INTEGER, age REAL, extra TEXT)")
        rows = [(1, 30.0, "a"), (None, 40.5, "b"), (0, None, "c"), (1, 400.0, "d")]
        database.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
        database.commit()
    settings = load({"MODELSYNC_DATA_URL": f"sqlite:///{file}"})
    known = schema_of(AGE)
    for text in ("people", "SELECT extra, age, y FROM people"):
        found = examine(text, "", folder=tmp_path, settings=settings, schema=known)
        report = check(found, known)
        assert report.rows == 4
        assert {(one.rule, one.examples) for one in report.violations} == {
            ("nullable", ((2, None),)),
            ("max", ((3, 400.0),)),
        }
    good = "SELECT * FROM people WHERE age < 100"
    source = examine(good, "", folder=tmp_path, settings=settings, schema=known)
    assert check(source, known).passed
    [batch] = source.batches()
    assert batch.to_pydict() == {"age": [30.0, 40.5], "y": [1, -1]}
