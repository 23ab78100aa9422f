"""Values for a column of rows, read off what an estimator's steps have kept of the data."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin

import numpy as np

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.rows import Scalar
from modelsync.models.equality.cuts import Cuts
from modelsync.models.equality.stages import Stage

FAR = 1e6
"""How many times its spread a number is away from its centre, at most, in a row of the proof."""

WIDE = 1e12
"""The least such distance: of many columns nobody knows the spread."""

UNKNOWN = "no such category"

NUMBERS: tuple[float | int, ...] = (
    *(0, 0.0, -0.0, 1, -1, 0.5, 0.1, 1e-30, 5e-324, -1e-310, 1.0000000000000002),
    *(2**31, -(2**31) - 1, 2**24 + 1, 2**53 + 1, 2**63, 2**64, 3.4028235677973366e38, -1e300),
)
"""Numbers of all kinds, also those that 32 bits round or cannot hold. JSON has no infinities."""

TEXTS = ("", " ", "0", "nan", "None", "é", "A", "a b", "日本", "x" * 300)


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """What a column can hold.

    `categories`: all known ones; empty of a column of numbers. `centre` and `spread` of its
    numbers; `points`: numbers that were in the data, or near. `is_closed`: they are all that the
    estimator takes. `words`: those of texts.
    """

    kind: ColumnKind
    categories: tuple[Any, ...] = ()
    centre: float = 0.0
    spread: float = 0.0
    points: tuple[float, ...] = ()
    words: tuple[str, ...] = ()
    is_closed: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the estimator computes with its values."""
        return not self.categories and not self.words and self.kind.dtype in ("float64", "")

    @property
    def limit(self) -> float:
        """The largest absolute value of a number for which a form is proven."""
        return max(WIDE, FAR * (abs(self.centre) + self.spread))

    def typical(self, random: np.random.Generator, count: int) -> list[Any]:
        """Return values as the data had them, one of ten missing where that is allowed."""
        if self.words:
            return [self._text(random) for _ in range(count)]
        if not self.is_number:
            found = self._categories(random, count)
        else:
            found = self._numbers(random, count)
        if self.kind.nullable:
            missing = random.random(count) < 0.1
            found = [None if gone else one for one, gone in zip(found, missing, strict=True)]
        return found

    def special(self) -> list[Any]:
        """Return each category, one that is not known, and what is missing, empty or far away."""
        missing = [None] if self.kind.nullable else []
        if self.words:
            return [*filter(self.allows, TEXTS), *missing]
        if not self.is_number:
            others = [UNKNOWN, *TEXTS, *(like for one in self.categories for like in _like(one))]
            mixed = [*others, True, 1, 1.5, -7] if self.kind.type is Scalar else others
            return [*self.categories, *missing, *filter(self.allows, mixed)]
        steps = [self.spread * factor for factor in (1, 10, 1e3, FAR)]
        far = [self.centre + sign * step for step in steps for sign in (-1, 1)]
        return [*self.categories, *missing, *far, *self.points[:20], self.limit, -self.limit]

    def allows(self, value: Any) -> bool:
        """Return whether a request may have this value."""
        kind = self.kind.type
        if kind is Scalar:
            return True
        kinds = (
            [one for one in get_args(kind) if one is not NoneType] if self.kind.nullable else [kind]
        )
        return any(
            value in get_args(one) if get_origin(one) is Literal else type(value) is one
            for one in kinds
        )

    def _text(self, random: np.random.Generator) -> str:
        picked = random.choice(len(self.words), random.integers(0, 12)).tolist()
        return (" ", ", ", "\n", ". ")[random.integers(4)].join(self.words[one] for one in picked)

    def _categories(self, random: np.random.Generator, count: int) -> list[Any]:
        known = list(self.categories) or [True, False]
        found = [known[place] for place in random.integers(len(known), size=count).tolist()]
        if self.kind.dtype != "bool" and self.allows(UNKNOWN):
            strange = random.random(count) < 0.05
            found = [UNKNOWN if one else known for one, known in zip(strange, found, strict=True)]
        return found

    def _numbers(self, random: np.random.Generator, count: int) -> list[Any]:
        if self.is_closed:
            return [self.points[place] for place in random.integers(len(self.points), size=count)]
        centre, spread = self.centre, self.spread
        if not spread:  # nothing is known of it: numbers of several magnitudes
            centre, spread = 0.0, 10.0 ** random.uniform(-1, 2)
        found: list[Any] = (centre + spread * random.standard_normal(count) * 1.2).tolist()
        for place in np.flatnonzero(random.random(count) < 0.2).tolist():
            rounded = found[place] if abs(found[place]) > 1e15 else round(found[place])
            found[place] = int(rounded)
        if self.points:
            for place in np.flatnonzero(random.random(count) < 0.3).tolist():
                found[place] = self.points[random.integers(len(self.points))]
        return found


def _like(category: Any) -> list[Any]:
    """Return what is almost a category; arrays of texts of numpy drop a NUL at the end."""
    if not isinstance(category, str):
        return []
    return [category.swapcase(), f"{category} ", f" {category}", f"{category}\0"]


# --- what the steps have kept ---------------------------------------------------------------------


def read(
    kinds: Sequence[ColumnKind],
    stages: Sequence[Stage],
    found_cuts: Sequence[Cuts | None],
    examples: Sequence[Sequence[Any]],
) -> list[ColumnValues]:
    """Return what each column can hold. `found_cuts`: of each stage; `examples`: known rows."""
    own: list[list[_Use]] = [[] for _ in kinds]
    for stage, some in zip(stages, found_cuts, strict=True):
        values: dict[int, set[float]] = {}
        for cut in some.found if some else ():
            values.setdefault(cut.feature, set()).add(cut.value)
        for at, column in enumerate(stage.columns or ()):
            if column is not None:
                own[column].append(_Use(stage.step, at, sorted(values.get(at, ()))))
    given = list(zip(*examples, strict=True)) or [()] * len(kinds)
    return [_column(*one) for one in zip(kinds, own, given, strict=True)]


class _Use(NamedTuple):
    """An estimator that takes a column as it is, at which place, and where it cuts it."""

    step: Any
    place: int
    cuts: list[float]


def _column(kind: ColumnKind, own: Sequence[_Use], given: Iterable[Any]) -> ColumnValues:
    """Return the values of a column."""
    if kind.dtype in ("object", "category", "bool"):
        words = next((found for use in own if (found := _words(use.step))), ())
        known = [one for use in own for one in _known(use.step, use.place)]
        known += [*kind.categories, *_listed(kind.type), *given]
        known += [] if words else [fill for use in own for fill in _fill(use.step, use.place)]
        present = tuple(dict.fromkeys(one for one in known if not _is_missing(one)))
        allowed = filter(ColumnValues(kind).allows, present)
        return ColumnValues(kind, tuple(allowed), words=words)
    if closed := next(filter(None, map(_closed, own)), ()):
        spread = float(np.std(closed))
        return ColumnValues(kind, (), float(np.mean(closed)), spread, closed, is_closed=True)
    sources = [points for use in own if len(points := _points(use)) > 1]
    numbers = [float(one) for one in given if isinstance(one, int | float)]
    first = next((one for one in sources if np.ptp(one) > 0), np.array(numbers))
    spread = float(np.std(first)) if len(first) > 1 else 0.0
    kept = [
        *numbers,
        *(one for each in sources for one in each[:: max(1, len(each) // 50)].tolist()),
    ]
    return ColumnValues(
        kind,
        centre=float(np.mean(first)) if len(first) else 0.0,
        spread=spread if math.isfinite(spread) else 0.0,
        points=tuple(dict.fromkeys(kept)),
    )


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def _listed(kind: Any) -> list[Any]:
    """Return the values that a type lists."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [value for one in get_args(kind) for value in _listed(one)]


def _known(step: Any, place: int) -> list[Any]:
    """Return the categories of one input of an encoder."""
    known = getattr(step, "categories_", None)
    if known is None or place >= len(known):
        return []
    values = known[place]
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _closed(use: _Use) -> tuple[float, ...]:
    """Return the numbers that an encoder knows, if it refuses all others."""
    if getattr(use.step, "handle_unknown", "") != "error":
        return ()
    return tuple(float(one) for one in _known(use.step, use.place) if not _is_missing(one))


def _fill(step: Any, place: int) -> list[Any]:
    """Return what an imputer puts in the place of a missing text."""
    known = getattr(step, "statistics_", None)
    return [known[place]] if known is not None and isinstance(known[place], str) else []


def _words(step: Any) -> tuple[str, ...]:
    """Return words of a vectorizer's vocabulary, and what is no word of it."""
    known = getattr(step, "vocabulary_", None)
    if not isinstance(known, dict):
        return ()
    words = [str(one) for one in known]
    return (
        *words,
        *(one.upper() for one in words[:20]),
        *TEXTS,
        "x",
        "it's",
        "e-mail",
        "1.5",
        "naïve",
    )


def _points(use: _Use) -> np.ndarray[Any, Any]:
    """Return numbers that show what a column held, in any number and order."""
    found = [_at(values, use.place) for values in _tables(use.step)]
    numbers = np.concatenate([*found, np.array(use.cuts, dtype=np.float64)])
    finite: np.ndarray[Any, Any] = numbers[np.isfinite(numbers)]
    return finite


def _at(values: Any, place: int) -> np.ndarray[Any, Any]:
    try:
        dense = values.toarray() if hasattr(values, "toarray") else values
        column = np.atleast_2d(np.asarray(dense, dtype=np.float64))[:, place]
    except (TypeError, ValueError, IndexError):
        return np.empty(0)
    return column.ravel()


_SAMPLES = re.compile(
    r"_fit_X|X_fit_|X_train_|support_vectors_|centroids_|cluster_centers_|theta_|means_|quantiles_|"
    r"data_min_|data_max_|subcluster_centers_"
)
"""Attributes that are rows of an estimator's input, or are made of these."""


def _tables(step: Any) -> list[Any]:
    """Return arrays with a column per input, which hold numbers such as the data had."""
    found = [value for name, value in list(vars(step).items()) if _SAMPLES.fullmatch(name)]
    centre: Any = getattr(step, "mean_", getattr(step, "center_", getattr(step, "xbar_", None)))
    scale: Any = getattr(step, "scale_", None)
    if centre is not None and np.ndim(centre) == 1:
        if np.ndim(scale) == 1:
            found += [np.asarray(centre) - scale, np.asarray(centre) + scale]
        else:
            found.append(centre)
    return found
