"""Shapes of what the methods of an estimator are given: a DataFrame, an array or a list, with the
types and the order of its columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.target import Target
from modelsync.models.compiled.accepted_calls import AcceptedCalls, AcceptedColumn

NUMBER_TYPES = ("int64", "bool", "object")
TEXT_TYPES = ("object", "str", "category")
"""Types that are tried beside the usual one: people make DataFrames in many ways."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a call is given. `kind`: what holds the rows. `labels`: those of its columns, or none:
    then they are numbers. `dtypes`: the type of each column, as numpy and pandas name it; of an
    array that of all. `order`: the places of the columns, if not in order. `further`: there is one
    column more.
    """

    kind: Literal["frame", "array", "list"]
    labels: tuple[Any, ...]
    dtypes: tuple[str, ...]
    order: tuple[int, ...] = ()
    further: bool = False


@dataclass(frozen=True, slots=True)
class CallInputs:
    """The `width` inputs of an estimator, whose names are `labels`, if it has some.

    `kinds`: what the columns of its form hold, by their places among the inputs.
    """

    labels: tuple[str, ...]
    width: int
    kinds: dict[int, ColumnKind]

    @classmethod
    def of(cls, target: Target) -> Self:
        """Return the inputs of the estimator of a target."""
        labels = tuple(map(str, getattr(target.estimator, "feature_names_in_", ())))
        width = int(getattr(target.estimator, "n_features_in_", len(labels)))
        places = [labels.index(name) for name in target.names] if labels else range(width)
        return cls(labels, width, dict(zip(places, target.kinds, strict=True)))


def is_text(kind: ColumnKind) -> bool:
    """Return whether a column holds texts, and nothing else."""
    types = str(kind.type)
    return kind.dtype == "object" and not any(one in types for one in ("float", "int", "bool"))


def of(x: Any) -> Shape | None:
    """Return the shape of what a call was given; None for what no form reads."""
    import numpy as np

    if type(x).__name__ == "DataFrame":
        return Shape("frame", tuple(x.columns.tolist()), tuple(map(str, x.dtypes)))
    try:
        array = np.array(x)
    except ValueError:  # rows of several lengths
        return None
    kind: Literal["list", "array"] = "list" if isinstance(x, list) else "array"
    return Shape(kind, (), (str(array.dtype),) * array.shape[1]) if array.ndim == 2 else None


def usual(tables: CallInputs) -> Shape:
    """Return the shape of the DataFrame, or of the array, with which the estimator was fitted."""
    each = ["float64"] * tables.width
    for place, kind in tables.kinds.items():
        if is_text(kind):
            each[place] = _text_type()
        elif kind.dtype != "float64":
            each[place] = kind.dtype or "object"
    if tables.labels:
        return Shape("frame", tables.labels, tuple(each))
    array = "float64" if set(each) <= {"float64"} else "object"
    return Shape("array", (), (array,) * tables.width)


def accepted(tables: CallInputs, shape: Shape) -> AcceptedCalls:
    """Return what is accepted with the usual shape alone, before the methods are known."""
    columns = tuple(
        AcceptedColumn(
            place,
            (shape.dtypes[place],) if shape.kind == "frame" else (),
            is_text(kind),
            "" if not kind.nullable else "none" if kind.null is None else "nan",
        )
        for place, kind in tables.kinds.items()
    )
    calls = AcceptedCalls(tables.labels, tables.width, columns, by_place=not tables.labels)
    return calls if shape.kind == "frame" else with_shape(calls, shape)


def with_shape(calls: AcceptedCalls, shape: Shape) -> AcceptedCalls:
    """Return what is accepted, with another shape."""
    if shape.kind != "frame":
        arrays = tuple(dict.fromkeys([*calls.arrays, shape.dtypes[0]]))
        return replace(calls, arrays=arrays, lists=calls.lists or shape.kind == "list")
    columns = tuple(
        replace(one, dtypes=tuple(dict.fromkeys([*one.dtypes, shape.dtypes[one.place]])))
        for one in calls.columns
    )
    reordered = calls.reordered or bool(shape.order)
    further = calls.further or shape.further
    return replace(calls, columns=columns, reordered=reordered, further=further)


def made_by(calls: Sequence[Any], tables: CallInputs) -> Iterator[Shape]:
    """Yield the shapes of the calls that examples have made, each once."""
    for shape in dict.fromkeys(map(of, calls)):
        if shape and shape.kind == "frame" and tables.labels:
            yield from _by_label(shape, tables)
        elif shape and len(shape.dtypes) == tables.width:
            yield shape


def _by_label(shape: Shape, tables: CallInputs) -> Iterator[Shape]:
    """Yield the shape of the columns that the estimator knows, in the order in which it does."""
    types = dict(zip(shape.labels, shape.dtypes, strict=True))
    if set(tables.labels).issubset(types):
        yield Shape("frame", tables.labels, tuple(types[one] for one in tables.labels))


def further(shape: Shape, tables: CallInputs) -> Iterator[Shape]:
    """Yield shapes that another request may have: of other types, in another order."""
    numbers = [place for place, kind in tables.kinds.items() if kind.dtype == "float64"]
    texts = [place for place, kind in tables.kinds.items() if is_text(kind)]
    if shape.kind == "frame":
        order = tuple(reversed(range(tables.width)))
        yield replace(shape, order=order)
        yield replace(shape, order=order, further=True)
        for some, types in ((numbers, NUMBER_TYPES), (texts, TEXT_TYPES)):
            for dtype in types if some else ():
                yield _with_type(shape, some, dtype)
    if len(numbers) == tables.width:
        for dtype in ("float64", "int64"):
            yield Shape("array", (), (dtype,) * tables.width)
            yield Shape("list", (), (dtype,) * tables.width)


def _with_type(shape: Shape, some: Sequence[int], dtype: str) -> Shape:
    each = [dtype if place in some else one for place, one in enumerate(shape.dtypes)]
    return replace(shape, dtypes=tuple(each))


def _text_type() -> str:
    """Return the type of a column of texts in this version of pandas."""
    import pandas as pd

    return str(pd.Series(["text"]).dtype)
