"""Proves that a compiled form answers as the estimator does: on every row, and however many come.

Compared is what a client gets, the JSON. Labels, their types and the keys must be the same. Two
numbers `a` and `b` may differ by `tolerance` of `max(|a|, |b|, FLOOR * scale)`. `scale` is 1 for
probabilities; for other numbers it is the median of their absolute values over all rows. Without
the floor, the last bits of `1 - p` or of a sum near zero would count: a sum in double precision is
exact to 1e-16 of its largest term, not of its result. With a tolerance of 1e-6 the floor forgives
a difference of 1e-12 and no more.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelsync import json_text
from modelsync.models import results
from modelsync.models.binding.batching import CallBatch

FLOOR = 1e-6
"""The share of an output's scale below which relative differences are not told apart."""

SIZES = ((16, "among 16 rows, not among all, "), (1, "alone, not among others, "))
"""How many rows come together, besides all of them, and how a difference is told."""

MOST_ALONE = 2000
"""Rows that are called one by one and in small batches; the others only all together."""

STEADY = 8
"""Rows on which the estimator's own answer, alone, is compared with that among others."""

LONGEST_ROW = 400
"""Characters of a row that a difference shows."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What the comparison found.

    `max_difference`: the largest relative difference of two numbers; None if there are none.
    `difference`: how many rows have answers that differ, and the first of them; empty if none.
    `raised`: on how many rows the compiled form raised, so that the estimator itself answers.
    """

    rows: int
    max_difference: float | None = None
    difference: str = ""
    raised: int = 0

    @property
    def holds(self) -> bool:
        """Whether the compiled form may serve: it is equal, and answers most rows itself."""
        return not self.difference and 2 * self.raised < self.rows


def prove(
    original: CallBatch,
    compiled: CallBatch,
    rows: Sequence[Any],
    tolerance: float,
    *,
    labels: bool = False,
    names: Sequence[str] = (),
) -> Proof:
    """Compare the answers of two calls to all `rows`, alone, in batches of 16 and all together.

    `labels`: predictions are labels, so that floats among them must be equal. `names`: those of the
    values of a row, for the text of a difference. Where the estimator raises, the compiled form has
    to raise too. Raises nothing that the calls raise.
    """
    rows = list(rows)
    expected = _answers(original, rows, len(rows), labels=labels)
    compare = _Comparison(tolerance, _scales(expected), names)
    step = max(1, len(rows) // STEADY)
    alone = _answers(original, rows[::step], 1, labels=labels)
    unsteady = compare(rows[::step], expected[::step], alone).text
    if unsteady:
        text = f"the estimator itself answers a row alone otherwise than among others: {unsteady}"
        return Proof(len(rows), difference=text)
    proof = Proof(len(rows))
    for size, how in ((len(rows), ""), *SIZES):
        part = rows[:MOST_ALONE] if how else rows
        got = _answers(compiled, part, size, labels=labels)
        found = compare(part, expected[: len(part)], got)
        largest = _larger(proof.max_difference, found.largest)
        proof = Proof(
            len(rows),
            largest,
            f"{how}{found.text}" if found.text else "",
            max(proof.raised, found.raised),
        )
        if proof.difference:
            break
    return proof


def compare(
    rows: Sequence[Any],
    expected: Sequence[Any],
    got: Sequence[Any],
    tolerance: float,
    *,
    labels: bool = False,
    names: Sequence[str] = (),
) -> Proof:
    """Compare answers that are there already, two for each row, as `prove` does."""
    answers = [_split(one, labels=labels) for one in expected]
    others = [_split(one, labels=labels) for one in got]
    found = _Comparison(tolerance, _scales(answers), names)(list(rows), answers, others)
    return Proof(len(rows), found.largest, found.text)


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


# --- answers --------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """An answer, split into what must be equal and the numbers; `raised` in place of both."""

    shape: Any
    numbers: tuple[float, ...]
    is_probability: bool
    raised: str = ""


def _answers(call: CallBatch, rows: list[Any], size: int, *, labels: bool) -> list[_Answer]:
    """Return the answer to each row, called `size` rows at a time."""
    found: list[_Answer] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, len(rows), max(1, size)):
            found += _called(call, rows[start : start + size], labels=labels)
    return found


def _called(call: CallBatch, rows: list[Any], *, labels: bool) -> list[_Answer]:
    """Return the answers to one call; where it raises, those to calls with fewer rows."""
    try:
        return [_split(one, labels=labels) for one in call(rows)]
    except Exception as error:  # noqa: BLE001  # an estimator raises anything
        if len(rows) <= 1:
            return [_Answer(None, (), False, type(error).__name__) for _ in rows]
    half = len(rows) // 2
    return _called(call, rows[:half], labels=labels) + _called(call, rows[half:], labels=labels)


def _split(result: Any, *, labels: bool) -> _Answer:
    answer = json_text.loads(results.dump(result))
    has_probabilities = "probabilities" in answer
    numbers: list[float] = []
    shape = {
        key: _shape(value, numbers, exact=key == "prediction" and (labels or has_probabilities))
        for key, value in answer.items()
    }
    return _Answer(shape, tuple(numbers), has_probabilities)


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


def _scales(answers: list[_Answer]) -> dict[int, Any]:
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


# --- comparison -----------------------------------------------------------------------------------


class _Found(NamedTuple):
    """The largest difference, what differs first and on how many rows, and the raising calls."""

    largest: float | None
    text: str
    raised: int


@dataclass(frozen=True, slots=True)
class _Comparison:
    tolerance: float
    scales: dict[int, Any]
    names: Sequence[str]

    def __call__(self, rows: list[Any], expected: list[_Answer], got: list[_Answer]) -> _Found:
        """Compare answers row by row. Where the compiled form raised, the estimator answers."""
        largest: float | None = None
        texts: list[str] = []
        raised = 0
        for row, one, other in zip(rows, expected, got, strict=True):
            if other.raised and not one.raised:
                raised += 1
                continue
            text = _difference(one, other)
            if not text and one.numbers:
                relative, text = self._numbers(one, other)
                largest = _larger(largest, relative)
            if text:
                texts.append(f"{shown(row, self.names)}: {text}")
        told = f"{len(texts)} of {len(rows)} rows differ; the first is {texts[0]}" if texts else ""
        return _Found(largest, told, raised)

    def _numbers(self, one: _Answer, other: _Answer) -> tuple[float, str]:
        """Return the largest relative difference of the numbers, and what it is if too large."""
        floors = self.scales[len(one.numbers)]
        pairs = zip(one.numbers, other.numbers, floors, strict=True)
        found = [
            abs(a - b) / bound if (bound := max(abs(a), abs(b), FLOOR * scale)) else 0.0
            for a, b, scale in pairs
        ]
        largest = float(max(found))
        if largest <= self.tolerance:
            return largest, ""
        place = found.index(largest)
        name = "a probability" if one.is_probability else "a number"
        text = f"{name} is {one.numbers[place]!r}, compiled {other.numbers[place]!r}"
        return largest, text


def _difference(one: _Answer, other: _Answer) -> str:
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


def shown(row: Any, names: Sequence[str] = ()) -> str:
    """Return a row as the JSON of the `variables` that a client sends for it, cut off if long."""
    variables = row
    if isinstance(row, tuple) and len(row) == len(names):
        variables = dict(zip(names, row, strict=True))
    elif not isinstance(row, dict):
        variables = {"x": row}
    # The standard library writes integers of any size.
    text = json.dumps(variables, default=repr, ensure_ascii=False)
    return text if len(text) <= LONGEST_ROW else f"{text[:LONGEST_ROW]}…"
