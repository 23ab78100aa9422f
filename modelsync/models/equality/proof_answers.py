"""Answers taken apart: the numbers that may differ a little, and all else, which must be equal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from modelsync import json_text
from modelsync.models import results
from modelsync.models.binding.batching import CallBatch

TOGETHER, FEW = 256, 8
"""Rows that are called together at first, and the fewest that are left out together."""

MOST_REFUSED = 32
"""Rows on which an estimator raises, and a compiled form must."""


class Compared(NamedTuple):
    """An answer, split into what must be equal and the numbers; `raised` in place of both."""

    shape: Any
    numbers: tuple[float, ...]
    is_probability: bool
    raised: str = ""


Answered = tuple[Any, Compared]
"""A row and the answer to it."""


def answers(call: CallBatch, rows: list[Any], size: int, *, labels: bool) -> list[Compared]:
    """Return the answer to each row, called `size` rows at a time."""
    found: list[Compared] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, len(rows), max(1, size)):
            found += _called(call, rows[start : start + size], labels=labels)
    return found


def sort_out(
    call: CallBatch, rows: Sequence[Any], *, labels: bool
) -> tuple[list[Answered], list[Answered]]:
    """Return rows with the answers to them, and those on which the call raises.

    Of these not all are looked for, since each costs several calls: with more than `MOST_REFUSED`,
    few rows that came together with one of them are left out.
    """
    answered: list[Answered] = []
    refused: list[Answered] = []
    waiting = [list(rows[start : start + TOGETHER]) for start in range(0, len(rows), TOGETHER)][
        ::-1
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while waiting:
            part = waiting.pop()
            half = len(part) // 2
            try:
                found = [split(one, labels=labels) for one in call(part)]
            except Exception as error:  # noqa: BLE001  # an estimator raises anything
                if not half:
                    refused.append((part[0], Compared(None, (), False, type(error).__name__)))
                elif len(part) > FEW or len(refused) < MOST_REFUSED:
                    waiting += [part[half:], part[:half]]
                continue
            answered += zip(part, found, strict=True)
    return answered, refused


def _called(call: CallBatch, rows: list[Any], *, labels: bool) -> list[Compared]:
    """Return the answers to one call; where it raises, those to calls with fewer rows."""
    try:
        return [split(one, labels=labels) for one in call(rows)]
    except Exception as error:  # noqa: BLE001  # an estimator raises anything
        if len(rows) <= 1:
            return [Compared(None, (), False, type(error).__name__) for _ in rows]
    half = len(rows) // 2
    return _called(call, rows[:half], labels=labels) + _called(call, rows[half:], labels=labels)


def split(result: Any, *, labels: bool) -> Compared:
    """Return what a client reads of a result, taken apart."""
    answer = json_text.loads(results.dump(result))
    has_probabilities = "probabilities" in answer
    numbers: list[float] = []
    shape = {
        key: _shape(value, numbers, exact=key == "prediction" and (labels or has_probabilities))
        for key, value in answer.items()
    }
    return Compared(shape, tuple(numbers), has_probabilities)


def _shape(value: Any, numbers: list[float], *, exact: bool) -> Any:
    """Return the value with a mark for each number that may differ, and collect these.

    Other values are there with their types: `1`, `1.0` and `true` are not the same label.
    """
    if isinstance(value, dict):
        return {key: _shape(one, numbers, exact=exact) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [_shape(one, numbers, exact=exact) for one in value]
    if type(value) is float and not exact:
        numbers.append(value)
        return float
    return type(value), value


def scales(answers: list[Compared]) -> dict[int, Any]:
    """Return the scale of each number of an answer, by how many numbers the answer has."""
    import numpy as np

    grouped: dict[int, list[tuple[float, ...]]] = {}
    for one in answers:
        grouped.setdefault(len(one.numbers), []).append(one.numbers)
    is_probability = any(one.is_probability for one in answers)
    return {
        count: np.ones(count) if is_probability else np.median(np.abs(np.array(each)), axis=0)
        for count, each in grouped.items()
    }


def difference(one: Compared, other: Compared) -> str:
    """Return where two answers differ in what must be equal; empty if they do not."""
    if one.raised:
        told = f"the estimator raises {one.raised}, compiled it answers"
        return "" if other.raised else told
    if one.shape == other.shape:
        return ""
    pairs = zip(_members(one.shape), _members(other.shape), strict=False)
    first = next(((a, b) for a, b in pairs if a != b), None)
    if first is None:
        return "the answers have other members"
    return f"it is {_told(first[0])}, compiled {_told(first[1])}"


def _members(shape: Any) -> Iterator[Any]:
    """Yield what stands in an answer besides numbers, and its keys, in order."""
    if isinstance(shape, dict):
        for key, one in shape.items():
            yield key
            yield from _members(one)
    elif isinstance(shape, list):
        for one in shape:
            yield from _members(one)
    else:
        yield shape


def _told(member: Any) -> str:
    if member is float:
        return "a number"
    value = member[1] if isinstance(member, tuple) else member
    return json_text.dumps(value).decode()
