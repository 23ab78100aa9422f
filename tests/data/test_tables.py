"""Tables as sources, and how days fill them: in PostgreSQL, in SQLite, in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from modelsync.data import sources
from modelsync.data.sources import DataSource, examine, first
from modelsync.data.table_writer import replace_day
from modelsync.errors import DataInvalid, StoreUnavailable
from modelsync.settings import Settings, load
from tests.fixtures import postgres
from tests.fixtures.postgres import PostgresServer

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer | None]:
    if not postgres.programs():
        yield None
        return
    with PostgresServer() as running:
        yield running


@pytest.fixture(params=["postgresql", "sqlite", "folder"])
def settings(
    request: pytest.FixtureRequest, server: PostgresServer | None, tmp_path: Path
) -> Settings:
    """Settings with the tables in a database, or in a folder of the state directory."""
    values = {"MODELSYNC_HOME": str(tmp_path / "home")}
    if request.param == "postgresql":
        if server is None:
            pytest.skip("PostgreSQL is not installed")
        values["MODELSYNC_DATA_URL"] = server.make_database()
    elif request.param == "sqlite":
        values["MODELSYNC_DATA_URL"] = f"sqlite:///{tmp_path}/data.db"
    return load(values)


def table(name: str, settings: Settings, target: str = "") -> DataSource:
    return examine(name, target, folder=Path("/nowhere"), settings=settings)


def fill(settings: Settings, day: date, **columns: Any) -> Any:
    return replace_day("shop", day, pa.table(columns).to_batches(), settings)


def rows(source: DataSource) -> list[dict[str, Any]]:
    return [row for batch in source.batches() for row in batch.to_pylist()]


def test_a_table_is_made_by_its_first_day_and_read_without_the_day(settings: Settings) -> None:
    fill(settings, MONDAY, age=[22, None], name=["a", ""], fare=[7.25, None], y=[True, None])
    fill(settings, TUESDAY, age=[30], name=[None], fare=[1.0], y=[False])
    found = rows(table("shop", settings))
    assert [row["age"] for row in found] == [22, None, 30]
    assert [row["name"] for row in found] == ["a", "", None]
    assert [row["fare"] for row in found] == [7.25, None, 1.0]
    assert set(found[0]) == {"age", "name", "fare", "y"}


def test_a_day_takes_the_place_of_the_same_day_alone(settings: Settings) -> None:
    fill(settings, MONDAY, n=[1, 2])
    fill(settings, TUESDAY, n=[3])
    assert fill(settings, MONDAY, n=[7]).rows == 1
    assert [row["n"] for row in rows(table("shop", settings))] == [7, 3]
    assert fill(settings, MONDAY, n=pa.array([], pa.int64())).rows == 0
    assert [row["n"] for row in rows(table("shop", settings))] == [7, 3]


def test_the_fingerprint_tells_changes(settings: Settings) -> None:
    fill(settings, MONDAY, n=[1, 2])
    before = table("shop", settings).fingerprint()
    assert table("shop", settings).fingerprint() == before
    fill(settings, TUESDAY, n=[3])
    assert table("shop", settings).fingerprint() != before


def test_columns_that_appear_and_stay_away_are_told(settings: Settings) -> None:
    fill(settings, MONDAY, n=[1], old=["x"])
    told = fill(settings, TUESDAY, n=[2], new=[1.5])
    assert (told.added, told.absent) == (("new",), ("old",))


def test_a_query_and_missing_tables_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"there is no (table|file) shop"):
        table("shop", settings)
    file = tmp_path / "shop.csv"
    file.write_text("n\n5\n")
    choices = ("shop", "shop.csv")
    assert first(choices, folder=tmp_path, settings=settings).text == "shop.csv"
    fill(settings, MONDAY, n=[1])
    assert first(choices, folder=tmp_path, settings=settings).text == "shop"


def test_the_date_stands_in_a_source(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "2026-11-23.csv").write_text("n\n5\n")
    found = first(("{date}.csv",), folder=tmp_path, settings=settings, day=MONDAY)
    assert found.text == "2026-11-23.csv"
    assert not sources.is_there("2026-11-24.csv", folder=tmp_path, settings=settings)


# --- PostgreSQL alone -----------------------------------------------------------------------------


@pytest.fixture
def database(server: PostgresServer | None) -> tuple[PostgresServer, Settings]:
    if server is None:
        pytest.skip("PostgreSQL is not installed")
    return server, load({"MODELSYNC_DATA_URL": server.make_database()})


def test_values_that_the_table_cannot_hold_leave_it_as_it_was(
    database: tuple[PostgresServer, Settings],
) -> None:
    _, settings = database
    fill(settings, MONDAY, n=[1, 2])
    with pytest.raises(DataInvalid, match=r"column 'n' is double, and int64 in table shop"):
        fill(settings, MONDAY, n=[1.5])
    assert [row["n"] for row in rows(table("shop", settings))] == [1, 2]
    fill(settings, MONDAY, n=[4.0])  # which is a whole number
    assert [row["n"] for row in rows(table("shop", settings))] == [4]


def test_a_day_that_breaks_off_leaves_the_table_as_it_was(
    database: tuple[PostgresServer, Settings],
) -> None:
    _, settings = database
    fill(settings, MONDAY, n=[1])

    def broken() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": [2]})
        raise DataInvalid("source: it breaks off")

    with pytest.raises(DataInvalid, match="breaks off"):
        replace_day("shop", MONDAY, broken(), settings)
    assert [row["n"] for row in rows(table("shop", settings))] == [1]


def test_types_of_a_table_hold_where_its_first_rows_have_no_value(
    database: tuple[PostgresServer, Settings],
) -> None:
    _, settings = database
    nothing = pa.array([None] * 2000, pa.string())
    fill(settings, MONDAY, note=nothing, n=list(range(2000)))
    fill(settings, TUESDAY, note=["late"], n=[1])
    source = table("shop", settings)
    assert source.schema.field("note").type == pa.string()
    assert rows(source)[-1] == {"note": "late", "n": 1}


def test_views_schemas_and_capitals_are_found(database: tuple[PostgresServer, Settings]) -> None:
    server, settings = database
    place = settings.training.data_url.read().rpartition("%3D")[2]
    server.execute(
        f"CREATE TABLE {place}.sales AS SELECT n, '%' AS \"per cent\" FROM generate_series(1, 3) n"
    )
    server.execute(f"CREATE VIEW {place}.few AS SELECT * FROM {place}.sales WHERE n < 3")
    assert len(rows(table("Sales", settings))) == 3
    assert rows(table(f"{place}.few", settings))[0] == {"n": 1, "per cent": "%"}
    assert table("sales", settings).resumable
    assert not table("few", settings).resumable


def test_the_order_of_days_is_that_of_dates(database: tuple[PostgresServer, Settings]) -> None:
    _, settings = database
    fill(settings, TUESDAY, n=[2])
    fill(settings, MONDAY, n=[1])
    assert [row["n"] for row in rows(table("shop", settings))] == [1, 2]


def test_a_database_that_is_away_is_no_missing_table(tmp_path: Path) -> None:
    settings = load({"MODELSYNC_DATA_URL": "postgresql://nobody@127.0.0.1:1/none"})
    (tmp_path / "shop.csv").write_text("n\n5\n")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        first(("shop", "shop.csv"), folder=tmp_path, settings=settings)
