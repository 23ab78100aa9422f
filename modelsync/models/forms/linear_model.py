"""A compiled form in plain Python: a weighted sum of what a row is encoded as.

For a few columns that takes less than a microsecond for a row, which is less than any call of
numpy or of onnxruntime with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from modelsync.models.forms import encoding, given_columns
from modelsync.models.forms.compiled_model import Computed, FormColumn, NotProven
from modelsync.models.forms.encoding import CategoryTable, Encoding, RowSource, Scaled, unpacked
from modelsync.models.forms.finish import Finish

Weights = Sequence[Sequence[float]]
"""For each score the weight of each number of an encoded row."""


class LinearForm:
    """Computes scores, each a weighted sum with a constant, and finishes them.

    `weights`: of each score; without any the numbers themselves are the scores.
    """

    kind: ClassVar[str] = "linear"

    def __init__(
        self,
        encoded: Encoding,
        columns: tuple[FormColumn, ...],
        weights: Weights,
        constants: Sequence[float],
        finish: Finish,
        *,
        is_single: bool,
    ) -> None:
        self.columns, self.backend = columns, "Python (double)"
        self._encoding, self._weights, self._constants = encoded, weights, constants
        self._finish, self._is_single = finish, is_single
        self._scores = (
            _scores(encoded, weights, constants, is_single=is_single)
            if weights
            else _numbers(encoded)
        )
        self._answers = finish.function()

    def answer(self, rows: Sequence[Sequence[Any]]) -> Computed:
        """Answer rows. Raises NotProven, and TypeError for values that are no numbers."""
        return self._answers(self._scores(rows))

    def run(self, columns: Sequence[Any]) -> Computed:
        """Answer rows that are given as arrays. Raises as `answer` does."""
        return self.answer(given_columns.rows(self.columns, columns))

    def save(self, folder: Path) -> dict[str, Any]:
        """Return all there is: no file is written."""
        return {
            "encoding": self._encoding.as_json(),
            "weights": [list(one) for one in self._weights],
            "constants": list(self._constants),
            "finish": asdict(self._finish),
            "is_single": self._is_single,
        }

    @classmethod
    def open(
        cls, folder: Path, columns: tuple[FormColumn, ...], backend: str, facts: dict[str, Any]
    ) -> LinearForm:
        """Make the form of what `save` has returned."""
        return cls(
            encoding.from_json(facts["encoding"]),
            columns,
            facts["weights"],
            facts["constants"],
            Finish.from_json(facts["finish"]),
            is_single=facts["is_single"],
        )


def _numbers(encoded: Encoding) -> Callable[[Any], list[Any]]:
    """Return the function that makes lists of the numbers that rows are encoded as."""
    encode = encoding.encoder(encoded)

    def numbers(rows: Any) -> list[Any]:
        found = [[float(value) for value in row] for row in encode(rows)]
        if not all(map(math.isfinite, map(sum, found))):
            raise NotProven("missing, infinite, or too large")
        return found

    return numbers


def _scores(
    encoded: Encoding, weights: Weights, constants: Sequence[float], *, is_single: bool
) -> Callable[[Any], list[Any]]:
    """Return the function that computes the scores of rows: numbers, or lists of numbers.

    Raises NotProven if a score is not finite: an input was not, or is too large.
    """
    source = RowSource({"NotProven": NotProven})
    lines = ["def compiled(rows):", "    found = []"]
    lines += [f"    for {unpacked(encoded)} in rows:"]
    sums = [source.constant(constant) for constant in constants]
    start = 0
    for place, block in enumerate(encoded.blocks):
        if isinstance(block, Scaled):
            parts = [source.constant(one[start]) for one in weights]
            lines.append(f"        v{place} = {source.scaled(block)}")
            sums = [f"{one} + v{place} * {part}" for one, part in zip(sums, parts, strict=True)]
            start += 1
            continue
        table = _weighed(block, [one[start : start + block.width] for one in weights])
        lines.append(f"        v{place} = {source.constant(table)}[x{int(block.place)}]")
        start += block.width
        if len(sums) == 1:
            sums = [f"{sums[0]} + v{place}"]
        else:
            sums = [f"{one} + v{place}[{score}]" for score, one in enumerate(sums)]
    names = [f"z{score}" for score in range(len(sums))]
    lines += [f"        {name} = {one}" for name, one in zip(names, sums, strict=True)]
    for name in names:  # the difference is NaN if it is not finite
        lines += [f"        if {name} - {name}:", "            raise NotProven"]
    lines += [f"        found.append({names[0] if is_single else '[' + ', '.join(names) + ']'})"]
    lines += ["    return found"]
    return source.function(lines)  # type: ignore[no-any-return]


def _weighed(block: encoding.Lookup, weights: Weights) -> CategoryTable:
    """Return a table of what each category adds to each score; to one score, a number."""

    def weighed(values: Sequence[float] | None) -> Any:
        if values is None:
            return None
        sums = [
            sum(value * one for value, one in zip(values, part, strict=True)) for part in weights
        ]
        return sums[0] if len(sums) == 1 else sums

    each = [weighed(values) for values in block.values]
    return CategoryTable(block, each, weighed(block.unknown), weighed(block.missing))
