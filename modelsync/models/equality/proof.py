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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelsync.models.binding.batching import CallBatch
from modelsync.models.equality import proof_answers
from modelsync.models.equality.proof_answers import Answered, Compared

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


class Reference:
    """The answers of an estimator to `rows`, with which those of compiled forms are compared.

    `labels`: predictions are labels, so that floats among them must be equal. `names`: those of the
    values of a row, for the text of a difference. Raises nothing that the call raises.
    """

    def __init__(
        self,
        call: CallBatch,
        rows: Sequence[Any],
        *,
        labels: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        self._call, self._labels, self._names = call, labels, names
        self._answered: list[Answered] = []
        self._refused: list[Answered] = []
        self.add(rows)

    @property
    def answered(self) -> int:
        """How many rows the estimator answers."""
        return len(self._answered)

    def add(self, rows: Sequence[Any]) -> None:
        """Ask the estimator for further rows."""
        answered, refused = proof_answers.sort_out(self._call, rows, labels=self._labels)
        self._answered += answered
        self._refused += refused

    def prove(self, compiled: CallBatch, tolerance: float) -> Proof:
        """Compare the answers of a compiled form, alone, in batches of 16 and all together.

        Where the estimator raises, the form has to raise too.
        """
        both = self._answered + self._refused
        rows, expected = [row for row, _ in both], [answer for _, answer in both]
        compare = _Comparison(tolerance, proof_answers.scales(expected), self._names)
        some = slice(None, None, max(1, len(rows) // STEADY))
        alone = proof_answers.answers(self._call, rows[some], 1, labels=self._labels)
        unsteady = compare(rows[some], expected[some], alone).text
        if unsteady:
            text = (
                f"the estimator itself answers a row alone otherwise than among others: {unsteady}"
            )
            return Proof(len(rows), difference=text)
        proof = Proof(len(rows))
        for size, how in ((len(rows), ""), *SIZES):
            part = rows[:MOST_ALONE] if how else rows
            got = proof_answers.answers(compiled, part, size, labels=self._labels)
            found = compare(part, expected[: len(part)], got)
            proof = Proof(
                len(rows),
                _larger(proof.max_difference, found.largest),
                f"{how}{found.text}" if found.text else "",
                max(proof.raised, found.raised),
            )
            if proof.difference:
                break
        return proof


def prove(
    original: CallBatch,
    compiled: CallBatch,
    rows: Sequence[Any],
    tolerance: float,
    *,
    labels: bool = False,
    names: Sequence[str] = (),
) -> Proof:
    """Compare the answers of two calls to all `rows`, as `Reference` does."""
    return Reference(original, rows, labels=labels, names=names).prove(compiled, tolerance)


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
    answers = [proof_answers.split(one, labels=labels) for one in expected]
    others = [proof_answers.split(one, labels=labels) for one in got]
    found = _Comparison(tolerance, proof_answers.scales(answers), names)(
        list(rows), answers, others
    )
    return Proof(len(rows), found.largest, found.text)


def _larger(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


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

    def __call__(self, rows: list[Any], expected: list[Compared], got: list[Compared]) -> _Found:
        """Compare answers row by row. Where the compiled form raised, the estimator answers."""
        largest: float | None = None
        texts: list[str] = []
        raised = 0
        for row, one, other in zip(rows, expected, got, strict=True):
            if other.raised and not one.raised:
                raised += 1
                continue
            text = proof_answers.difference(one, other)
            if not text and one.numbers:
                relative, text = self._numbers(one, other)
                largest = _larger(largest, relative)
            if text:
                texts.append(f"{shown(row, self.names)}: {text}")
        told = f"{len(texts)} of {len(rows)} rows differ; the first is {texts[0]}" if texts else ""
        return _Found(largest, told, raised)

    def _numbers(self, one: Compared, other: Compared) -> tuple[float, str]:
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
