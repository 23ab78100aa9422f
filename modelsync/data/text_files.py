"""Files of lines, CSV and JSON, through pyarrow: in blocks, in types that are told or inferred."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, json

from modelsync.data.data_files import DataFile, Format
from modelsync.data.typed_columns import is_coded
from modelsync.models.data_schema import ColumnRule, ColumnType

BLOCK = 2 * 1024**2
"""Bytes of a file of lines that are parsed at a time, which takes ten times as much memory; types
are inferred from the first ones.
"""

SMALL_BLOCK = 512 * 1024
"""Bytes where all types are known: it takes less memory."""

HEAD = 64 * 1024
"""Bytes from which the form of a CSV file is told."""

SEPARATORS = ",;\t|"

READ_AS: Mapping[Format, dict[ColumnType, pa.DataType]] = {
    "csv": {"int": pa.int64(), "float": pa.float64()},
    "json": {"float": pa.float64(), "str": pa.string()},
}
"""The types in which columns with a rule are read. In CSV all others are texts: what a text means
its rule says, and 01234 stays as it is.
"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of a CSV file: what stands between its columns, and before decimals."""

    separator: str = ","
    decimal: str = "."

    @classmethod
    def of(cls, file: DataFile, format: Format) -> Dialect:
        """Tell the form of a file by its first lines."""
        with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
            head = bytes(stream.read(HEAD)).decode("utf-8", "replace")
        line = re.sub(r'"[^"]*"', "", head.partition("\n")[0])
        separator = "\t" if format == "tsv" else max(SEPARATORS, key=line.count)
        return cls(separator, "," if separator != "," and _has_commas(head, separator) else ".")


def _has_commas(head: str, separator: str) -> bool:
    """Return whether numbers have decimal commas and no points."""
    edge = re.escape(separator)
    number = rf'(?:^|{edge})"?-?\d+{{}}\d+"?(?={edge}|\r?$)'
    return bool(re.search(number.format(","), head, re.M)) and not re.search(
        number.format(r"\."), head, re.M
    )


class TextFile:
    """One file of lines. `format` is `csv`, `tsv` or `json`."""

    def __init__(self, file: DataFile, format: Format) -> None:
        self._file = file
        self._format = format
        self._dialect = Dialect() if format == "json" else Dialect.of(file, format)

    def schema(self) -> pa.Schema:
        """Return its columns, with the types that its first lines have."""
        file = self._file
        with file.filesystem.open_input_stream(file.path, compression="detect") as stream:
            first = stream.read(2 * BLOCK)  # a reader of the whole file reads 32 blocks ahead
        with self._opened(pa.BufferReader(first), None, BLOCK) as reader:
            return reader.schema

    def batches(
        self, types: pa.Schema, rules: Mapping[str, ColumnRule]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read the whole file, since nothing tells where a row begins: row numbers, and batches.

        `types`: those of columns without one of the `rules`. A column whose values are not of the
        type of its rule goes on as texts.
        """
        row = 0
        try:
            size = SMALL_BLOCK if rules else BLOCK
            for batch in self._read(self._typed(types, rules, strict=True), size):
                yield row, batch
                row += batch.num_rows
        except pa.ArrowInvalid:
            if not rules:
                raise
            yield from self._from(row, self._typed(types, rules, strict=False), rules)

    def _typed(
        self, types: pa.Schema, rules: Mapping[str, ColumnRule], *, strict: bool
    ) -> pa.Schema:
        """Return the types in which columns are read; those of JSON that are left out it tells."""
        is_json = self._format == "json"
        known = READ_AS["json" if is_json else "csv"] if strict else {}
        fields = []
        for field in types:
            kind = field.type
            if rule := rules.get(field.name):
                kind = known.get(rule.type) or (None if is_json else _text(rule))
            if kind is not None:
                fields.append((field.name, kind))
        return pa.schema(fields)

    def _from(
        self, row: int, types: pa.Schema, rules: Mapping[str, ColumnRule]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Read the rows from one on, with texts for the columns that have rules."""
        start = 0
        for batch in self._read(types, SMALL_BLOCK):
            end = start + batch.num_rows
            if end > row:
                first = max(start, row)
                yield first, self._pointed(batch.slice(first - start), rules)
            start = end

    def _pointed(self, batch: pa.RecordBatch, rules: Mapping[str, ColumnRule]) -> pa.RecordBatch:
        """Return rows whose numbers, which are texts, have decimal points."""
        if self._dialect.decimal == ".":
            return batch
        columns = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            rule = rules.get(name)
            if rule and rule.type == "float" and pa.types.is_string(column.type):
                column = pc.replace_substring(column, ",", ".")
            columns.append(column)
        return pa.record_batch(columns, names=batch.schema.names)

    def _read(self, types: pa.Schema, block: int) -> Iterator[pa.RecordBatch]:
        with self._lines(types, block) as reader:
            yield from reader

    @contextmanager
    def _lines(self, types: pa.Schema | None, block: int) -> Iterator[Any]:
        """Open the file; columns without a type in `types` get the one of the first lines."""
        file = self._file
        with (
            file.filesystem.open_input_stream(file.path, compression="detect") as stream,
            self._opened(stream, types, block) as reader,
        ):
            yield reader

    def _opened(self, stream: Any, types: pa.Schema | None, block: int) -> Any:
        return (_json if self._format == "json" else self._csv)(stream, types, block)

    def _csv(self, stream: Any, types: pa.Schema | None, block: int) -> Any:
        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(block_size=block, use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter=self._dialect.separator, newlines_in_values=True
            ),
            convert_options=csv.ConvertOptions(
                column_types=types,
                strings_can_be_null=True,
                timestamp_parsers=[csv.ISO8601],
                decimal_point=self._dialect.decimal,
            ),
        )


def _text(rule: ColumnRule) -> pa.DataType:
    """Return the type of texts: with few distinct values each is parsed and checked once."""
    return pa.dictionary(pa.int32(), pa.string()) if is_coded(rule) else pa.string()


def _json(stream: Any, types: pa.Schema | None, block: int) -> Any:
    return json.open_json(
        stream,
        read_options=json.ReadOptions(block_size=block, use_threads=False),
        parse_options=json.ParseOptions(explicit_schema=types),
    )
