"""Reads the inputs of an estimator off its attributes: names, types, and whether it takes an array.

An array of shape (rows, inputs) is made where the estimator computes with numbers only, as most do:
a DataFrame costs more time than many estimators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from modelsync.models.artefacts import boosting, data_frame_mapper, gathering, rows
from modelsync.models.artefacts.column_kinds import NUMBER, UNKNOWN, ColumnKind, merged
from modelsync.models.artefacts.format import Features
from modelsync.models.artefacts.gathering import Alike
from modelsync.models.artefacts.input_kinds import kinds
from modelsync.models.artefacts.rows import Number, Scalar
from modelsync.models.artefacts.steps import is_plain, nameless, tags, takes_numbers
from modelsync.models.binding.typehints import Call, Schema
from modelsync.models.tables import frames
from modelsync.models.tables.frames import is_numeric
from modelsync.models.tables.schema import TEXT
from modelsync.models.versions import Column, TableSchema


class Inputs(NamedTuple):
    """How the input of an estimator is made.

    `row` makes a row of `variables`, whose JSON schema is `schema`; `gather` makes of rows the
    array, DataFrame or list that the first of the `steps` takes. `features` are the columns of a
    table with several rows. `alike` returns of a row what those have in common that may be called
    together; None: all may. `kinds`: what each of these columns holds, and `form` whether `gather`
    makes an array or a DataFrame of them; None if rows are something else.
    """

    row: Call
    schema: Schema | None
    gather: Callable[[list[Any]], Any]
    steps: list[Any]
    features: Features
    alike: Alike | None = None
    kinds: tuple[ColumnKind, ...] = ()
    form: Literal["array", "frame"] | None = None


def read(steps: list[Any], table: TableSchema | None = None) -> Inputs:
    """Read the inputs of the first step, and simplify the steps if they all take arrays.

    `table`: the columns with which they were fitted, None if unknown.
    """
    found = _read(steps)
    return _by_table(table, found, steps) if table and table.form == "frame" else found


def _by_table(table: TableSchema, found: Inputs, steps: list[Any]) -> Inputs:
    """Make rows of the columns that an estimator was fitted with, of their types.

    They are an array if it computes with numbers only. The estimator need not know the columns: its
    first step may be of the folder, or `fit` has given it an array.
    """
    columns = {column.name: column for column in table.columns}
    names = set(found.features.names)
    is_named = found.features.given == "name" and names.issubset(columns)
    used = [one for name, one in columns.items() if not is_named or name in names]
    plain = found.gather is gathering.numbers and all(is_numeric(one.dtype) for one in used)
    if plain and is_named:
        return found
    known = dict(zip(columns, kinds(steps, list(columns)), strict=True)) if is_named else {}
    types = {one.name: _type_of(one, (known.get(one.name) or UNKNOWN).type) for one in used}
    features = Features(tuple(types))
    if plain:
        return Inputs(*rows.named(types), gathering.numbers, found.steps, features)

    def gather(values: list[Any]) -> Any:
        each = map(list, zip(*values, strict=True))
        return frames.build(dict(zip(types, each, strict=True)), used, "frame")

    return Inputs(*rows.named(types), gather, steps, features)


def _type_of(column: Column, known: Any) -> Any:
    """Return the type of a column's values: as the estimator says, unless its data said more."""
    if known in (Number, Number | None) and is_numeric(column.dtype):
        return known
    if column.dtype == "bool":
        return bool | None
    if is_numeric(column.dtype):
        return Number | None
    return str | None if column.dtype == TEXT else Scalar


def _read(steps: list[Any]) -> Inputs:
    """Read the inputs off the attributes of the first step alone."""
    first = steps[0]
    names, count = _names(first)
    if names is not None:
        found = dict(zip(names, kinds(steps, names), strict=True))
        return _by_name({name: kind for name, kind in found.items() if kind}, steps)
    if count is not None:
        return _by_place(count, steps)
    if data_frame_mapper.is_one(first):
        selected = _of_mapper(first, steps)
        if not data_frame_mapper.chooses(first):
            return _by_name(selected, steps)
        types = {name: kind.type for name, kind in selected.items()}
        features = Features(tuple(types), "all")
        return Inputs(*rows.at_least(types), gathering.records, steps, features)
    found_tags = tags(first)
    if found_tags and found_tags.dict:
        return Inputs(dict, None, list, steps, Features((), "all"))
    kind = str if found_tags and found_tags.string else Any
    return Inputs(*rows.whole(kind), list, steps, Features(("x",)))


def _names(first: Any) -> tuple[list[str] | None, int | None]:
    """Return the names of the columns, None if it has none, and their number, None if unknown."""
    if boosting.is_one(first):
        return boosting.names(first), boosting.count(first)
    found = getattr(first, "feature_names_in_", None)
    names = None if found is None else [str(name) for name in found]
    return names, getattr(first, "n_features_in_", None)


def _by_name(known: Mapping[str, ColumnKind], steps: list[Any]) -> Inputs:
    """Make rows of named values: an array if all steps compute with that, else a DataFrame."""
    row, schema = rows.named({name: kind.type for name, kind in known.items()})
    features = Features(tuple(known))
    each = tuple(known.values())
    if all(map(is_plain, steps)):
        # With their names they would warn that an array has none.
        plain = list(map(nameless, steps))
        return Inputs(row, schema, gathering.numbers, plain, features, None, each, "array")
    gather = gathering.frame(list(known), each)
    return Inputs(row, schema, gather, steps, features, gathering.alike(each), each, "frame")


def _by_place(count: int, steps: list[Any]) -> Inputs:
    """Make rows of the list `x`: an array of numbers, or of objects."""
    places = list(map(str, range(count)))
    features = Features(tuple(places), "place")
    each = tuple(kind or UNKNOWN for kind in kinds(steps, places))
    if (each and all(kind.dtype == "float64" for kind in each)) or takes_numbers(steps[0]):
        of_all = merged(each) if each else NUMBER
        row, schema = rows.positional(count, of_all.type)
        each = (of_all,) * count
        return Inputs(row, schema, gathering.numbers, steps, features, None, each, "array")
    row, schema = rows.by_place([kind.type for kind in each])
    gather, alike = gathering.array(each)
    return Inputs(row, schema, gather, steps, features, alike, each, "array")


def _of_mapper(mapper: Any, steps: list[Any]) -> dict[str, ColumnKind]:
    """Return what the columns hold that a DataFrameMapper selects by name."""
    found: dict[str, list[ColumnKind]] = {}
    for names, within in data_frame_mapper.selections(mapper):
        for name, kind in zip(names, kinds([*within, *steps[1:]], names), strict=True):
            found.setdefault(name, []).append(kind or UNKNOWN)
    return {name: merged(each) for name, each in found.items()}
