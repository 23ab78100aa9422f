"""Reads the inputs of an estimator off its attributes: names, types, and whether it takes an array.

An array of shape (rows, inputs) is made where the estimator computes with numbers only, as most do:
a DataFrame costs more time than many estimators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from modelsync.models.artefacts import data_frame_mapper, rows
from modelsync.models.artefacts.format import Features
from modelsync.models.artefacts.rows import NUMBERS, Number, Scalar
from modelsync.models.binding.typehints import Call, Schema
from modelsync.models.tables import frames
from modelsync.models.tables.frames import is_numeric
from modelsync.models.tables.schema import TEXT
from modelsync.models.versions import Column, TableSchema

FORESTS = {"sklearn.ensemble._forest", "sklearn.ensemble._gb"}
"""Ensembles that fit their members on arrays, whatever they get themselves."""


class Inputs(NamedTuple):
    """How the input of an estimator is made.

    `row` makes a row of `variables`, whose JSON schema is `schema`; `gather` makes of rows the
    array, DataFrame or list that the first of the `steps` takes. `features` are the columns of a
    table with several rows.
    """

    row: Call
    schema: Schema | None
    gather: Callable[[list[Any]], Any]
    steps: list[Any]
    features: Features


def steps_of(estimator: Any) -> Iterator[Any]:
    """Yield the transformers and the last estimator of a pipeline, in the order of their calls."""
    kind = type(estimator)
    if kind.__module__ == "sklearn.pipeline" and kind.__name__ == "Pipeline":
        kept = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
        for step in kept or [estimator]:
            yield from steps_of(step)
    elif kind.__module__.startswith("sklearn.model_selection._search") and hasattr(
        estimator, "best_estimator_"
    ):
        yield from steps_of(estimator.best_estimator_)
    else:
        yield estimator


def is_known(step: Any) -> bool:
    """Return whether the estimator is one of scikit-learn's own, whose behaviour is known."""
    return type(step).__module__.startswith("sklearn.")


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
    is_plain = found.gather is _numbers and all(is_numeric(one.dtype) for one in used)
    if is_plain and is_named:
        return found
    known = _types(steps[0], list(columns), steps) if is_named else {}
    types = {one.name: _type_of(one, known.get(one.name, Scalar)) for one in used}
    features = Features(tuple(types))
    if is_plain:
        return Inputs(*rows.named(types), _numbers, found.steps, features)

    def gather(values: list[Any]) -> Any:
        each = map(list, zip(*values, strict=True))
        return frames.build(dict(zip(types, each, strict=True)), used, "frame")

    return Inputs(*rows.named(types), gather, steps, features)


def _type_of(column: Column, known: Any) -> Any:
    """Return the type of a column's values: as the estimator says, unless its data said more."""
    if known is not Scalar and is_numeric(column.dtype):
        return known
    if column.dtype == "bool":
        return bool | None
    if is_numeric(column.dtype):
        return Number | None
    return str | None if column.dtype == TEXT else Scalar


def _read(steps: list[Any]) -> Inputs:
    """Read the inputs off the attributes of the first step alone."""
    first = steps[0]
    names = getattr(first, "feature_names_in_", None)
    count = getattr(first, "n_features_in_", None)
    if names is not None:
        return _by_name(_types(first, [str(name) for name in names], steps), steps)
    if count is not None:
        features = Features(tuple(map(str, range(count))), "place")
        if _takes_numbers(first):
            return Inputs(*rows.positional(count, _number(steps)), _numbers, steps, features)
        return Inputs(*rows.positional(count, Scalar), _array, steps, features)
    if data_frame_mapper.is_one(first):
        types = _types_of_parts(data_frame_mapper.selections(first), steps)
        if not data_frame_mapper.chooses(first):
            return _by_name(types, steps)
        features = Features(tuple(types), "all")
        return Inputs(*rows.at_least(types), _records, steps, features)
    tags = _tags(first)
    if tags and tags.dict:
        return Inputs(dict, None, list, steps, Features((), "all"))
    return Inputs(*rows.whole(str if tags and tags.string else Any), list, steps, Features(("x",)))


def _by_name(types: dict[str, Any], steps: list[Any]) -> Inputs:
    """Make rows of named values: an array if all steps compute with that, else a DataFrame."""
    row, schema = rows.named(types)
    features = Features(tuple(types))
    if all(_is_plain(step) for step in steps):
        # With their names they would warn that an array has none.
        return Inputs(row, schema, _numbers, [_nameless(step) for step in steps], features)
    return Inputs(row, schema, _frame(list(types)), steps, features)


def _tags(step: Any) -> Any:
    """Return scikit-learn's input tags of its own estimators; None for others, and before its
    version 1.6.
    """
    if not is_known(step):
        return None
    try:
        from sklearn.utils import get_tags
    except ImportError:
        return None
    return get_tags(step).input_tags


def _takes_numbers(step: Any) -> bool:
    """Return whether the estimator computes with all its inputs, so that they must be numbers."""
    from sklearn.base import MetaEstimatorMixin
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion
    from sklearn.preprocessing import FunctionTransformer

    tags = _tags(step)
    if tags is None or not tags.two_d_array or tags.string or tags.categorical or tags.dict:
        return False
    if isinstance(step, ColumnTransformer | FunctionTransformer):
        return False
    if isinstance(step, MetaEstimatorMixin | FeatureUnion) and type(step).__module__ not in FORESTS:
        within = [next(steps_of(member)) for member in _members(step)]
        return bool(within) and all(map(_takes_numbers, within))
    fill = getattr(step, "statistics_", None)  # of an imputer, which also takes texts
    # Gradient boosting keeps there which of its inputs are categories.
    return getattr(fill, "dtype", None) != "O" and getattr(step, "is_categorical_", None) is None


def _members(step: Any) -> list[Any]:
    """Return the fitted estimators inside a meta-estimator, by scikit-learn's attribute names."""
    if hasattr(step, "transformer_list"):
        return [member for _, member in step.transformer_list if not isinstance(member, str)]
    if hasattr(step, "calibrated_classifiers_"):
        return [member.estimator for member in step.calibrated_classifiers_]
    if hasattr(step, "estimators_"):
        return list(step.estimators_)
    return [step.estimator_] if hasattr(step, "estimator_") else []


def _is_plain(step: Any) -> bool:
    """Return whether the estimator uses only an array of numbers, and no inner estimator needs the
    names.
    """
    from sklearn.base import MetaEstimatorMixin
    from sklearn.pipeline import FeatureUnion

    made_of_others = (
        isinstance(step, MetaEstimatorMixin | FeatureUnion) and type(step).__module__ not in FORESTS
    )
    return (
        _takes_numbers(step) and not made_of_others and not hasattr(step, "_sklearn_output_config")
    )


def _nameless(step: Any) -> Any:
    if "feature_names_in_" not in vars(step):
        return step
    step = copy.copy(step)
    del step.feature_names_in_
    return step


def _types(first: Any, names: list[str], steps: Sequence[Any]) -> dict[str, Any]:
    """Return the type of each input that is used, by its name."""
    from sklearn.compose import ColumnTransformer

    if not isinstance(first, ColumnTransformer):
        return dict.fromkeys(names, _number(steps) if _takes_numbers(first) else Scalar)
    parts = (
        (_columns(columns, names), [] if isinstance(made, str) else list(steps_of(made)))
        for _, made, columns in first.transformers_
        if not (isinstance(made, str) and made == "drop")
    )
    found = _types_of_parts(parts, steps)
    return {name: found[name] for name in names if name in found}


def _types_of_parts(
    parts: Iterable[tuple[Sequence[str], list[Any]]], steps: Sequence[Any]
) -> dict[str, Any]:
    """Return the type of each input by its name; a part has its own names and transformers."""
    found: dict[str, Any] = {}
    for names, within in parts:
        kind = _type(within, steps[1:]) if within else Scalar
        for name in names:
            found[name] = kind if found.get(name, kind) == kind else Scalar
    return found


def _type(within: list[Any], after: Sequence[Any]) -> Any:
    if _takes_numbers(within[0]):
        return _number([*within, *after])
    tags = _tags(within[0])
    return str if tags and tags.string else Scalar


def _columns(columns: Any, names: list[str]) -> list[str]:
    """Return the names of the columns that a part of a ColumnTransformer takes.

    `columns`: a name, or names, positions, a slice or a mask.
    """
    import numpy as np

    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice) and (
        isinstance(columns.start, str) or isinstance(columns.stop, str)
    ):
        start = names.index(columns.start) if columns.start is not None else 0
        stop = names.index(columns.stop) + 1 if columns.stop is not None else len(names)
        return names[start:stop]
    if not isinstance(columns, slice) and all(isinstance(column, str) for column in columns):
        return list(columns)
    return [str(name) for name in np.atleast_1d(np.array(names, dtype=object)[columns])]


def _number(steps: Sequence[Any]) -> Any:
    """Return the type of an input of numbers.

    It includes null if an imputer fills it in, or if all steps take it as missing.
    """
    for step in steps:
        if type(step).__module__.startswith("sklearn.impute."):
            return Number | None
        tags = _tags(step)
        if tags is None or not tags.allow_nan:
            return Number
    return Number | None


def _numbers(rows: list[Any]) -> Any:
    import numpy as np

    return np.array(rows, dtype=np.float64)


def _array(rows: list[Any]) -> Any:
    import numpy as np

    numbers = all(NUMBERS.issuperset(map(type, row)) for row in rows)
    return np.array(rows, dtype=np.float64 if numbers else object)


def _records(rows: list[Any]) -> Any:
    import pandas as pd

    return pd.DataFrame.from_records(rows)


def _frame(names: list[str]) -> Callable[[list[Any]], Any]:
    import pandas as pd

    return lambda rows: pd.DataFrame(rows, columns=names)
