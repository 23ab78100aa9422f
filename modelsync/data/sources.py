"""Sources: training data that a job reads itself, in record batches, so that it may be larger than
memory.

`examine` finds what a text names, before a job is made of it and again in the job:

    data/*.parquet, data/2024, a.csv.gz     files in the model's folder, else in MODELSYNC_DATA
    s3://bucket/key*                        objects, with the S3 settings of the store
    SELECT ... , WITH ...                   a query on MODELSYNC_DATA_URL, else on the store's
                                            PostgreSQL, in a transaction that only reads
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from modelsync.errors import DataInvalid
from modelsync.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_QUERY = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with)\s", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

MAX_SOURCE = 20_000
"""Characters of a source: a query may be long."""


class DataSource(Protocol):
    """Training data of one job.

    `target`: the columns that are y. `resumable`: it has the same rows in the same order each time,
    while its `digest` is the same; so a job may go on where another was killed. `tells_changes`:
    its `digest` changes with the data; else the same source asked for again is fitted again.
    """

    target: tuple[str, ...]
    resumable: bool
    tells_changes: bool

    @property
    def digest(self) -> str:
        """Return a digest, in hex, that changes if the data has changed, as far as one can see."""

    @property
    def rows(self) -> int | None:
        """Return how many rows it has; None if that takes reading them."""

    @property
    def schema(self) -> pa.Schema:
        """Return the columns of its batches."""

    def batches(self, skip: int = 0) -> Iterator[pa.RecordBatch]:
        """Read all rows but the first `skip`; each batch holds about `BATCH_BYTES`.

        Raises DataInvalid, and StoreUnavailable if its server does not answer.
        """


def examine(
    source: str,
    target: str | Sequence[str],
    columns: Sequence[str] = (),
    *,
    folder: Path,
    settings: Settings,
) -> DataSource:
    """Find the data, and check its columns without reading all of it.

    `folder` is the model's. `target` names the column that is y, or several; with none y is None.
    `columns` are those of x in their order; all others without it. Raises DataInvalid, which says
    what was expected and what came, and StoreUnavailable.
    """
    targets = (target,) if isinstance(target, str) and target else tuple(target)
    _check(source, targets, columns)
    from modelsync.data.record_batches import Wanted  # it imports pyarrow

    wanted = Wanted(tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(targets)))
    if _QUERY.match(source):
        from modelsync.data.query_source import QuerySource

        return QuerySource(source, wanted, settings)
    from modelsync.data.file_source import FileSource

    return FileSource(source.strip(), wanted, folder, settings)


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
