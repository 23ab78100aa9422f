"""The training data of a request as a source of one batch, which a check reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from modelsync.models.data_schema import DataSchema
from modelsync.models.tables.bodies import TrainingData
from modelsync.models.tables.table import Table


class BodySource:
    """The columns of x and y; those without names have the names of the schema, in its order."""

    name = "the data of the request"

    def __init__(self, data: TrainingData, schema: DataSchema) -> None:
        values = _named(data.x, [one.name for one in schema.features])
        if data.y is not None:
            values |= _named(data.y, [one.name for one in schema.targets])
        known = [one.name for one in schema.columns]
        names = [one for one in known if one in values] + [
            one for one in values if one not in known
        ]
        self._batch = pa.record_batch([_array(values[one]) for one in names], names=names)

    @property
    def columns(self) -> pa.Schema:
        """Return all columns, in the types of their values."""
        return self._batch.schema

    def raw(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows."""
        yield self._batch


def _named(table: Table, names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the columns of a table by name."""
    if table.named or len(table) != len(names):
        return dict(table)
    return dict(zip(names, table.values(), strict=True))


def _array(values: Sequence[Any]) -> pa.Array:
    """Return values as an array; those of several types as texts."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([one if one is None else str(one) for one in values], pa.string())
