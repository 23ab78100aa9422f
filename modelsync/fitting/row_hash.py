"""Hashes of rows, the same for the same values on any machine, with numpy and pyarrow alone.

By its hash a row is held out or not. So it stays on its side however many rows come before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

SEED = 0x9E3779B97F4A7C15
"""The constant of SplitMix64 (Steele et al., 2014), whose mixing function this is."""

_MISSING = 0x6D697373696E67
_MASK = (1 << 64) - 1


def hashes(batch: Any) -> Any:
    """Return a hash of each row of an Arrow batch or table, as an array of uint64 of shape (rows,).

    Numbers of the same value have the same hash, whatever their type.
    """
    import numpy as np

    total = np.full(batch.num_rows, SEED, np.uint64)
    for column in batch.columns:
        total = _mixed(total * np.uint64(31) + _of_column(column))
    return total


def distinct(batch: Any) -> Any:
    """Return hashes that differ for rows of the same values too: by how many came before."""
    import numpy as np

    found = hashes(batch)
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    begins = np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]
    places = np.arange(len(ordered), dtype=np.uint64)
    twins = np.empty_like(found)
    twins[order] = places - np.maximum.accumulate(np.where(begins, places, np.uint64(0)))
    return _mixed(found + twins * np.uint64(SEED))


def fingerprint(batches: Iterable[Any]) -> str:
    """Return a digest of the rows of some batches, in hex, whatever their order."""
    import numpy as np

    rows, total, names = 0, 0, ""
    for batch in batches:
        names = names or repr(batch.schema.names)
        rows += batch.num_rows
        total = (total + int(hashes(batch).sum(dtype=np.uint64))) & _MASK
    return hashlib.sha256(f"{names} {rows} {total}".encode()).hexdigest()


def _of_column(column: Any) -> Any:
    """Return a hash of each value of an Arrow array."""
    import numpy as np
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    found = _bits(column)
    return np.where(missing, np.uint64(_MISSING), found)


def _bits(column: Any) -> Any:
    """Return 64 bits that tell one value from another; any for a value that is missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy()
        bits = (numbers + 0.0).view(np.uint64)  # 0.0, because -0.0 equals it
        if kind.bit_width == 64 and pa.types.is_integer(kind):
            whole = pc.fill_null(column.cast(pa.int64(), safe=False), 0).to_numpy()
            bits = bits + (whole - numbers.astype(np.int64)).view(np.uint64)  # beyond 53 bits
        return _mixed(bits)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        wide = column.cast(pa.int64() if kind.bit_width == 64 else pa.int32(), safe=False)
        return _mixed(pc.fill_null(wide, 0).to_numpy().astype(np.int64).view(np.uint64))
    if pa.types.is_nested(kind) or not hasattr(column, "dictionary_encode"):
        column = pa.array([None if one is None else repr(one) for one in column.to_pylist()])
    coded = column.dictionary_encode()
    known = np.array([_of_bytes(one) for one in coded.dictionary.to_pylist()] or [0], np.uint64)
    return known[pc.fill_null(coded.indices, 0).to_numpy()]


def _of_bytes(value: Any) -> int:
    raw = value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def _mixed(numbers: Any) -> Any:
    """Spread each bit over all others: the finalizer of SplitMix64."""
    import numpy as np

    numbers = numbers ^ (numbers >> np.uint64(30))
    numbers = numbers * np.uint64(0xBF58476D1CE4E5B9)
    numbers = numbers ^ (numbers >> np.uint64(27))
    numbers = numbers * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
