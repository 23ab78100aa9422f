"""What the columns of an estimator hold: read off what it was fitted with, never off a request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from modelsync.models.artefacts.rows import Number, Scalar

MAX_LISTED = 200
"""Categories that the schema of a request lists; with more it says only that they are texts."""


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """What a column holds.

    `type`: of its values in a request, for their validation. `dtype`: of the column in a DataFrame;
    empty if the estimator does not tell: then rows are called together only with rows whose values
    are of the same types. `null`: what a missing text is for the estimator: NaN or None.
    `categories`: all values of a column of pandas' type `category`, in their order.
    """

    type: Any
    dtype: Literal["float64", "bool", "object", "category", ""]
    null: Any = math.nan
    categories: tuple[Any, ...] = ()

    @property
    def nullable(self) -> bool:
        """Whether a value may be missing."""
        return self.type is Scalar or self.type == self.type | None

    def or_null(self) -> ColumnKind:
        """Return the kind whose values may be missing."""
        return replace(self, type=self.type | None)


NUMBER = ColumnKind(Number, "float64")
NUMBER_OR_NULL = ColumnKind(Number | None, "float64")
TEXT = ColumnKind(str, "object")
UNKNOWN = ColumnKind(Scalar, "")
MIXED = ColumnKind(Scalar, "object")
"""Texts, numbers and booleans in one column."""


def merged(kinds: Iterable[ColumnKind]) -> ColumnKind:
    """Return the kind of a column that several estimators take: what suits all of them."""
    known = list(dict.fromkeys(kind for kind in kinds if kind.dtype))
    if not known:
        return UNKNOWN
    first, *others = known
    for other in others:
        if {first.dtype, other.dtype} == {"float64"}:
            first = first if not first.nullable else other
        elif first.dtype == other.dtype and first.categories == other.categories:
            first = _narrower(first, other)
        else:
            return MIXED
    return first


def _narrower(one: ColumnKind, other: ColumnKind) -> ColumnKind:
    """Return which of two kinds of the same texts allows less."""
    if one.type is Scalar or (one.nullable and not other.nullable):
        return other
    return one


def of_categories(values: Any, *, unknown: bool, null: bool) -> ColumnKind:
    """Return the kind of a column whose categories are known, as an array.

    `unknown`: whether the estimator takes others too; `null`: whether a missing one.
    """
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    missing = [one for one in listed if one is None or one != one]
    known = [one for one in listed if not (one is None or one != one)]
    is_object = str(getattr(values, "dtype", "object")) == "object"
    found = _of_types(set(map(type, known)), is_object=is_object)
    if found.type is str and not unknown and len(known) <= MAX_LISTED:
        found = replace(found, type=Literal[tuple(known)])
    found = replace(found, null=None if missing == [None] else math.nan)
    return found.or_null() if (missing or null) and found.type is not Scalar else found


def _of_types(types: set[type], *, is_object: bool) -> ColumnKind:
    if types == {str}:
        return TEXT
    if types == {bool}:
        return ColumnKind(bool, "object" if is_object else "bool")
    if types and types <= {int, float}:
        return NUMBER
    return MIXED


def of_pandas(categories: Sequence[Any], *, unknown: bool) -> ColumnKind:
    """Return the kind of a column of pandas' type `category`; a missing one is allowed."""
    found = of_categories(categories, unknown=unknown, null=True)
    return replace(found, dtype="category", categories=tuple(categories))
