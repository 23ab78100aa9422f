"""A first schema.yml that is made from data: it says what a person would see in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from modelsync.data.checking import check
from modelsync.data.schema_inference import infer
from modelsync.data.sources import DataSource, examine
from modelsync.models.data_schema import DataSchema
from modelsync.models.schemas.reading import read
from modelsync.settings import load


def inferred(folder: Path, file: str, target: tuple[str, ...] = ()) -> str:
    """Return what is written for a file, which fits it."""

    def found(rules: DataSchema | None) -> DataSource:
        return examine(file, "", folder=folder, settings=load({}), schema=rules)

    text = infer(found, target)
    known = read(text.encode())
    assert isinstance(known, DataSchema), known
    report = check(found(known), known)
    assert report.passed, report
    return text


def test_what_is_written(tmp_path: Path) -> None:
    """Types, what is missing, texts that repeat, ranges as comments, the target."""
    rows = "".join(f"0123{n},{n}.5,{'ab'[n % 2]},{n % 2},,31.01.202{n},yes\n" for n in range(10))
    header = "zip,no,kind,y,void,day,member\n"
    (tmp_path / "a.csv").write_text(f"{header}{rows}99999,,b,1,,1.2.2024,No\n")
    assert inferred(tmp_path, "a.csv", ("y",)).splitlines() == [
        "# Made from 11 rows of a.csv: read it, and correct it, before you use it.",
        "zip:",
        "  type: str",
        '"no":',
        "  type: float  # from 0.5 to 9.5",
        "  nullable: true  # 1 of 11 are missing",
        "kind:",
        "  type: str",
        "  allowed: [a, b]",
        "y:",
        "  type: int  # from 0 to 1",
        "  target: true",
        "void:",
        "  type: float  # no value in any row",
        "  nullable: true  # 11 of 11 are missing",
        "day:",
        "  type: date",
        '  format: "%d.%m.%Y"',
        "member:",
        "  type: bool",
    ]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([1.0, None, 3.0], "type: int  # from 1 to 3"),
        ([True, False], "type: bool"),
        (pa.array([0, 86400], pa.timestamp("s")), "type: date  # from 1970-01-01 to 1970-01-02"),
        (pa.array([0, 5], pa.timestamp("s")),
         "type: datetime  # from 1970-01-01T00:00:00 to 1970-01-01T00:00:05"),
        (pa.array([0, 5], pa.time32("s")), "type: time  # from 00:00:00 to 00:00:05"),
        (["x", "y"], "type: str"),
        ([f"text {n}" for n in range(5000)], "type: str"),
        (pa.array(["x", "y"] * 5).dictionary_encode(), "allowed: [x, y]"),
        (["no", "maybe"] * 5, 'allowed: ["no", maybe]'),
        (["1", "a: b", "#"] * 5, 'allowed: ["1", "a: b", "#"]'),
        (pa.array([1, 2], pa.decimal128(10, 2)), "type: int  # from 1 to 2"),
        ([float("nan"), float("nan")], "nullable: true  # 2 of 2 are missing"),
    ],
)  # fmt: skip
def test_types_of_libraries(tmp_path: Path, values: Any, line: str) -> None:
    """As pandas, databases and Arrow hold them."""
    parquet.write_table(pa.table({"größe: m": values}), tmp_path / "a.parquet")
    text = inferred(tmp_path, "a.parquet")
    assert '"größe: m":' in text.splitlines()
    assert f"  {line}" in text.splitlines()
