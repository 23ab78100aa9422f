"""`modelsync schema`: writes a first schema.yml, and checks data by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import modelsync

ETLS = "class Price:\n    source = 'own.csv'\n    def fit(self, x, y): return 1\n"
SCHEMA = "age: {type: float, min: 0}\ny: {type: int, target: true}\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with a model that has a schema and data of its own."""
    folder = tmp_path / "models_serve" / "Price"
    folder.mkdir(parents=True)
    (folder / "etls.py").write_text(ETLS)
    (folder / "schema.yml").write_text(SCHEMA)
    (folder / "own.csv").write_text("age,y\n1,0\n")
    (tmp_path / "bad.csv").write_text("y,age\n1,-3\n0,2\n")
    return tmp_path


def test_what_infer_writes_is_a_schema_that_check_takes(models: Path) -> None:
    """From a first look at the data to a check of them."""
    made = modelsync("schema", "infer", "bad.csv", "--target", "y", cwd=models)
    assert (made.returncode, made.stderr) == (0, "")
    (models / "schema.yml").write_text(made.stdout)
    checked = modelsync("schema", "check", "bad.csv", cwd=models)
    assert (checked.returncode, checked.stdout) == (0, "2 rows of bad.csv fit schema.yml\n")


def test_a_check_shows_what_is_wrong(models: Path) -> None:
    """The columns, the rules, the rows; for programs too; the exit code is 1."""
    found = modelsync("schema", "check", str(models / "*.csv"), "--model", "Price", cwd=models)
    assert found.returncode == 1
    assert found.stdout.splitlines()[0].endswith("*.csv: 2 rows, 1 rule of schema.yml broken")
    assert found.stdout.splitlines()[1:] == [
        "  age: min: expected at least 0.0; 1 row does not fit, it is row 0 (-3.0)",
        "    row 0: -3.0",
    ]
    schema = "models_serve/Price/schema.yml"
    command = ("schema", "check", "bad.csv", "--schema", schema, "--format", "json")
    told = modelsync(*command, cwd=models)
    report = json.loads(told.stdout)
    assert (told.returncode, report["passed"], report["rows"]) == (1, False, 2)
    assert report["violations"][0]["examples"] == [[0, -3.0]]


def test_the_source_of_a_model_is_checked_without_a_name(models: Path) -> None:
    """What its class names; and a file of its folder."""
    for data in ((), ("own.csv",)):
        found = modelsync("schema", "check", *data, "--model", "Price", cwd=models)
        assert (found.returncode, found.stdout) == (0, "1 row of own.csv fit schema.yml\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("check", "bad.csv"), 2, "no schema.yml here: name one by --schema, or a model by"),
        (("check", "bad.csv", "--model", "Pric"), 1, "there is no model Pric; there are Price"),
        (("check", "gone.csv", "--model", "Price"), 1, "there is no file gone.csv"),
        (("check", "bad.csv", "--schema", "bad.csv"), 1, "expected a mapping of columns"),
        (
            ("infer", "bad.csv", "--target", "ages"),
            1,
            "has no column 'ages' (is age meant?); it has y, age",
        ),
        (("infer", "SELECT 1"), 1, "set MODELSYNC_DATA_URL"),
    ],
)
def test_what_cannot_be_checked(
    models: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """One line says what to do."""
    found = modelsync("schema", *arguments, cwd=models)
    assert (found.returncode, found.stdout) == (code, "")
    assert says in found.stderr
