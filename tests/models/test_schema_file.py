"""schema.yml: what it says becomes the schema of the model, and what is wrong in it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.models.data_schema import ColumnRule, DataSchema
from modelsync.models.discovery.folders import discover
from modelsync.models.schemas.reading import read
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import Fault, ModelSpec
from tests.models.code import fault_of
from tests.models.conftest import Find, Load, Write

MODEL = "class Churn:\n    def transform_predict(self, variables): return {}\n"

ML_SERVER_FRAMEWORK = """
survived:
  type: int
  na_value: -1
  encoding: ''
  target: true
sex:
  type: str
  na_value: ''
  encoding: OneHotEncoder
  target: false
age:
  type: float
  na_value: 0
  encoding: ''
  target: false
"""


def columns(text: str) -> tuple[ColumnRule, ...]:
    """Return the columns of a file that is right."""
    found = read(text.encode())
    assert isinstance(found, DataSchema), found
    return found.columns


def test_the_schema_of_a_folder_is_part_of_its_spec(write: Write, find: Find) -> None:
    """Discovery reads it once; a release carries it, so that runners need no YAML."""
    write("Churn", MODEL, files={"schema.yml": ML_SERVER_FRAMEWORK})
    schema = find("Churn").schema
    assert schema == DataSchema(
        (
            ColumnRule("survived", "int", fill=-1, target=True),
            ColumnRule("sex", "str", fill="", encoding="OneHotEncoder"),
            ColumnRule("age", "float", fill=0.0),
        )
    )
    assert [one.name for one in schema.targets] == ["survived"]
    assert from_json(ModelSpec, to_json(find("Churn"))).schema == schema


def test_an_artefact_may_have_a_schema(root: Path, write: Write) -> None:
    """A folder without code has one too: its requests are checked."""
    write("Churn", files={"model.onnx": "x", "schema.yml": "age: float"})
    [found] = discover(root)
    assert (found.artefact, found.schema) == (
        "model.onnx",
        DataSchema((ColumnRule("age", "float"),)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "age: {type: float, min: 0}\nsex: string\n",
        "columns:\n  age: {type: number, minimum: 0}\n  sex: {type: str}\n",
        "version: 1\ncolumns:\n  - name: age\n    type: Float\n    min: 0.0\n"
        "  - {name: sex, type: text}\n",
        "- {name: age, type: double, min: 0}\n- {name: sex, type: object}\n",
        "\N{BYTE ORDER MARK}age: {type: float, range: [0, .inf]}\nsex: {type: str}\n",
        "age: &age {type: float, min: 0}\nsex: {<<: *age, type: str, min: null}\n",
    ],
)
def test_the_forms_in_which_people_write_columns(text: str) -> None:
    """A mapping, a list, either below `columns`, a type alone; usual names of types and keys."""
    assert columns(text) == (ColumnRule("age", "float", minimum=0.0), ColumnRule("sex", "str"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("no: str", ColumnRule("no", "str")),
        ("2024: int", ColumnRule("2024", "int")),
        ("columns: {type: int}\nb: int", ColumnRule("columns", "int")),
        (
            "a: {type: str, allowed: [no, NO, 01234, 1.50, 2024-01-01]}",
            ColumnRule("a", "str", allowed=("no", "NO", "01234", "1.50", "2024-01-01")),
        ),
        (
            "a: {type: category, allowed: [1, 2, other, off]}",
            ColumnRule("a", "category", allowed=("1", "2", "other", "off")),
        ),
        (
            "a: {type: category, allowed: [1, 2, 3]}",
            ColumnRule("a", "category", allowed=(1, 2, 3)),
        ),
        (
            "a: {type: int, range: [1, 1e6], na_value: 0.0}",
            ColumnRule("a", "int", minimum=1, maximum=1_000_000, fill=0),
        ),
        ("a: {type: float, na_value: .nan}", ColumnRule("a", "float", nullable=True)),
        ("a: {type: str, na_value: null}", ColumnRule("a", "str", nullable=True)),
        ("a: {type: str, na_value: 01}", ColumnRule("a", "str", fill="01")),
        (
            "a: {type: date, format: '%d.%m.%Y', min: 2020-01-31}",
            ColumnRule("a", "date", format="%d.%m.%Y", minimum="2020-01-31"),
        ),
        (
            "a: {type: datetime, max: 2024-01-01 10:00:00}",
            ColumnRule("a", "datetime", maximum="2024-01-01T10:00:00"),
        ),
        ("größe in m²: float", ColumnRule("größe in m²", "float")),
    ],
)
def test_what_is_written_counts(text: str, rule: ColumnRule) -> None:
    """YAML's own ideas of `no`, 01234 and 1e6 change neither a name nor a value."""
    assert columns(text)[0] == rule


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "has no column (write a column, such as `age: {type: float}`)"),
        ("a: int\n\nb:\n", 3, "expected keys of column 'b' such as `type: float`, came nothing"),
        ("a: {type: intt}", 1, "column 'a': expected a type, came 'intt' (did you mean int?)"),
        ("a:\n  typ: int", 2, "column 'a': 'typ' is no key of a column (did you mean type?)"),
        ("a:\n  nullable: true", 1, "column 'a': it has no type (one of int, float, str, bool"),
        ("a: int\na: str", 2, "'a' stands here for the second time (the first is in line 1)"),
        ("a:\n  type: float\n  min: 3\n  max: 2", 3, "column 'a': min 3.0 is greater than max 2.0"),
        ("a:\n  type: float\n  range: [3]", 3, "column 'a': range: expected two values, came 1"),
        ("a:\n  type: str\n  pattern: '['", 3, "column 'a': the pattern is no regular expression"),
        ("a:\n  type: int\n  pattern: x", 3, "a pattern is for texts, not for type int"),
        ("a:\n  type: int\n  fill: none", 3, "fill: expected a whole number, came 'none'"),
        ("a:\n  type: int\n  allowed: 3", 3, "allowed: a list of values, came '3'"),
        ("a:\n  type: int\n  allowed: [1, 1]", 3, "column 'a': allowed has 1 twice"),
        ("a:\n  type: int\n  min: 2\n  enum: [1]", 4, "allowed has 1, which is outside of min"),
        ("a:\n  type: str\n  nullable: maybe", 3, "nullable: expected true or false, came 'maybe'"),
        ("a:\n  type: date\n  min: 2020-02-31", 3, "'2020-02-31' is no value: day"),
        ("a:\n  type: date\n  format: dd.mm", 3, "expected a format such as %d.%m.%Y, came"),
        ("a: {type: int, min: 1, minimum: 1}", 1, "minimum and min mean the same (keep one)"),
        ("a: {type: int, target: true}", 1, "every column is a target"),
        ("columns: {a: int}\nb: int", 2, "'b' stands beside columns (move it below columns)"),
        ("- type: int", 1, "a column of the list has no name (begin it with `- name: ...`)"),
        ("a:\n\ttype: int", 2, r"is no YAML: found character '\t' that cannot start any token"),
        ("a: int\n---\nb: int", 2, "is no YAML: but found another document"),
        ("a: &a {<<: *a}", 1, "column 'a': it has no type"),
        ("a: [", 1, "is no YAML"),
    ],
)
def test_a_fault_says_where_and_what_is_expected(text: str, line: int | None, message: str) -> None:
    """The line, what was expected, what came, and what may be meant."""
    found = fault_of_text(text.encode())
    assert (found.stage, found.file, found.line) == ("static", "schema.yml", line)
    assert message in f"{found.message} ({found.hint})"


def test_a_text_of_another_encoding_is_told(write: Write, find: Find) -> None:
    """Excel's and Notepad's old encodings are a fault with a line; the model is not served."""
    write("Churn", MODEL)
    (find("Churn").path / "schema.yml").write_bytes("a: int\nstraße: str\n".encode("latin-1"))
    found = fault_of(find("Churn"))
    assert (found.file, found.line, found.message) == ("schema.yml", 2, "is no text in UTF-8")


def test_instances_read_the_schema(serve: Load) -> None:
    """As plain mappings, already in the constructor; a class that has one of its own keeps it."""
    code = """
        class Churn:
            def __init__(self): self.names = list(self.schema)
            def transform_predict(self): return {"names": self.names, **self.schema["sex"]}
        """
    answer = serve(code, {"schema.yml": ML_SERVER_FRAMEWORK}).call({})
    assert answer["names"] == ["survived", "sex", "age"]
    assert (answer["encoding"], answer["fill"], answer["target"]) == ("OneHotEncoder", "", False)
    own = code.replace("class Churn:", "class Churn:\n            schema = {'sex': {'mine': 1}}")
    answer = serve(own, {"schema.yml": ML_SERVER_FRAMEWORK}, name="Own").call({})
    assert answer == {"names": ["sex"], "mine": 1}


def fault_of_text(text: bytes) -> Fault:
    """Return the fault of a file that is wrong."""
    found = read(text)
    assert not isinstance(found, DataSchema), found
    return found
