"""Tables and columns of any name, and values of any text: what a table must hold, and what not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from modelsync.data.sources import examine
from modelsync.data.table_writer import replace_day
from modelsync.errors import DataInvalid
from modelsync.settings import Settings
from tests.data.test_tables import MONDAY, TUESDAY, rows, server, settings

__all__ = ["server", "settings"]  # fixtures

ODD = (
    "a b", 'a"b', "a%b", "a%%b", "a :b", "a;b", "a'b", "a\\b", "a,b", "A", "a", "select", "ä", "?",
    "modelsync_source", "$1", "a\nb", "{date}",
)  # fmt: skip

TEXTS = (
    "", " ", ",", '"', '""', "'", "\\.", "a\n\\.\nb", "\\N", "\\", "NULL", "a\r\nb", "ä\u2028€",
    "=1+1", "\t", "%s", ":x", "x" * 10_000,
)  # fmt: skip


def put(name: str, table: pa.Table, settings: Settings, day: date = MONDAY) -> Any:
    return replace_day(name, day, table.to_batches(), settings)


def got(name: str, settings: Settings) -> list[dict[str, Any]]:
    return rows(examine(name, "", folder=Path("/nowhere"), settings=settings))


def test_columns_of_any_name(settings: Settings) -> None:
    """Made with the table, added to it a day later, read, and hashed."""
    sqlite = (settings.training.data_url.read() or "").startswith("sqlite")
    names = [name for name in ODD if not (sqlite and name == "A")]  # there A is a
    put("shop", pa.table({name: [1] for name in names[::2]}), settings)
    put("shop", pa.table({name: [2] for name in names}), settings, TUESDAY)
    if settings.training.data_url.read():  # files without the columns of others are told so
        assert got("shop", settings)[-1] == dict.fromkeys(names, 2)
    source = examine("shop", "", folder=Path("/nowhere"), settings=settings)
    assert source.fingerprint() == source.fingerprint()


def test_texts_of_any_content(settings: Settings) -> None:
    """Each comes back as it was, and a missing one is none of them."""
    put("shop", pa.table({"text": [*TEXTS, None], "n": range(len(TEXTS) + 1)}), settings)
    found = sorted(got("shop", settings), key=lambda row: int(row["n"]))
    assert [row["text"] for row in found] == [*TEXTS, None]


def test_numbers_at_their_ends(settings: Settings) -> None:
    values = [float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, -0.0, 0.1, None]
    whole = [2**63 - 1, -(2**63), 0, 1, 2, 3, None]
    put("shop", pa.table({"x": values, "n": whole}), settings)
    found = got("shop", settings)
    assert [row["x"] for row in found] == values
    assert [row["n"] for row in found] == whole


@pytest.mark.parametrize(
    "name",
    [
        "../shop", "/tmp/shop", "a/b", "..", ".", "", "shop;DROP TABLE x", 'sh"op', "a.b.c", "a b",
        "x\0y", "shop.parquet/..",
    ],
)  # fmt: skip
def test_a_name_that_is_none_of_a_table_is_refused(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    """Nothing is written, neither in the folder of tables nor beside it."""
    before = sorted(tmp_path.rglob("*.parquet"))
    with pytest.raises(DataInvalid, match=r"table: expected a name such as titanic or shop\.titan"):
        put(name, pa.table({"n": [1]}), settings)
    assert sorted(tmp_path.rglob("*.parquet")) == before
    assert not Path("/tmp/shop").exists()


@pytest.mark.parametrize("name", ["modelsync_versions", "MODELSYNC_JOBS", "public.modelsync_x"])
def test_the_tables_of_modelsync_itself_are_filled_by_nobody(settings: Settings, name: str) -> None:
    """The data may lie in the database of the store."""
    with pytest.raises(DataInvalid, match="is a table of modelsync itself"):
        put(name, pa.table({"n": [1]}), settings)
