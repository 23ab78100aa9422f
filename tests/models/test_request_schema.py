"""Requests against a schema: which values of JSON a column takes, and what the model gets."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from typing import Any

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from modelsync.errors import VariablesInvalid
from modelsync.models.data_schema import ColumnRule, DataSchema
from modelsync.models.schemas import json_schema, reading
from modelsync.models.schemas.requests import RequestSchema
from modelsync.models.tables import parsing
from modelsync.models.tables.table import Table

NAN = float("nan")
MIDNIGHT = 1769817600000  # 2026-01-31 in milliseconds since 1970


def schema_of(text: str) -> DataSchema:
    """What a `schema.yml` says."""
    found = reading.read(text.encode())
    assert isinstance(found, DataSchema), found
    return found


def checked(rule: str, value: Any) -> Any:
    """What the model gets for a value of the column `a`; the message for one that does not fit."""
    requests = RequestSchema(schema_of(f"a: {{{rule}}}"))
    try:
        return requests.variables({"a": value})["a"]
    except VariablesInvalid as error:
        [field] = error.fields
        assert field.field == "a"
        return f"refused: {field.message}"


@pytest.mark.parametrize(
    ("rule", "value", "got"),
    [
        ("type: int", 3, 3),
        ("type: int", 3.0, 3),  # JavaScript and pandas have no other number
        ("type: int", " 3 ", 3),  # what a form sends
        ("type: int", "3.0", 3),
        ("type: int", "1e3", 1000),
        ("type: int", True, 1),
        ("type: int, nullable: true", NAN, None),
        ("type: int, nullable: true", "", None),
        ("type: int, nullable: true", "NaN", None),
        ("type: int, na_value: -1", None, -1),
        ("type: int, na_value: -1, min: 0", -1, -1),  # what a client of an older server sends
        ("type: int", 2**63 - 1, 2**63 - 1),
        ("type: float", 3, 3.0),
        ("type: float", "-.5e1", -5.0),
        ("type: float", False, 0.0),
        ("type: float, na_value: 0.5", "nan", 0.5),
        ("type: bool", 1, True),
        ("type: bool", 0.0, False),
        ("type: bool", "Yes", True),
        ("type: bool", "off", False),
        ("type: str", "", ""),
        ("type: str, nullable: true", "", ""),
        ("type: str", " a ", " a "),
        ("type: str, allowed: [a], na_value: ''", "", ""),
        ("type: str, allowed: [a], nullable: true", "", None),
        ("type: str, pattern: '[0-9]+', na_value: none", "none", "none"),
        ("type: category", "3", "3"),
        ("type: category", 3, 3),
        ("type: category, allowed: [1, 2]", "2", 2),
        ("type: category, allowed: ['1', '2']", 2, "2"),
        ("type: category, allowed: [1, 2]", 2.0, 2),
        ("type: category, allowed: [a, b], na_value: a", "", "a"),
        ("type: category, allowed: [1, 2], na_value: none", 2, "2"),  # as training data has it
        ("type: category, allowed: [1, 2], na_value: 0", None, 0),
        ("type: date", "2026-01-31", date(2026, 1, 31)),
        ("type: date", "20260131", date(2026, 1, 31)),
        ("type: date", "2026-01-31T00:00:00.000Z", date(2026, 1, 31)),  # what JavaScript writes
        ("type: date", MIDNIGHT, date(2026, 1, 31)),  # what pandas writes
        ("type: date", str(MIDNIGHT), date(2026, 1, 31)),
        ("type: date, nullable: true", "", None),
        ("type: date, format: '%d.%m.%Y'", "31.01.2026", date(2026, 1, 31)),
        ("type: date, na_value: 2000-01-01, format: '%d.%m.%Y'", None, date(2000, 1, 1)),
        ("type: time", "08:30", time(8, 30)),
        ("type: time, format: '%H.%M'", "08.30", time(8, 30)),
        ("type: datetime", "2026-01-31 08:30", datetime(2026, 1, 31, 8, 30)),
        ("type: datetime", "2026-01-31T08:30:00+01:00", datetime(2026, 1, 31, 7, 30)),
        ("type: datetime", MIDNIGHT + 1500, datetime(2026, 1, 31, 0, 0, 1, 500_000)),
        ("type: datetime", "2026-01-31", datetime(2026, 1, 31)),
    ],
)
def test_a_value_becomes_the_columns_type(rule: str, value: Any, got: Any) -> None:
    """Numbers as texts, ints as floats, times in the forms of pandas and JavaScript, fills."""
    found = checked(rule, value)
    assert (found, type(found)) == (got, type(got))


@pytest.mark.parametrize(
    ("rule", "value", "says"),
    [
        ("type: int", 3.5, "expected a whole number; came 3.5"),
        ("type: int", "three", 'expected a whole number; came "three"'),
        ("type: int", "1_000", 'came "1_000"'),
        ("type: int", "1" * 100_000, 'came "1111111111111111111111111111111111111111…"'),
        ("type: int", 2**63, "expected a whole number; came 9223372036854775808"),
        ("type: int", 1e300, "came 1e"),
        ("type: int", None, "came null"),
        ("type: int", "", 'came ""'),
        ("type: int", [1], "came a list"),
        ("type: int", {"a": 1}, "came an object"),
        ("type: int, min: 1", 0, "expected a whole number of at least 1; came 0"),
        ("type: int, max: 1.0", 2, "expected a whole number of at most 1; came 2"),
        ("type: int, allowed: [1, 2]", 3, "expected one of 1, 2; came 3"),
        ("type: float", "3,5", 'expected a number; came "3,5"'),
        ("type: float", "Infinity", 'came "Infinity"'),
        ("type: float", 10**400, "came 1000"),
        ("type: float, range: [0, 0.5], nullable: true", 2, "a number from 0 to 0.5, or null"),
        ("type: bool", 2, "expected true or false; came 2"),
        ("type: bool", "maybe", 'came "maybe"'),
        ("type: str", 3, "expected a text; came 3"),
        ("type: str", True, "came true"),
        ("type: str, allowed: [male, female]", "Male", 'did you mean "male"?'),
        ("type: str, allowed: [male, female]", " female ", 'did you mean "female"?'),
        ("type: str, allowed: [male, female]", "", 'one of "male", "female"; came ""'),
        ("type: str, pattern: '[A-Z]+'", "AB1", "a text that matches [A-Z]+; came"),
        ("type: category", True, "expected a text or a number; came true"),
        ("type: category, allowed: [a]", "", 'expected one of "a"; came ""'),
        ("type: date", "31.01.2026", "expected a date such as 2026-01-31; came"),
        ("type: date", "2026-01-31T08:30:00", "expected a date"),
        ("type: date", MIDNIGHT / 1000, "expected a date"),  # seconds
        ("type: date", "2026-02-30", "expected a date"),
        ("type: date, format: '%d.%m.%Y'", "2026-01-31", "31.01.2026, in the format %d.%m.%Y"),
        ("type: date, min: 2030-01-01", "2026-01-31", "such as 2030-01-01 of at least 2030-01-01"),
        ("type: time", "25:00", "expected a time such as 12:30:00"),
        ("type: time", "08:30Z", "expected a time"),
        ("type: datetime", "yesterday", "expected a date and time such as 2026-01-31T12:30:00"),
        ("type: datetime", 1e30, "expected a date and time"),
        ("type: datetime", True, "came true"),
    ],
)
def test_a_value_that_does_not_fit_is_told(rule: str, value: Any, says: str) -> None:
    """The message says what the column takes, and what came."""
    assert says in checked(rule, value)
    assert checked(rule, value).startswith("refused: expected ")


SCHEMA = schema_of(
    """
target: {type: int, target: true}
class: {type: int}
age: {type: float, na_value: 0}
first name: {type: str, nullable: true}
"""
)


def refused(call: Any, *given: Any) -> dict[str, str]:
    """What is said of each column."""
    with pytest.raises(VariablesInvalid) as caught:
        call(*given)
    return {one.field: one.message for one in caught.value.fields}


@pytest.mark.parametrize("kind", ["int", "float", "date", "datetime"])
def test_a_long_text_that_is_no_number_is_refused_at_once(kind: str) -> None:
    """In a time that grew with the square of its length, this one would take days."""
    assert str(checked(f"type: {kind}", "1" * 2_000_000 + "x")).startswith("refused: ")


def test_unknown_names_pass_but_for_misspelt_columns() -> None:
    """`{"Age": 3}` would be answered as if the age were missing."""
    requests = RequestSchema(SCHEMA)
    got = requests.variables({"more": [1], "class": 1, "target": 1})
    assert got == {"class": 1, "age": 0.0, "first name": None, "more": [1]}
    assert list(got) == ["class", "age", "first name", "more"]
    assert refused(requests.variables, {"class": 1, "Age": 3, "first_name": "x"}) == {
        "age": 'expected a number, or null; it is missing, but there is "Age"',
        "first name": 'expected a text, or null; it is missing, but there is "first_name"',
    }
    assert requests.variables({"class": 1, "age": 2, "Age": 3})["Age"] == 3  # another model's
    rows = parsing.parse([{"class": 1, "AGE": 3}], "x")
    assert list(refused(requests.table, rows)) == ["x.age"]


def test_many_wrong_columns_are_counted() -> None:
    """An answer names a hundred."""
    wide = DataSchema(tuple(ColumnRule(f"c{number}", "int") for number in range(150)))
    found = refused(RequestSchema(wide).variables, {})
    assert len(found) == 101
    assert found["variables"] == "50 more columns do not fit"


def test_a_column_of_the_name_x_is_no_list() -> None:
    """`x` is a row only where no column has that name."""
    requests = RequestSchema(schema_of("x: {type: float}\ny: {type: float, na_value: 1}"))
    assert requests.variables({"x": "2"}) == {"x": 2.0, "y": 1.0}
    assert list(refused(requests.variables, {"x": [1, 2]})) == ["x"]
    assert RequestSchema(SCHEMA).variables({"x": [1, None, "a"]})["age"] == 0.0
    assert refused(RequestSchema(SCHEMA).variables, {"x": [1]}) == {
        "x": "is a list of 1 values; a row has 3: class, age, first name"
    }


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2, "a"], [3, None, None]],
        [[0, 1, 2, "a"], [0, 3, None, None]],  # with the target
        [{"class": 1, "age": "2", "first name": "a"}, {"class": 3.0}],
        {"class": [1, "3"], "age": [2, ""], "first name": ["a", None], "target": [1, 0]},
        json.loads(pd.DataFrame([[1, 2, "a"], [3, NAN, None]]).to_json()),
        pd.DataFrame({"age": [2, NAN], "class": [1, 3], "first name": ["a", None]}).to_json(),
    ],
)
def test_every_form_of_rows_becomes_the_same_table(value: Any) -> None:
    """By name and by place; a table keeps how it was sent, which decides the answer's form."""
    table = parsing.parse(value, "x")
    table.key = "v1"
    found = RequestSchema(SCHEMA).typed(table)
    assert type(found) is Table
    assert (found.key, found.form, found.as_text) == ("v1", "x", table.as_text)
    assert found == {"class": [1, 3], "age": [2.0, 0.0], "first name": ["a", None]}
    assert [type(one) for one in found["age"]] == [float, float]


def test_one_column_may_be_a_flat_list() -> None:
    """As may one row of several."""
    one = RequestSchema(schema_of("a: {type: int}\nb: {type: int, target: true}"))
    assert one.table(parsing.parse([1, "2"], "x")) == {"a": [1, 2]}
    assert RequestSchema(SCHEMA).table(parsing.parse([1, 2, "a"], "x"))["class"] == [1]
    assert list(refused(RequestSchema(SCHEMA).table, parsing.parse([1, 2], "x"))) == ["x"]


def test_ten_thousand_rows_name_the_wrong_ones() -> None:
    """The first ten of them, and how many there are."""
    values: list[Any] = [1] * 10_000
    values[40:60] = ["x"] * 20
    found = refused(RequestSchema(SCHEMA).table, parsing.parse({"class": values}, "x"))
    assert found == {
        "x.class": 'expected a whole number; came "x" in row 40, and others in rows '
        "41, 42, 43, 44, 45, 46, 47, 48, 49; 20 of 10000 values do not fit"
    }


TITANIC = """
survived: {type: int, na_value: -1, encoding: '', target: true}
class: {type: int, na_value: -1, encoding: OneHotEncoder, target: false}
sex: {type: str, na_value: '', encoding: OneHotEncoder, target: false}
age: {type: float, na_value: 0, encoding: '', target: false}
embarked: {type: str, na_value: '', encoding: OneHotEncoder, target: false}
"""


def test_the_schema_of_the_older_server_fills_in_all() -> None:
    """A row without any column is the row of its fill values, in their order."""
    found = RequestSchema(schema_of(TITANIC)).variables({})
    assert list(found.items()) == [("class", -1), ("sex", ""), ("age", 0.0), ("embarked", "")]


EVERY = """
i: {type: int, min: 5, na_value: -1}
f: {type: float, max: -0.5}
s: {type: str}
p: {type: str, pattern: "[a-z]{3}", na_value: abc, description: three letters}
e: {type: str, allowed: ["", a, b], na_value: ""}
b: {type: bool, nullable: true}
d: {type: date, min: 2027-01-01}
g: {type: date, format: "%d/%m/%y", max: 2020-12-31}
t: {type: time, max: "11:00"}
w: {type: datetime}
c: {type: category}
n: {type: category, allowed: [1, 2], nullable: true}
y: {type: int, target: true}
"""


def test_json_schema_describes_what_is_taken() -> None:
    """Its sample is taken, and it is itself a valid schema, with the words of the columns."""
    schema = schema_of(EVERY)
    found = json_schema.of(schema)
    Draft202012Validator.check_schema(found)
    [sample] = found["examples"]
    Draft202012Validator(found).validate(sample)
    assert RequestSchema(schema).variables(sample)["g"] == date(2020, 12, 31)
    assert found["properties"]["e"]["enum"] == ["", "a", "b", None]
    assert found["properties"]["n"] == {"type": ["number", "null"], "enum": [1, 2, None]}
    assert found["properties"]["g"] == {
        "type": "string",
        "description": "In the format `%d/%m/%y`, such as 31/12/20. Of at most 2020-12-31.",
    }
    assert found["properties"]["d"] == {
        "type": "string",
        "format": "date",
        "description": "Of at least 2027-01-01.",
    }
    assert not Draft202012Validator(found).is_valid({**sample, "p": "abcd"})
    assert "y" not in found["properties"]


def test_what_the_signature_has_besides_is_kept() -> None:
    """The schema of the folder says more of its columns than annotations do."""
    signature = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "more": {"$ref": "#/$defs/More"}, "y": {}},
        "required": ["a", "more", "y"],
        "$defs": {"More": {}},
    }
    schema = schema_of("a: {type: int, na_value: 1}\ny: {type: int, target: true}")
    found = json_schema.of(schema, signature)
    assert found["properties"]["a"] == {"type": ["integer", "null"], "default": 1}
    assert found["properties"]["more"] == {"$ref": "#/$defs/More"}
    assert found["required"] == ["more"]
    assert found["$defs"] == {"More": {}}
