"""Files as a source: Parquet, CSV and JSON lines, on this machine or on S3, through pyarrow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, json, parquet

from modelsync.data.data_files import DataFile, DataFiles, s3_failure
from modelsync.data.partitions import Partitions
from modelsync.data.record_batches import (
    Wanted,
    first_line,
    refuse_twins,
    rows_for,
    shaped,
    unknown_column,
)
from modelsync.errors import DataInvalid
from modelsync.settings import Settings

BLOCK = 2 * 1024**2
"""Bytes of a file of lines that are parsed at a time, which takes ten times as much memory; types
are inferred from the first ones.
"""

BUFFER = 1024**2
"""Bytes of each column of a Parquet file that are read at a time."""

EXAMINED = 20
"""Files whose columns are looked at before a job starts; the others when their turn comes."""

COUNTED = 1000
"""Parquet files whose rows are counted in advance."""

SAMPLE = 1000
"""Rows from which the size of a row is estimated."""


class FileSource:
    """All rows of some files of one format, file by file in the order of their names."""

    resumable = True
    tells_changes = True
    tells_rows = False

    def __init__(self, source: str, wanted: Wanted, folder: Path, settings: Settings) -> None:
        """Find the files and compare their columns. Raises DataInvalid and StoreUnavailable."""
        found = DataFiles.find(source, folder, settings.training.data, settings.store)
        self.text = self.name = source
        self._files, self._format = found.files, found.format
        self._wanted = wanted
        self.target = wanted.target
        self._partitions = Partitions([file.name for file in self._files])
        schemas = [self._schema_of(file) for file in self._files[:EXAMINED]]
        self.schema = wanted.choose(self._unified(schemas), self._files[0].name)

    @property
    def digest(self) -> str:
        """Return the digest of the names, sizes and times of the files, and of the columns."""
        facts = [(one.name, one.size, one.changed) for one in self._files]
        return hashlib.sha256(repr((facts, self._wanted)).encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return the digest of the names, sizes and times of the files."""
        return self.digest

    @cached_property
    def rows(self) -> int | None:
        """Return how many rows Parquet files have; None for others, whose rows nothing counts."""
        if self._format != "parquet" or len(self._files) > COUNTED:
            return None
        total = 0
        for file in self._files:
            with self._reading(file), self._parquet(file) as opened:
                total += opened.metadata.num_rows
        return total

    def batches(self, skip: int = 0) -> Iterator[pa.RecordBatch]:
        """Read all rows but the first `skip`, as `DataSource.batches` says."""
        read = self._read_parquet if self._format == "parquet" else self._read_text
        for file in self._files:
            with self._reading(file):
                pairs = (
                    (row, self._partitions.fill(batch, file.name))
                    for row, batch in read(file, skip)
                )
                rows = yield from shaped(pairs, self.schema, self.target, skip, file.name)
            skip = max(0, skip - rows)

    # --- their columns ----------------------------------------------------------------------------

    def _schema_of(self, file: DataFile) -> pa.Schema:
        """Return the columns of a file. Raises DataInvalid if it cannot be read."""
        with self._reading(file):
            if self._format == "parquet":
                schema = parquet.read_schema(file.path, filesystem=file.filesystem)
            else:
                with self._lines(file) as reader:
                    schema = reader.schema
        schema = self._partitions.extend(schema)
        refuse_twins(schema, file.name)
        binary = [field.name for field in schema if pa.types.is_binary(field.type)]
        if binary and self._format != "parquet":
            why = "is no text in UTF-8: save the file with that encoding"
            raise DataInvalid(f"source: {file.name}: column {binary[0]!r} {why}")
        return schema

    def _unified(self, schemas: list[pa.Schema]) -> pa.Schema:
        """Return the schema of all files, whose columns may stand in another order.

        A column that has numbers of several types gets the widest one.
        """
        first = self._files[0].name
        for file, schema in zip(self._files, schemas, strict=False):
            for name in schemas[0].names:
                if name in self._needed(schemas[0]) and name not in schema.names:
                    raise DataInvalid(
                        f"{unknown_column(name, schema.names, file.name)}; {first} has it"
                    )
        try:
            return pa.unify_schemas(schemas, promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise DataInvalid(
                f"source: the files differ in the type of a column: {first_line(error)}"
            ) from None

    def _needed(self, schema: pa.Schema) -> set[str]:
        return {*self._wanted.target, *(self._wanted.columns or schema.names)}

    # --- reading one file -------------------------------------------------------------------------

    def _parquet(self, file: DataFile) -> parquet.ParquetFile:
        return parquet.ParquetFile(
            file.path, filesystem=file.filesystem, buffer_size=BUFFER, pre_buffer=False
        )

    def _read_parquet(self, file: DataFile, skip: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read the row groups from the one with row `skip` on: row numbers, and batches."""
        with self._parquet(file) as opened:
            held = self._partitions.extend(opened.schema_arrow).names
            if lacking := [name for name in self.schema.names if name not in held]:
                raise DataInvalid(unknown_column(lacking[0], held, file.name))
            names = [name for name in self.schema.names if name in opened.schema_arrow.names]
            groups = [
                opened.metadata.row_group(index).num_rows
                for index in range(opened.metadata.num_row_groups)
            ]
            row, first = 0, 0
            while first < len(groups) and row + groups[first] <= skip:
                row += groups[first]
                first += 1
            chosen = list(range(first, len(groups)))
            sample = next(opened.iter_batches(SAMPLE, chosen, names, use_threads=False), None)
            if not chosen or sample is None:
                yield row, pa.RecordBatch.from_pylist([], self.schema)
                return
            for batch in opened.iter_batches(rows_for(sample), chosen, names, use_threads=False):
                yield row, batch
                row += batch.num_rows

    def _read_text(self, file: DataFile, skip: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read a whole file of lines, since nothing tells where row `skip` begins."""
        row = 0
        with self._lines(file, self._partitions.within(self.schema)) as reader:
            for batch in reader:
                yield row, batch
                row += batch.num_rows

    @contextmanager
    def _lines(self, file: DataFile, schema: pa.Schema | None = None) -> Iterator[Any]:
        """Open a file of lines for batches; the types are those of `schema`, inferred without."""
        with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
            reader = (_json if self._format == "json" else _csv)(stream, self._format, schema)
            with reader:
                yield reader

    @contextmanager
    def _reading(self, file: DataFile) -> Iterator[None]:
        """Turn pyarrow's errors into ours."""
        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataInvalid(
                f"source: {file.name} cannot be read: {_plain(error, file)}"
            ) from None
        except OSError as error:
            if "://" in file.name:
                raise s3_failure(error, file.name) from None
            raise DataInvalid(
                f"source: {file.name} cannot be read: {_plain(error, file)}"
            ) from None


def _plain(error: BaseException, file: DataFile) -> str:
    """Return a message without the path of this machine."""
    return first_line(error).replace(file.path, file.name)


def _json(stream: Any, name: str, schema: pa.Schema | None) -> Any:
    return json.open_json(
        stream,
        read_options=json.ReadOptions(block_size=BLOCK, use_threads=False),
        parse_options=json.ParseOptions(explicit_schema=schema),
    )


def _csv(stream: Any, name: str, schema: pa.Schema | None) -> Any:
    return csv.open_csv(
        stream,
        read_options=csv.ReadOptions(block_size=BLOCK, use_threads=False),
        parse_options=csv.ParseOptions(
            delimiter="\t" if name == "tsv" else ",", newlines_in_values=True
        ),
        convert_options=csv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, timestamp_parsers=[csv.ISO8601]
        ),
    )
