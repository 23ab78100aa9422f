"""Sources: what a job reads itself, in batches of bounded size, never outside of its folders."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from modelsync.data import file_source, record_batches
from modelsync.data.sources import DataSource, examine
from modelsync.errors import DataInvalid
from modelsync.fitting.messages import END
from modelsync.settings import Settings, load
from modelsync.training.feed import Feed

ROWS = 5000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder with data in it."""
    made = tmp_path / "Model"
    (made / "data").mkdir(parents=True)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "shared").mkdir()
    return load({"MODELSYNC_DATA": str(tmp_path / "shared")})


def table(rows: int = ROWS, start: int = 0) -> pa.Table:
    numbers = list(range(start, start + rows))
    return pa.table(
        {"n": numbers, "name": [f"row {n}" for n in numbers], "y": [n % 3 for n in numbers]}
    )


def write(folder: Path, *starts: int, group: int = 700) -> None:
    for start in starts:
        name = folder / "data" / f"part-{start:06}.parquet"
        parquet.write_table(table(start=start), name, row_group_size=group)


def numbers(source: DataSource, skip: int = 0) -> list[int]:
    return [n for batch in source.batches(skip) for n in batch.column("n").to_pylist()]


def test_files_are_read_in_the_order_of_their_names(folder: Path, settings: Settings) -> None:
    write(folder, 10_000, 0, 5_000)
    source = examine("data/*.parquet", "y", folder=folder, settings=settings)
    assert numbers(source) == list(range(15_000))
    assert source.rows == 15_000
    assert source.schema.names == ["n", "name", "y"]


@pytest.mark.parametrize("skip", [0, 1, 699, 700, 4999, 5000, 5001, 9999, 10_000])
def test_skipping_leaves_out_exactly_those_rows(
    folder: Path, settings: Settings, skip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "BATCH_BYTES", 10_000)
    write(folder, 0, 5_000)
    source = examine("data", "y", folder=folder, settings=settings)
    batches = list(source.batches(skip))
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == list(
        range(skip, 10_000)
    )
    assert all(batch.nbytes <= 20_000 for batch in batches)


def test_all_formats_give_the_same_rows(folder: Path, settings: Settings) -> None:
    frame = table(50).to_pandas()
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "b.csv.gz", index=False)
    frame.to_csv(folder / "c.tsv", index=False, sep="\t")
    frame.to_json(folder / "d.jsonl", orient="records", lines=True)
    frame.to_json(folder / "e.ndjson.gz", orient="records", lines=True)
    frame.to_parquet(folder / "f.parquet", index=False)
    for name in "a.csv", "b.csv.gz", "c.tsv", "d.jsonl", "e.ndjson.gz", "f.parquet":
        source = examine(name, "y", folder=folder, settings=settings)
        assert pa.Table.from_batches(source.batches(10)).to_pydict() == table(40, 10).to_pydict()


def test_the_model_folder_comes_before_the_data_folder(
    folder: Path, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "shared" / "a.csv").write_text("n,y\n2,1\n")
    assert numbers(examine("a.csv", "y", folder=folder, settings=settings)) == [2]
    (folder / "a.csv").write_text("n,y\n1,1\n")
    assert numbers(examine("a.csv", "y", folder=folder, settings=settings)) == [1]


def test_columns_are_chosen_in_the_order_asked_for(folder: Path, settings: Settings) -> None:
    write(folder, 0)
    source = examine("data/*", "y", ("name", "n"), folder=folder, settings=settings)
    assert source.schema.names == ["name", "n", "y"]
    several = examine("data/*", ["y", "n"], folder=folder, settings=settings)
    assert several.schema.names == ["name", "y", "n"]
    without = examine("data/*", "", folder=folder, settings=settings)
    assert without.schema.names == ["n", "name", "y"]


def test_decimals_dates_and_categories_become_plain_types(folder: Path, settings: Settings) -> None:
    from datetime import date
    from decimal import Decimal

    made = pa.table(
        {
            "price": [Decimal("1.50"), None],
            "day": [date(2024, 1, 2), None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "none": pa.nulls(2),
            "y": [1, 2],
        }
    )
    parquet.write_table(made, folder / "a.parquet")
    schema = examine("a.parquet", "y", folder=folder, settings=settings).schema
    assert [str(kind) for kind in schema.types] == [
        "double", "timestamp[us]", "string", "double", "int64",
    ]  # fmt: skip


def test_plain_types_are_read_as_such(folder: Path, settings: Settings) -> None:
    from datetime import date, datetime
    from decimal import Decimal

    made = pa.table(
        {
            "price": [Decimal("1.50"), None],
            "day": [date(2024, 1, 2), None],
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "y": [1, 2],
        }
    )
    parquet.write_table(made, folder / "a.parquet")
    (batch,) = examine("a.parquet", "y", folder=folder, settings=settings).batches()
    assert batch.to_pylist() == [
        {"price": 1.5, "day": datetime(2024, 1, 2), "kind": "a", "y": 1},
        {"price": None, "day": None, "kind": "b", "y": 2},
    ]


def test_the_index_of_a_frame_is_no_column(folder: Path, settings: Settings) -> None:
    frame = table(10).to_pandas().set_index("name")
    frame.to_parquet(folder / "a.parquet")
    frame.reset_index().sample(5, random_state=0).to_parquet(folder / "b.parquet")
    for name, columns in ("a.parquet", ["n", "y"]), ("b.parquet", ["name", "n", "y"]):
        source = examine(name, "y", folder=folder, settings=settings)
        assert source.schema.names == columns
        assert all(batch.schema.names == columns for batch in source.batches())
    asked = examine("a.parquet", "y", ("name",), folder=folder, settings=settings)
    assert asked.schema.names == ["name", "y"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfn,y\n1,2\n", [{"n": 1, "y": 2}]),
        (b"n,y\r\n1,2\r\n", [{"n": 1, "y": 2}]),
        (b'n,y\n"a\nb",yes\n"c, d",no\n', [{"n": "a\nb", "y": "yes"}, {"n": "c, d", "y": "no"}]),
        (b"n,y\nNA,1\n2.5,0\n", [{"n": None, "y": 1}, {"n": 2.5, "y": 0}]),
        (b"n,y\n,1\nx,0\n", [{"n": None, "y": 1}, {"n": "x", "y": 0}]),
        (b"n,y\nTrue,1\nfalse,0\n", [{"n": True, "y": 1}, {"n": False, "y": 0}]),
        (b",n,y\n0,5,1\n1,6,0\n", [{"": 0, "n": 5, "y": 1}, {"": 1, "n": 6, "y": 0}]),
    ],
)
def test_csv_as_people_write_it(
    folder: Path, settings: Settings, content: bytes, expected: object
) -> None:
    (folder / "a.csv").write_bytes(content)
    (batch,) = examine("./a.csv", "y", folder=folder, settings=settings).batches()
    assert batch.to_pylist() == expected


def test_partitions_are_columns(folder: Path, settings: Settings) -> None:
    frame = table(12).to_pandas()
    frame["year"], frame["kind"] = [2023, 2024] * 6, ["a b", None, "c"] * 4
    frame.to_parquet(folder / "data", partition_cols=["year", "kind"])
    frame[frame["year"] == 2023][["n", "y"]].to_csv(folder / "none.csv")
    source = examine("data", "y", folder=folder, settings=settings)
    assert source.schema.names == ["n", "name", "year", "kind", "y"]
    rows = pa.Table.from_batches(source.batches()).to_pylist()
    found = {row["n"]: (row["year"], row["kind"]) for row in rows}
    kinds = ["a b", None, "c"] * 4
    assert found == {n: ([2023, 2024][n % 2], kinds[n]) for n in range(12)}
    assert pa.Table.from_batches(source.batches(5)).to_pylist() == rows[5:]
    (folder / "lines" / "day=01").mkdir(parents=True)
    (folder / "lines" / "day=01" / "a.jsonl").write_text('{"n": 1, "y": 2}')
    (batch,) = examine("lines", "y", folder=folder, settings=settings).batches()
    assert batch.to_pylist() == [{"n": 1, "day": "01", "y": 2}]


def test_a_digest_changes_with_the_data(folder: Path, settings: Settings) -> None:
    write(folder, 0)
    before = examine("data/*", "y", folder=folder, settings=settings).digest
    assert examine("data/*", "y", folder=folder, settings=settings).digest == before
    write(folder, 5_000)
    assert examine("data/*", "y", folder=folder, settings=settings).digest != before


def _integers_then_text(folder: Path) -> None:
    parquet.write_table(pa.table({"n": [1], "y": [1]}), folder / "data" / "a.parquet")
    parquet.write_table(pa.table({"n": ["x"], "y": [1]}), folder / "data" / "b.parquet")


def _lacking(folder: Path) -> None:
    parquet.write_table(pa.table({"n": [1], "y": [1]}), folder / "data" / "a.parquet")
    parquet.write_table(pa.table({"y": [1]}), folder / "data" / "b.parquet")


def _link_out(folder: Path) -> None:
    (folder.parent / "secret.csv").write_text("n,y\n1,2\n")
    (folder / "data" / "a.csv").symlink_to(folder.parent / "secret.csv")


def _two_formats(folder: Path) -> None:
    write(folder, 0)
    (folder / "data" / "a.csv").write_text("n,y\n1,2\n")


def _latin(folder: Path) -> None:
    (folder / "a.csv").write_bytes("n,y\n\xe9,2\n".encode("latin-1"))


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("make", "source", "target", "says"),
    [
        (write, "data/*.parquet", "y", "there is no file data/*.parquet in the model's folder"),
        (write, "/etc/passwd", "y", "expected a path within the model's folder"),
        (write, "../Other/data.csv", "y", "expected a path within"),
        (write, "data/../../x.csv", "y", "expected a path within"),
        (write, "https://example.com/a.csv", "y", "https:// is none of these"),
        (write, "", "y", "expected files such as"),
        (_text("notes.txt", "x"), "notes.txt", "y", "expected Parquet (.parquet), CSV"),
        (_text("a.csv", ""), "a.csv", "y", "a.csv is empty"),
        (_text("a.csv", "n,y\n1,2\n"), "a.csv", "Y", "no column 'Y' (is y meant?); it has n, y"),
        (_text("a.csv", "y\n2\n"), "a.csv", "y", "no column besides the target"),
        (_text("a.csv", "n,n,y\n1,2,3\n"), "a.csv", "y", "two columns of the name 'n'"),
        (_text("a.csv", "n,y\n1,2\n1\n"), "a.csv", "y", "a.csv cannot be read"),
        (_text("a.parquet", "junk"), "a.parquet", "y", "a.parquet cannot be read"),
        (
            _text("a.parquet", "version https://git-lfs.github.com/spec/v1\n"),
            "a.parquet",
            "y",
            "Git LFS pointer",
        ),
        (_latin, "a.csv", "y", "column 'n' is no text in UTF-8"),
        (_integers_then_text, "data/*", "y", "the files differ in the type of a column"),
        (_lacking, "data/*", "y", "b.parquet has no column 'n'"),
        (_link_out, "data/*", "y", "leads out of the folder"),
        (_two_formats, "data/*", "y", "files of one format"),
        (write, "SELECT 1", "y", "set MODELSYNC_DATA_URL"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_at_once(
    folder: Path,
    settings: Settings,
    make: Callable[[Path], object],
    source: str,
    target: str,
    says: str,
) -> None:
    make(folder)
    with pytest.raises(DataInvalid) as refused:
        examine(source, target, folder=folder, settings=settings)
    assert says in str(refused.value)
    assert str(folder.parent) not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("n,y\n1,2\n3,\n", "column 'y' has no value in row 2 of a.csv"),
        ("n,y\n" + "1,2\n" * 3_000_000 + "x,2\n", "a.csv cannot be read"),
        ("n,y\n", "the data is empty"),
    ],
)
def test_what_only_reading_shows_breaks_the_feed_off(
    folder: Path, settings: Settings, text: str, says: str
) -> None:
    (folder / "a.csv").write_text(text)
    source = examine("a.csv", "y", folder=folder, settings=settings)
    stream, feed = fed(source)
    assert feed.error is not None
    assert says in str(feed.error)
    assert not ended(stream)


def fed(source: DataSource, skip: int = 0) -> tuple[bytes, Feed]:
    reading, writing = os.pipe()
    feed = Feed(source, writing, skip=skip)
    feed.start()
    with os.fdopen(reading, "rb") as pipe:
        stream = pipe.read()
    feed.join()
    return stream, feed


def ended(stream: bytes) -> bool:
    """Whether the stream tells its end."""
    if not stream:
        return False
    last: dict[bytes, bytes] | None = None
    with pa.ipc.open_stream(stream) as reader:
        try:
            while True:
                last = reader.read_next_batch_with_custom_metadata().custom_metadata
        except (StopIteration, OSError):
            return bool(last and END in dict(last))


def test_a_feed_tells_the_end_of_its_stream(folder: Path, settings: Settings) -> None:
    write(folder, 0)
    stream, feed = fed(examine("data/*", "y", folder=folder, settings=settings), skip=100)
    assert feed.error is None
    assert feed.rows == ROWS - 100
    assert ended(stream)
    assert not ended(stream[: len(stream) // 2])


def test_a_feed_ends_when_its_reader_does(folder: Path, settings: Settings) -> None:
    write(folder, *range(0, 50_000, 5_000))
    reading, writing = os.pipe()
    feed = Feed(examine("data/*", "y", folder=folder, settings=settings), writing)
    feed.start()
    os.close(reading)
    feed.join(60)
    assert not feed.is_alive()
    assert feed.error is None


def test_a_file_that_vanishes_is_the_reason(folder: Path, settings: Settings) -> None:
    write(folder, 0, 5_000)
    source = examine("data/*", "y", folder=folder, settings=settings)
    (folder / "data" / "part-005000.parquet").unlink()
    _, feed = fed(source)
    assert "part-005000.parquet cannot be read" in str(feed.error)


def test_later_files_with_other_columns_are_found(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "EXAMINED", 1)
    _lacking(folder)
    _, feed = fed(examine("data/*", "y", folder=folder, settings=settings))
    assert "b.parquet has no column 'n'" in str(feed.error)


def test_a_gzipped_file_that_is_cut_is_found(folder: Path, settings: Settings) -> None:
    whole = gzip.compress(("n,y\n" + "".join(f"{n},1\n" for n in range(2_000_000))).encode())
    (folder / "a.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataInvalid, match=r"a\.csv\.gz cannot be read"):
        list(examine("a.csv.gz", "y", folder=folder, settings=settings).batches())


@pytest.mark.parametrize("name", ["numpy", "pyarrow", "pandera", "narwhals"])
def test_a_library_that_is_not_installed(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In a slim installation the answer says what to install."""
    write(folder, 0)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataInvalid, match=rf"without {name}: install modelsync\[data\]"):
        examine("data/*.parquet", "y", folder=folder, settings=settings)
