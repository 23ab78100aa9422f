"""Sources on real servers: queries on PostgreSQL and SQLite, objects on S3."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from modelsync.data import record_batches
from modelsync.data.sources import DataSource, examine
from modelsync.errors import DataInvalid, StoreUnavailable
from modelsync.settings import Settings, load
from tests.fixtures import postgres, s3
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.training

ROWS = 200_000

MAKE = f"""
CREATE TABLE sales AS SELECT n, 'customer ' || n AS name, (n / 7.0)::numeric(12, 4) AS price,
    CASE WHEN n % 10 > 0 THEN n::float8 END AS maybe, DATE '2024-01-01' + (n % 300) AS day,
    gen_random_uuid() AS id, '{{"a": 1}}'::jsonb AS facts, n % 3 AS y
FROM generate_series(0, {ROWS - 1}) AS n
"""


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    """A server with the table `sales`."""
    if not postgres.programs():
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer() as server:
        server.execute(MAKE)
        yield server


@pytest.fixture
def settings(database: PostgresServer) -> Settings:
    return load({"MODELSYNC_DATA_URL": database.url()})


def query(text: str, settings: Settings, target: str = "y") -> DataSource:
    return examine(text, target, folder=Path("/nowhere"), settings=settings)


def numbers(source: DataSource, skip: int = 0) -> list[int]:
    return [n for batch in source.batches(skip) for n in batch.column("n").to_pylist()]


def test_a_query_is_read_in_bounded_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "BATCH_BYTES", 1_000_000)
    source = query("SELECT * FROM sales ORDER BY n;", settings)
    assert source.resumable
    batches = list(source.batches())
    assert sum(batch.num_rows for batch in batches) == ROWS
    assert len(batches) > 10
    assert max(batch.nbytes for batch in batches) < 2_000_000
    assert source.schema.names == ["n", "name", "price", "maybe", "day", "id", "facts", "y"]
    assert [str(kind) for kind in source.schema.types] == [
        "int64", "string", "double", "double", "timestamp[us]", "string", "string", "int64",
    ]  # fmt: skip


def test_a_query_goes_on_after_the_rows_that_are_done(settings: Settings) -> None:
    source = query("SELECT n, y FROM sales ORDER BY n", settings)
    assert numbers(source, 150_001) == list(range(150_001, ROWS))


def test_a_cursor_on_the_server_keeps_memory_bounded(settings: Settings) -> None:
    source = query(
        "SELECT n, repeat('x', 1000) AS name, 1 AS y FROM generate_series(1, 400000) n", settings
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(batch.num_rows for batch in source.batches()) == 400_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB, of 400 MB


@pytest.mark.parametrize(
    ("text", "resumable"),
    [
        ("SELECT n, y FROM sales", False),
        ("SELECT n, y FROM (SELECT * FROM sales ORDER BY n) AS s", False),
        ("select n, y from sales order  by n -- sorted", True),
        ("WITH s AS (SELECT * FROM sales) SELECT n, y FROM s ORDER BY n LIMIT 10", True),
    ],
)
def test_only_ordered_rows_can_be_gone_on_with(
    settings: Settings, text: str, resumable: bool
) -> None:
    assert query(text, settings).resumable == resumable


def test_a_percent_sign_is_none_of_a_placeholder(settings: Settings) -> None:
    assert len(numbers(query("SELECT n, y FROM sales WHERE name LIKE '%99999'", settings))) == 2


@pytest.mark.parametrize(
    ("text", "target", "says"),
    [
        ("SELECT n FROM nothing", "y", 'relation "nothing" does not exist'),
        ("SELECT n, FROM sales", "y", "the database refuses the query"),
        ("SELECT n, y FROM sales", "price", "no column 'price'"),
        ("SELECT n, n, y FROM sales", "y", "two columns of the name 'n'"),
        ("WITH gone AS (DELETE FROM sales RETURNING *) SELECT * FROM gone", "y", "refuses"),
        ("SELECT n, y FROM sales; DROP TABLE sales", "y", "refuses"),
        ("SELECT setval('s', 1) AS n, 1 AS y", "y", "refuses"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_at_once(
    database: PostgresServer, settings: Settings, text: str, target: str, says: str
) -> None:
    with pytest.raises(DataInvalid) as refused:
        query(text, settings, target)
    assert says in str(refused.value)
    assert postgres.PASSWORD not in str(refused.value)
    assert len(numbers(query("SELECT n, y FROM sales LIMIT 5", settings))) == 5


def test_a_query_must_not_write(database: PostgresServer, settings: Settings) -> None:
    database.execute("CREATE SEQUENCE IF NOT EXISTS s")
    source = query("SELECT nextval('s') AS n, 1 AS y", settings)
    with pytest.raises(DataInvalid, match="read-only transaction"):
        numbers(source)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SELECT n, nullif(y, 2) AS y FROM sales ORDER BY n", "no value in row 3 of the query"),
        (
            "SELECT CASE WHEN n < 5000 THEN NULL ELSE name END AS n, y FROM sales ORDER BY sales.n",
            "column 'n': expected double as in the first rows, came string",
        ),
        ("SELECT 1 / (n - 5000) AS n, y FROM sales ORDER BY sales.n", "division by zero"),
    ],
)
def test_what_only_reading_shows_is_told(settings: Settings, text: str, says: str) -> None:
    with pytest.raises(DataInvalid) as refused:
        numbers(query(text, settings))
    assert says in str(refused.value)


def test_a_server_that_is_away_is_told_from_a_wrong_query(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not answer"):
        query("SELECT 1 AS n, 2 AS y", load({"MODELSYNC_DATA_URL": "postgresql://127.0.0.1:1/x"}))


def test_the_store_is_asked_without_a_database_of_data(database: PostgresServer) -> None:
    settings = load({"MODELSYNC_DATABASE_URL": database.url()})
    assert len(numbers(query("SELECT n, y FROM sales LIMIT 5", settings))) == 5


def test_sqlite_is_read_and_never_written(tmp_path: Path) -> None:
    file = tmp_path / "data.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE sales (n INTEGER, y INTEGER)")
        connection.executemany("INSERT INTO sales VALUES (?, ?)", [(n, 1) for n in range(5000)])
    settings = load({"MODELSYNC_DATA_URL": f"sqlite:///{file}"})
    source = query("SELECT n, y FROM sales ORDER BY n", settings)
    assert numbers(source, 1000) == list(range(1000, 5000))
    with pytest.raises(DataInvalid):
        query("WITH x AS (SELECT 1) DELETE FROM sales", settings)


# --- S3 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not s3.program():
        pytest.skip("VersityGW is not there: make s3-server")
    with S3Server(tmp_path_factory.mktemp("s3") / "server") as server:
        yield server


@pytest.fixture
def bucket(objects: S3Server) -> str:
    return objects.make_bucket()


def on(objects: S3Server, **further: str) -> Settings:
    return load(
        {
            "MODELSYNC_S3_ENDPOINT": objects.endpoint,
            "MODELSYNC_S3_ACCESS_KEY": ACCESS_KEY,
            "MODELSYNC_S3_SECRET_KEY": SECRET_KEY,
            **further,
        }
    )


def test_objects_are_read_in_the_order_of_their_names(objects: S3Server, bucket: str) -> None:
    folder = objects.buckets / bucket / "2024"
    folder.mkdir()
    for start in (1000, 0):
        made = pa.table({"n": list(range(start, start + 1000)), "y": [1] * 1000})
        parquet.write_table(made, folder / f"part-{start:04}.parquet")
    (folder / "readme.txt").write_text("nothing")
    settings = on(objects)
    for name in f"s3://{bucket}/2024/part-*", f"s3://{bucket}/2024", f"s3://{bucket}/*.parquet":
        source = examine(name, "y", folder=Path("/nowhere"), settings=settings)
        assert numbers(source, 10) == list(range(10, 2000))
        assert source.rows == 2000
    csv = examine(
        f"s3://{bucket}/2024/part-0000.parquet", "y", folder=Path("/nowhere"), settings=settings
    )
    assert csv.rows == 1000


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("s3://{bucket}/none*.parquet", "there is no file s3://"),
        ("s3://{bucket}/none.parquet", "there is no file s3://"),
        ("s3://no-such-bucket/a.parquet", "there is no"),
        ("s3://", "expected s3://bucket/key"),
        ("s3://*/a.parquet", "expected the name of a bucket"),
    ],
)
def test_objects_that_are_not_there_are_named(
    objects: S3Server, bucket: str, name: str, says: str
) -> None:
    with pytest.raises(DataInvalid) as refused:
        examine(name.format(bucket=bucket), "y", folder=Path("/nowhere"), settings=on(objects))
    assert says in str(refused.value)
    assert SECRET_KEY not in str(refused.value)


def test_wrong_keys_are_told_from_a_server_that_is_away(objects: S3Server, bucket: str) -> None:
    (objects.buckets / bucket / "a.csv").write_text("n,y\n1,2\n")
    wrong = on(objects, MODELSYNC_S3_SECRET_KEY="wrong")
    with pytest.raises(DataInvalid, match="refuses to read"):
        examine(f"s3://{bucket}/a.csv", "y", folder=Path("/nowhere"), settings=wrong)
    away = on(objects, MODELSYNC_S3_ENDPOINT="http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        examine(f"s3://{bucket}/a.csv", "y", folder=Path("/nowhere"), settings=away)
