"""Files as a source: Parquet, CSV and JSON lines, on this machine or on S3, through pyarrow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

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
from modelsync.data.text_files import TextFile
from modelsync.data.typed_columns import is_coded
from modelsync.errors import DataInvalid
from modelsync.settings import Settings

BUFFER = 1024**2
"""Bytes of each column of a Parquet file that are read at a time."""

SMALL = 4 * 1024**2
"""Bytes of a batch for a check, which holds it in several forms."""

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
        self.columns = self._unified(schemas)
        self.schema = wanted.choose(self.columns, self._files[0].name)

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
        self._wanted.require(self.columns, self._files[0].name)
        for file in self._files:
            with self._reading(file):
                read = self._read(file, skip)
                rows = yield from shaped(read, self.schema, self._wanted, skip, file.name)
            skip = max(0, skip - rows)

    def raw(self) -> Iterator[pa.RecordBatch]:
        """Read all rows, as `DataSource.raw` says."""
        for file in self._files:
            with self._reading(file):
                for _, batch in self._read(file, 0, SMALL):
                    yield self._chosen(batch, file)

    def _chosen(self, batch: pa.RecordBatch, file: DataFile) -> pa.RecordBatch:
        for name in self.schema.names:
            if name not in batch.schema.names:
                raise DataInvalid(unknown_column(name, batch.schema.names, file.name))
        return batch.select(self.schema.names)

    def _read(
        self, file: DataFile, skip: int, size: int = 0
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read a file: row numbers, and batches with the columns of its partition.

        `size`: bytes of a batch of Parquet, about; 0 for those of a model.
        """
        is_parquet = self._format == "parquet"
        read = self._read_parquet(file, skip, size) if is_parquet else self._read_text(file)
        for row, batch in read:
            yield row, self._partitions.fill(batch, file.name)

    # --- their columns ----------------------------------------------------------------------------

    def _schema_of(self, file: DataFile) -> pa.Schema:
        """Return the columns of a file. Raises DataInvalid if it cannot be read."""
        with self._reading(file):
            if self._format == "parquet":
                schema = parquet.read_schema(file.path, filesystem=file.filesystem)
            else:
                schema = TextFile(file, self._format).schema()
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
            if self._wanted.rules:  # which say what the types must be
                seen = {field.name: field for schema in reversed(schemas) for field in schema}
                return pa.schema([seen[name] for name in dict.fromkeys(schemas[0].names)])
            raise DataInvalid(
                f"source: the files differ in the type of a column: {first_line(error)}"
            ) from None

    def _needed(self, schema: pa.Schema) -> set[str]:
        wanted = self._wanted
        if wanted.rules and not wanted.columns:
            return {*wanted.target, *(one.name for one in wanted.known)}
        return {*wanted.target, *(wanted.columns or schema.names)}

    # --- reading one file -------------------------------------------------------------------------

    def _parquet(self, file: DataFile) -> parquet.ParquetFile:
        coded = [one.name for one in self._wanted.known if is_coded(one)]
        return parquet.ParquetFile(
            file.path,
            filesystem=file.filesystem,
            buffer_size=BUFFER,
            pre_buffer=False,
            read_dictionary=coded,
        )

    def _read_parquet(
        self, file: DataFile, skip: int, size: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
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
            rows = rows_for(sample, size)
            for batch in opened.iter_batches(rows, chosen, names, use_threads=False):
                yield row, batch
                row += batch.num_rows

    def _read_text(self, file: DataFile) -> Iterator[tuple[int, pa.RecordBatch]]:
        rules = {one.name: one for one in self._wanted.known}
        if not rules:
            types = self._partitions.within(self.schema)
        else:  # a column that is not used is never in the way
            chosen = {one.name: one.type for one in self.schema}
            kinds = [(name, chosen.get(name, pa.string())) for name in self.columns.names]
            types = self._partitions.within(pa.schema(kinds))
        return TextFile(file, self._format).batches(types, rules)

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
