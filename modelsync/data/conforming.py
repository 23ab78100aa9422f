"""Brings rows into the columns and types of `schema.yml`, in which models get them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.column_rules import absent, of_type, scalar
from modelsync.data.typed_columns import typed
from modelsync.errors import DataInvalid
from modelsync.models.data_schema import ColumnRule, DataSchema


def conform(
    batch: pa.RecordBatch, schema: DataSchema, *, place: str = "the data", row: int = 0
) -> pa.RecordBatch:
    """Return the columns of the schema alone, in its order and types, with missing values filled.

    `place` and `row`, the number of the first one from 0, are for messages. Raises DataInvalid if a
    column is missing, or a value is not of its type.
    """
    columns = []
    for rule in schema.columns:
        index = batch.schema.get_field_index(rule.name)
        if index < 0:
            raise DataInvalid(f"{place} has no column {rule.name!r}, which schema.yml names")
        columns.append(conformed(batch.column(index), rule, place=place, row=row))
    return pa.record_batch(columns, names=[one.name for one in schema.columns])


def conformed(
    column: pa.Array, rule: ColumnRule, *, place: str = "the data", row: int = 0
) -> pa.Array:
    """Return one column as `conform` does. Raises DataInvalid."""
    found = typed(column, rule)
    if found.unfit is not None:
        at = pc.index(found.unfit, True).as_py()
        raise DataInvalid(
            f"{place}: column {rule.name!r}: expected {of_type(rule)[1]}, as schema.yml says, "
            f"came {column[at].as_py()!r:.80} in row {row + at:,}"
        )
    values = found.values
    if rule.type == "str" and pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return filled(values, rule)


def filled(values: pa.Array, rule: ColumnRule) -> pa.Array:
    """Return a column in its type with the fill value in place of those that are missing."""
    if (empty := absent(values, rule)) is not None:
        values = pc.if_else(empty, None, values)
    if rule.fill is None or not values.null_count:
        return values
    if not pa.types.is_dictionary(values.type):
        return pc.fill_null(values, scalar(rule, rule.fill).cast(values.type))
    known = values.dictionary
    place = known.index(scalar(rule, rule.fill).cast(known.type)).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(pc.fill_null(values.indices, place), known)
