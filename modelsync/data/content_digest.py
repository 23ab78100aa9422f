"""The digest of rows: the same for the same rows in the same order, however they are batched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc


class ContentDigest:
    """Takes the digest of columns as their parts come.

    A column is hashed by itself, and its missing values apart from the others: of a part that goes
    over a border of batches only the bytes count.
    """

    def __init__(self) -> None:
        self._columns: dict[str, _ColumnDigest] = {}
        self._rows = 0

    def add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        """Add rows, as columns by name; the columns are those of the first call."""
        self._rows += rows
        for name, values in columns.items():
            if name not in self._columns:
                self._columns[name] = _ColumnDigest()
            self._columns[name].add(values)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far, in hex."""
        found = [(name, one.digest()) for name, one in sorted(self._columns.items())]
        return hashlib.sha256(repr((self._rows, found)).encode()).hexdigest()


class _ColumnDigest:
    """The digests of one column: of its bytes, of their lengths, of which values are missing."""

    def __init__(self) -> None:
        self._content = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._missing = hashlib.sha256()
        self._rows = 0

    def digest(self) -> bytes:
        """Return the digest of all values so far."""
        return b"".join(one.digest() for one in (self._content, self._lengths, self._missing))

    def add(self, values: pa.Array) -> None:
        """Add values, the same bytes for the same ones."""
        if values.null_count:
            places = pc.add(pc.indices_nonzero(pc.is_null(values)).cast(pa.int64()), self._rows)
            self._missing.update(places.to_numpy())
        self._rows += len(values)
        values = _plain(values)
        if pa.types.is_string(values.type):
            values = pc.fill_null(values, "") if values.null_count else values
            self._lengths.update(pc.binary_length(values).to_numpy())
            self._content.update(_text(values))
        else:
            values = pc.fill_null(values, 0) if values.null_count else values
            self._content.update(values.to_numpy(zero_copy_only=False))


def _plain(values: pa.Array) -> pa.Array:
    """Return values as numbers or texts."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _plain(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        return values.cast(pa.uint8())
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        return values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind):
        return values
    if pa.types.is_null(kind):
        return values.cast(pa.string())
    return pa.array([one if one is None else repr(one) for one in values.to_pylist()], pa.string())


def _text(values: pa.Array) -> memoryview:
    """Return the bytes of texts, one after the other."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return memoryview(b"")
    bounds = memoryview(offsets).cast("i")
    return memoryview(data)[bounds[values.offset] : bounds[values.offset + len(values)]]
