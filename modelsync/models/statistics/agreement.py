"""How far a prediction agrees with what turned out to be true. Values are JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modelsync.models.statistics.labels import label_of

MAX_ROWS = 100
"""Rows of a request that are kept: those of `kept`."""

MOST_ERROR = 1e100
"""The largest error of a value: PostgreSQL adds up the squares of all for a mean, and refuses to if
they overflow.
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the rows of one request: the share that is right, and the mean absolute error; None where
    values are no numbers.
    """

    correct: float
    error: float | None


def kept(rows: int) -> range:
    """Return which rows of a request are kept: all, of many only some at equal distances."""
    return range(0, rows, -(-rows // MAX_ROWS) or 1)


def agreement(prediction: Any, truth: Any) -> Agreement | None:
    """Compare one value with one, a list with a list, or the members that two objects share.

    Of a request with more than `MAX_ROWS` rows the prediction has those that are kept, the truth
    all of them. None if they cannot be compared.
    """
    pairs = list(_pairs(prediction, truth))
    if not pairs:
        return None
    errors = [_error(one, other) for one, other in pairs if _number(one) and _number(other)]
    correct = sum(_same(one, other) for one, other in pairs) / len(pairs)
    return Agreement(correct, sum(errors) / len(errors) if len(errors) == len(pairs) else None)


def _pairs(prediction: Any, truth: Any) -> Iterator[tuple[Any, Any]]:
    prediction, truth = _alone(prediction, truth), _alone(truth, prediction)
    if isinstance(prediction, list) and isinstance(truth, list):
        yield from _rows(prediction, truth)
    elif isinstance(prediction, dict) and isinstance(truth, dict):
        for name in prediction.keys() & truth.keys():
            yield from _pairs(prediction[name], truth[name])
    elif isinstance(truth, dict) and len(truth) == 1:  # {"survived": 1}
        yield from _pairs(prediction, next(iter(truth.values())))
    elif not any(isinstance(one, list | dict) or one is None for one in (prediction, truth)):
        yield prediction, truth


def _rows(prediction: list[Any], truth: list[Any]) -> Iterator[tuple[Any, Any]]:
    if len(truth) > len(prediction) == len(kept(len(truth))):
        truth = [truth[place] for place in kept(len(truth))]
    if len(truth) == len(prediction):
        for one, other in zip(prediction, truth, strict=True):
            yield from _pairs(one, other)


def _alone(value: Any, other: Any) -> Any:
    """Return the value of a list of one, where the other side is no list."""
    is_one = isinstance(value, list) and len(value) == 1 and not isinstance(other, list)
    return value[0] if is_one else value


def _error(one: float, other: float) -> float:
    try:
        found = abs(float(one) - float(other))
    except OverflowError:  # a whole number of 400 digits
        return MOST_ERROR
    return found if found < MOST_ERROR else MOST_ERROR


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_BOOLEANS = {"true": "1", "false": "0"}


def _same(one: Any, other: Any) -> bool:
    """Whether two labels are the same, also if one came as a text, or a boolean as 0 or 1."""
    first, second = label_of(one), label_of(other)
    if first == second:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        first, second = first.lower(), second.lower()
        return _BOOLEANS.get(first, first) == _BOOLEANS.get(second, second)
    return False
