"""Hive partitions: columns whose values stand in the names of folders, as Spark and pandas write
them: `year=2024/kind=a/part-0.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

import pyarrow as pa

NULL = "__HIVE_DEFAULT_PARTITION__"


class Partitions:
    """The partitions of the files with these names; a column of whole numbers is one of numbers."""

    def __init__(self, names: Sequence[str]) -> None:
        values = [_values(name) for name in names]
        columns = dict.fromkeys(key for one in values for key in one)
        self._kinds = {
            key: pa.int64() if all(_is_whole(one.get(key)) for one in values) else pa.string()
            for key in columns
        }

    def extend(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns of a file, and after them those of the partitions."""
        for key, kind in self._kinds.items():
            if key not in schema.names:
                schema = schema.append(pa.field(key, kind))
        return schema

    def within(self, schema: pa.Schema) -> pa.Schema:
        """Return only the columns that stand in the files."""
        return pa.schema([field for field in schema if field.name not in self._kinds])

    def fill(self, batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
        """Add the columns of the partitions to rows of the file with this name."""
        values = _values(name)
        for key, kind in self._kinds.items():
            if key not in batch.schema.names:
                value = values.get(key)
                known = int(value) if value is not None and kind == pa.int64() else value
                batch = batch.append_column(key, pa.repeat(pa.scalar(known, kind), batch.num_rows))
        return batch


def _values(name: str) -> dict[str, str | None]:
    parts = [part.partition("=") for part in PurePosixPath(name).parent.parts if "=" in part]
    return {key: None if value == NULL else unquote(value) for key, _, value in parts if key}


def _is_whole(value: str | None) -> bool:
    return value is None or (value.isascii() and value.isdigit() and str(int(value)) == value)
