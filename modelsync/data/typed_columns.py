"""Columns of Arrow in the types of `schema.yml`: the values that a request has, in columns.

What Arrow converts in the same way, it converts. Any other value is converted as one of a request
is, each distinct one once, so that a model sees the same in training and in serving.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.models.data_schema import ColumnRule, ColumnType
from modelsync.models.schemas.conversions import HIGHEST, LOWEST, Unfit, converter

ARROW: dict[ColumnType, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "datetime": pa.timestamp("us"),
}


class Typed(NamedTuple):
    """A column in its type. `unfit`: which rows have a value that is not of it, None for no row;
    they are missing in `values`.
    """

    values: pa.Array
    unfit: pa.Array | None = None


def arrow_type(rule: ColumnRule, came: pa.DataType) -> pa.DataType:
    """Return the type that a column gets. `came`: that in which it is read.

    Categories of which all values are known are a dictionary of these, the same in each batch;
    others are their values, because each batch would number them anew.
    """
    if rule.type != "category":
        return ARROW[rule.type]
    if rule.allowed:
        return pa.dictionary(pa.int32(), members(rule).type)
    if pa.types.is_dictionary(came):
        return arrow_type(rule, came.value_type)
    return _of_values(came)


def _of_values(came: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(came):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(came) else pa.string()


def is_coded(rule: ColumnRule) -> bool:
    """Return whether a column of texts is best read as a dictionary: it has few distinct values."""
    return rule.type == "category" or (rule.type == "str" and bool(rule.allowed))


def members(rule: ColumnRule) -> pa.Array:
    """Return the values of a category, with the one that takes the place of a missing value."""
    values = list(rule.allowed)
    if rule.fill is not None and rule.fill not in values:
        values.append(rule.fill)
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # a fill of another type
        return pa.array(list(map(str, values)))


def typed(column: pa.Array, rule: ColumnRule) -> Typed:
    """Return a column in the type of its rule, texts also as a dictionary. NaN is missing."""
    if pa.types.is_dictionary(column.type):
        if rule.type == "str" and pa.types.is_string(column.type.value_type):
            return Typed(column)
        if len(column.dictionary) <= len(column):
            return _of_dictionary(column, rule)
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    wanted = arrow_type(rule, column.type)
    if pa.types.is_null(column.type):
        return Typed(pa.nulls(len(column), wanted))
    if rule.type == "str" and column.type != wanted:  # 1234 may have been the text 01234
        return Typed(pa.nulls(len(column), wanted), pc.is_valid(column))
    found = _by_arrow(column, rule, wanted)
    return found if found is not None else _by_value(column, rule, wanted)


def _of_dictionary(column: pa.DictionaryArray, rule: ColumnRule) -> Typed:
    """Convert each distinct value once."""
    found = typed(column.dictionary, rule)
    values = found.values.take(column.indices)
    if found.unfit is None:
        return Typed(values)
    unfit = pc.fill_null(found.unfit.take(column.indices), False)
    return Typed(values, unfit) if pc.any(unfit).as_py() else Typed(values)


# --- what Arrow converts --------------------------------------------------------------------------


def _by_arrow(column: pa.Array, rule: ColumnRule, wanted: pa.DataType) -> Typed | None:
    """Convert a whole column at once; None if not all of it can be."""
    if pa.types.is_dictionary(wanted):
        return _coded(column, rule, wanted)
    if column.type == wanted:
        return _finite(column) if pa.types.is_floating(wanted) else Typed(column)
    if rule.format or not _is_alike(column.type, wanted):
        return None
    if pa.types.is_floating(column.type):
        column = _without_nan(column)
    exact = pa.types.is_integer(wanted) or pa.types.is_string(column.type)
    try:
        made = column.cast(wanted, safe=exact)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return _finite(made) if pa.types.is_floating(wanted) else Typed(made)


def _is_alike(came: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether Arrow's conversion is that of a request."""
    kinds = pa.types
    if kinds.is_string(came):
        return not (kinds.is_boolean(wanted) or kinds.is_time(wanted))
    if kinds.is_integer(came) or kinds.is_floating(came) or kinds.is_decimal(came):
        return bool(kinds.is_integer(wanted) or kinds.is_floating(wanted))
    if kinds.is_timestamp(came):
        return bool(kinds.is_timestamp(wanted))  # one with a zone is held in UTC
    if kinds.is_date(came):
        return bool(kinds.is_date(wanted) or kinds.is_timestamp(wanted))
    return bool(kinds.is_time(came) and kinds.is_time(wanted))


def _finite(column: pa.Array) -> Typed:
    """Return floats without NaN, which is missing, and without infinity, which does not fit."""
    column = _without_nan(column)
    if pc.all(pc.is_finite(column)).as_py() is not False:
        return Typed(column)
    infinite = pc.fill_null(pc.is_inf(column), False)
    return Typed(pc.if_else(infinite, None, column), infinite)


def _without_nan(column: pa.Array) -> pa.Array:
    nan = pc.is_nan(column)
    return pc.if_else(nan, None, column) if pc.any(nan).as_py() else column


def _coded(column: pa.Array, rule: ColumnRule, wanted: pa.DataType) -> Typed | None:
    """Return texts or numbers as places in the list of those that are allowed."""
    known = members(rule)
    if column.type != known.type:
        if not (pa.types.is_integer(column.type) and pa.types.is_integer(known.type)):
            return None
        column = column.cast(known.type)
    places = pc.index_in(column, value_set=known)
    made = pa.DictionaryArray.from_arrays(places, known)
    if places.null_count == column.null_count:
        return Typed(made)
    unfit = pc.and_(pc.is_null(places), pc.is_valid(column))
    if pa.types.is_string(column.type) and pc.any(pc.and_(unfit, pc.equal(column, ""))).as_py():
        return None
    return Typed(made, unfit)


# --- value by value -------------------------------------------------------------------------------


def _by_value(column: pa.Array, rule: ColumnRule, wanted: pa.DataType) -> Typed:
    """Convert each distinct value as that of a request."""
    try:
        coded = column.dictionary_encode()
        distinct, places = coded.dictionary.to_pylist(), coded.indices
    except (pa.ArrowNotImplementedError, AttributeError):  # of lists and objects
        distinct, places = column.to_pylist(), pa.array(range(len(column)), pa.int32())
    convert = converter(rule)
    values: list[Any] = []
    unfit: list[bool] = []
    for value in distinct:
        try:
            found = convert(value)
            bad = isinstance(found, int) and not LOWEST <= found <= HIGHEST
        except (Unfit, TypeError):
            found, bad = None, True
        values.append(None if bad else found)
        unfit.append(bad and value is not None)
    made = _array(values, rule, wanted).take(places)
    if not any(unfit):
        return Typed(made)
    return Typed(made, pc.fill_null(pa.array(unfit, pa.bool_()).take(places), False))


def _array(values: list[Any], rule: ColumnRule, wanted: pa.DataType) -> pa.Array:
    """Return values that are converted as an array of a type."""
    kind = wanted.value_type if pa.types.is_dictionary(wanted) else wanted
    if pa.types.is_string(kind):
        values = [value if value is None else str(value) for value in values]
    made = pa.array(values, kind)
    if kind == wanted:
        return made
    known = members(rule)
    return pa.DictionaryArray.from_arrays(pc.index_in(made, value_set=known), known)
