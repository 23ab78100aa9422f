"""Reads what the columns of a pipeline hold off its fitted steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelsync.models.artefacts import boosting, column_kinds
from modelsync.models.artefacts.column_kinds import (
    MIXED,
    NUMBER,
    NUMBER_OR_NULL,
    TEXT,
    UNKNOWN,
    ColumnKind,
    merged,
)
from modelsync.models.artefacts.steps import (
    is_known,
    is_made_of_others,
    members,
    steps_of,
    tags,
    takes_numbers,
)

ENCODERS = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}


def kinds(steps: Sequence[Any], names: Sequence[str]) -> list[ColumnKind | None]:
    """Return what each input of the first of the `steps` holds; None of one that is not used.

    `names`: those of its inputs, in order; without names of their own their numbers.
    """
    from sklearn.compose import ColumnTransformer

    first, *after = [step for step in steps if not _is_identity(step)] or [None]
    count = len(names)
    if first is None:
        return [UNKNOWN] * count
    if boosting.is_one(first):
        return _as_many(boosting.kinds(first), count)
    if takes_numbers(first):
        return [number([first, *after])] * count
    if isinstance(first, ColumnTransformer):
        return _of_parts(first, after, names)
    if is_made_of_others(first):
        return _of_members(first, after, names)
    return list(_of_one(first, after, names))


def _is_identity(step: Any) -> bool:
    """Return whether a step gives on its columns: ColumnTransformer has one for `passthrough`."""
    if isinstance(step, str):
        return True
    is_function = is_known(step) and type(step).__name__ == "FunctionTransformer"
    return is_function and step.func is None


def _as_many(found: Sequence[ColumnKind], count: int) -> list[ColumnKind | None]:
    """Return the kinds of an estimator for columns of which earlier steps have made others."""
    if len(found) == count:
        return list(found)
    return [found[0] if len(set(found)) == 1 else UNKNOWN] * count


def number(steps: Sequence[Any]) -> ColumnKind:
    """Return the kind of an input of numbers.

    It includes null if an imputer fills it in, or if all steps take it as missing.
    """
    for step in steps:
        if type(step).__module__.startswith("sklearn.impute."):
            return NUMBER_OR_NULL
        if boosting.is_one(step):
            continue
        found = tags(step)
        if found is None or not found.allow_nan:
            return NUMBER
    return NUMBER_OR_NULL


# --- steps that are made of others ----------------------------------------------------------------


def _of_parts(
    transformer: Any, after: Sequence[Any], names: Sequence[str]
) -> list[ColumnKind | None]:
    """Return the kinds for a ColumnTransformer: a column may be in several of its parts."""
    found: dict[str, list[ColumnKind]] = {}
    for _, made, columns in transformer.transformers_:
        if isinstance(made, str) and made == "drop":
            continue
        used = columns_of(columns, list(names))
        within = [made] if isinstance(made, str) else list(steps_of(made))
        for name, kind in zip(used, kinds([*within, *after], used), strict=True):
            if kind:
                found.setdefault(name, []).append(kind)
    return [merged(found[name]) if name in found else None for name in names]


def _of_members(step: Any, after: Sequence[Any], names: Sequence[str]) -> list[ColumnKind | None]:
    """Return the kinds for an estimator that gives all its columns to each of its members."""
    within = [list(steps_of(member)) for member in members(step)]
    if not within or hasattr(step, "estimators_features_"):
        return [UNKNOWN] * len(names)
    if not hasattr(step, "transform"):  # it ends a pipeline, and so do they
        after = []
    found = [kinds([*steps, *after], names) for steps in within]
    by_column = zip(*found, strict=True)
    return [merged(known) if (known := list(filter(None, one))) else None for one in by_column]


def columns_of(columns: Any, names: list[str]) -> list[str]:
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
    if not isinstance(columns, slice) and not np.isscalar(columns):
        columns = list(columns)
        if all(isinstance(column, str) for column in columns):
            return [str(column) for column in columns]
    return [str(name) for name in np.atleast_1d(np.array(names, dtype=object)[columns])]


# --- steps that take texts ------------------------------------------------------------------------


def _of_one(step: Any, after: Sequence[Any], names: Sequence[str]) -> Sequence[ColumnKind]:
    """Return the kinds for a step that is not made of others and does not only take numbers."""
    found = tags(step)
    if found and found.string and not found.two_d_array:
        return [TEXT] * len(names)
    if not is_known(step):
        return [UNKNOWN] * len(names)
    if type(step).__name__ == "SimpleImputer":
        return _of_imputer(step, after, names)
    if type(step).__name__ in ENCODERS and hasattr(step, "categories_"):
        ignores = getattr(step, "handle_unknown", "ignore") != "error"
        return [
            column_kinds.of_categories(values, unknown=ignores, null=ignores)
            for values in step.categories_
        ]
    if getattr(step, "is_categorical_", None) is not None:
        return _of_boosting(step, names)
    return [UNKNOWN] * len(names)


def _of_imputer(step: Any, after: Sequence[Any], names: Sequence[str]) -> list[ColumnKind]:
    """Return the kinds for an imputer of texts: what it fills in, or what the next step knows."""
    found = []
    null = None if step.missing_values is None else float("nan")
    for known, fill in zip(kinds(after, names), step.statistics_, strict=True):
        kind = known if known and known.dtype in ("object", "float64") else None
        if kind is None or kind == MIXED:
            kind = TEXT if isinstance(fill, str) else MIXED
        if kind.dtype == "float64":  # numbers in a column of objects
            kind = ColumnKind(kind.type, "object")
        nulls = kind if kind.nullable else kind.or_null()
        found.append(ColumnKind(nulls.type, "object", null))
    return found


def _of_boosting(step: Any, names: Sequence[str]) -> list[ColumnKind]:
    """Return the kinds for scikit-learn's gradient boosting, some of whose columns are categories.

    A category that it does not know is missing.
    """
    transformer = getattr(step, "_preprocessor", None)
    encoder = transformer.named_transformers_.get("encoder") if transformer else None
    known = iter(getattr(encoder, "categories_", ()))
    found = []
    for is_category in step.is_categorical_:
        values = next(known, None) if is_category else None
        if not is_category:
            found.append(NUMBER_OR_NULL)
        elif values is None:
            found.append(MIXED)
        else:
            found.append(column_kinds.of_categories(values, unknown=True, null=True))
    return [kind or UNKNOWN for kind in _as_many(found, len(names))]
