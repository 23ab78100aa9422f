"""Sources: training data that a job reads itself, in record batches, so that it may be larger than
memory.

`examine` finds what a text names, before a job is made of it and again in the job:

    data/*.parquet, data/2024, a.csv.gz     files in the model's folder, else in MODELSYNC_DATA
    s3://bucket/key*                        objects, with the S3 settings of the store
    SELECT ... , WITH ...                   a query on MODELSYNC_DATA_URL, else on the store's
                                            PostgreSQL, in a transaction that only reads
    titanic, shop.titanic                   unless that is a file or a folder of data: a table of
                                            the same database; without one, a folder of Parquet
                                            files, one a day
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelsync.data import libraries
from modelsync.errors import DataInvalid, DataMissing
from modelsync.models.data_schema import DataSchema
from modelsync.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from modelsync.data.record_batches import Wanted

_QUERY = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with)\s", re.IGNORECASE | re.DOTALL)
TABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", re.ASCII)
"""The name of a table, with or without its schema."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

MAX_SOURCE = 20_000
"""Characters of a source: a query may be long."""


class DataSource(Protocol):
    """Training data of one job.

    `text`: what names it, as `examine` takes it; `name`: what messages call it. `target`: the
    columns that are y. `resumable`: it has the same rows in the same order each time, while its
    `digest` is the same; so a job may go on where another was killed. `tells_changes`: its `digest`
    changes with the data; else the same source asked for again is fitted again. `tells_rows`: its
    `fingerprint` is the same if the rows are, whatever their files are.
    """

    text: str
    name: str
    target: tuple[str, ...]
    resumable: bool
    tells_changes: bool
    tells_rows: bool

    @property
    def digest(self) -> str:
        """Return a digest, in hex, that changes if the data has changed, as far as one can see."""

    def fingerprint(self) -> str:
        """Return a digest of the data, in hex, that is cheap enough to be asked for again and
        again: of the rows whatever their order, or of names, sizes and times of files.
        """

    @property
    def rows(self) -> int | None:
        """Return how many rows it has; None if that takes reading them."""

    @property
    def columns(self) -> pa.Schema:
        """Return all columns that the data has, in the types in which it has them."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns of its batches."""

    def batches(self, skip: int = 0) -> Iterator[pa.RecordBatch]:
        """Read all rows but the first `skip`; each batch holds about `BATCH_BYTES`.

        Raises DataInvalid, and StoreUnavailable if its server does not answer.
        """

    def raw(self) -> Iterator[pa.RecordBatch]:
        """Read all rows of the columns that are wanted and there, in the types of the data, which
        may differ from batch to batch where `schema.yml` tells one. Raises as `batches` does.
        """


def examine(
    source: str,
    target: str | Sequence[str],
    columns: Sequence[str] = (),
    *,
    folder: Path,
    settings: Settings,
    schema: DataSchema | None = None,
) -> DataSource:
    """Find the data, and check its columns without reading all of it.

    `folder` is the model's. `target` names the column that is y, or several; with none y is None.
    `columns` are those of x in their order; all others without it. By `schema`, that of the model's
    folder, the batches have its columns, unless others are named, in its types, with missing values
    filled; one that is missing is told when the batches are read. Raises DataInvalid, which says
    what was expected and what came, and StoreUnavailable.
    """
    targets = (target,) if isinstance(target, str) and target else tuple(target)
    _check(source, targets, columns)
    libraries.require()
    from modelsync.data.record_batches import Wanted  # it imports pyarrow

    if schema and not targets:
        targets = tuple(one.name for one in schema.targets)
    wanted = Wanted(tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(targets)), schema)
    if _QUERY.match(source):
        from modelsync.data.data_database import DataDatabase
        from modelsync.data.query_source import QuerySource

        return QuerySource(source, wanted, DataDatabase.require(settings))
    if is_table(source, folder, settings):
        return _table(source.strip(), wanted, folder, settings)
    from modelsync.data.file_source import FileSource

    return FileSource(source.strip(), wanted, folder, settings)


def first(
    alternatives: Sequence[str],
    target: str | Sequence[str] = "",
    columns: Sequence[str] = (),
    *,
    folder: Path,
    settings: Settings,
    day: date | None = None,
    schema: DataSchema | None = None,
) -> DataSource:
    """Return the first of some sources that is there, examined; `{date}` in them is the day.

    A query is there if a database is set, a table if it exists, files if any matches. Raises what
    `examine` does: DataInvalid for the last one if none is there.
    """
    for text in alternatives[:-1]:
        if is_there(found := dated(text, day), folder=folder, settings=settings):
            return examine(found, target, columns, folder=folder, settings=settings, schema=schema)
    last = dated(alternatives[-1] if alternatives else "", day)
    return examine(last, target, columns, folder=folder, settings=settings, schema=schema)


def is_there(source: str, *, folder: Path, settings: Settings) -> bool:
    """Whether a source names data that exists, be it good or not. Raises StoreUnavailable."""
    from modelsync.data.data_database import DataDatabase

    if _QUERY.match(source):
        return DataDatabase.find(settings) is not None
    if is_table(source, folder, settings):
        database = DataDatabase.find(settings)
        if database is None:
            return bool(list(table_folder(settings).glob(f"{source.strip()}/*.parquet")))
        from modelsync.data.table_source import DataTable

        return DataTable.find(source.strip(), database) is not None
    return _has_files(source.strip(), folder, settings, broken=True)


def dated(text: str, day: date | None) -> str:
    """Return a source of a day: `{date}` is YYYY-MM-DD."""
    return text.replace("{date}", day.isoformat()) if day else text


def is_table(source: str, folder: Path, settings: Settings) -> bool:
    """Whether a source is the name of a table: neither a file nor a folder with data has it."""
    from modelsync.data.data_files import format_of

    name = source.strip()
    if not TABLE.fullmatch(name) or format_of(name):
        return False
    return not _has_files(name, folder, settings, broken=False)


def table_folder(settings: Settings) -> Path:
    """Return where tables are folders, if there is no database."""
    data = settings.training.data
    return settings.state.home / "data" if data == Path() else data


def _has_files(source: str, folder: Path, settings: Settings, *, broken: bool) -> bool:
    """Whether there is data of this name; `broken` is the answer for what cannot be read."""
    from modelsync.data.data_files import DataFiles

    try:
        return bool(DataFiles.find(source, folder, settings.training.data, settings.store).files)
    except DataMissing:
        return False
    except DataInvalid:
        return broken


def _table(name: str, wanted: Wanted, folder: Path, settings: Settings) -> DataSource:
    """Return a table of the database, else of the folder. Raises DataInvalid without it."""
    from modelsync.data.data_database import DataDatabase

    if database := DataDatabase.find(settings):
        from modelsync.data.table_source import DataTable, TableSource

        if (table := DataTable.find(name, database)) is None:
            raise DataInvalid(
                f"source: there is no table {name} in the database of training data, and no file "
                "or folder of that name in the model's folder or in MODELSYNC_DATA"
            )
        return TableSource(name, table, wanted, database)
    from modelsync.data.file_source import FileSource

    training = replace(settings.training, data=table_folder(settings))
    return FileSource(name, wanted, folder, replace(settings, training=training))


def _check(source: str, target: Sequence[str], columns: Sequence[str]) -> None:
    """Raise DataInvalid for what is no source, or names no columns."""
    for name, value in ("target", target), ("columns", columns):
        if isinstance(value, str) or not all(isinstance(one, str) for one in value):
            raise DataInvalid(f"{name}: expected a list of names of columns, came {value!r:.100}")
    if not isinstance(source, str) or not source.strip() or "\0" in source:
        raise DataInvalid(
            'source: expected files such as "data/*.parquet", "s3://bucket/key*" or a SELECT, '
            f"came {source!r:.100}"
        )
    if len(source) > MAX_SOURCE:
        raise DataInvalid(f"source: expected at most {MAX_SOURCE} characters, came {len(source)}")
    scheme = _SCHEME.match(source.strip())
    if scheme and scheme[1].lower() != "s3":
        raise DataInvalid(
            f"source: expected files, s3:// or a SELECT; {scheme[1]}:// is none of these"
        )
