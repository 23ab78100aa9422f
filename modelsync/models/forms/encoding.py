"""What the first transformers of a pipeline make of a row, as data: numbers that are scaled, and
values that are looked up.

`encoder` writes it as Python, which for a few columns is faster than any call of a library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from modelsync.models.forms.compiled_model import NotProven

Sign = Literal["-", "/", "*", "+"]
"""What is done to a number with an operand."""

_SIGNS: Mapping[Sign, str] = {"-": "-", "/": "/", "*": "*", "+": "+"}

MAX_EXACT = 2**53
"""Beyond this not every integer is a number of 64 bits, and two of them can be the same."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A number of the row, on which arithmetic is done in the order of `operations`.

    `place`: its column. `fill`: what a missing one is; None: it stays missing, if `null`, or is not
    allowed. `is_checked`: the column may hold something else than a number, which is not proven.
    """

    place: int
    operations: tuple[tuple[Sign, float], ...] = ()
    fill: float | None = None
    null: bool = False
    is_checked: bool = False

    def done(self, sign: Sign, value: float) -> Scaled:
        """Return the number with another operation done on it."""
        return replace(self, operations=(*self.operations, (sign, value)))


@dataclass(frozen=True, slots=True)
class Lookup:
    """Numbers that a category stands for: `values` of each of the `keys`, all of one length.

    `unknown`: those of a category that is no key; `missing`: of a missing one; None: not proven.
    """

    place: int
    keys: tuple[Any, ...]
    values: tuple[tuple[float, ...], ...]
    unknown: tuple[float, ...] | None
    missing: tuple[float, ...] | None

    @property
    def width(self) -> int:
        """How many numbers a category stands for."""
        return len(self.values[0])


Block = Scaled | Lookup


@dataclass(frozen=True, slots=True)
class Encoding:
    """What becomes of a row of `count` values: the numbers of each block, one after the other."""

    count: int
    blocks: tuple[Block, ...]

    @property
    def width(self) -> int:
        """How many numbers there are."""
        return sum(one.width if isinstance(one, Lookup) else 1 for one in self.blocks)

    @property
    def is_identity(self) -> bool:
        """Whether the numbers are the values of the row."""
        same = tuple(
            Scaled(place, null=one.null)
            for place, one in enumerate(self.blocks)
            if isinstance(one, Scaled)
        )
        return len(self.blocks) == self.count and self.blocks == same

    @property
    def has_nulls(self) -> bool:
        """Whether a number may be missing."""
        return any(isinstance(one, Scaled) and one.null and one.fill is None for one in self.blocks)

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        blocks = [{"kind": type(one).__name__, **asdict(one)} for one in self.blocks]
        return {"count": self.count, "blocks": blocks}


def from_json(found: Mapping[str, Any]) -> Encoding:
    """Read an encoding. Raises KeyError and TypeError for anything else."""
    kinds = {"Scaled": Scaled, "Lookup": Lookup}
    blocks = []
    for one in found["blocks"]:
        facts = {name: _tuples(value) for name, value in one.items() if name != "kind"}
        blocks.append(kinds[one["kind"]](**facts))
    return Encoding(found["count"], tuple(blocks))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


# --- as Python ------------------------------------------------------------------------------------


class CategoryTable(dict[Any, Any]):
    """The values of categories by their keys; what is none is checked before it counts as unknown.

    `unknown` and `missing`: their values; None: the estimator has to answer.
    """

    def __init__(self, lookup: Lookup, values: Sequence[Any], unknown: Any, missing: Any) -> None:
        super().__init__(zip(lookup.keys, values, strict=True))
        self._types = {type(key) for key in lookup.keys}
        self._is_text = self._types <= {str}
        self._unknown, self._missing = unknown, missing

    def __missing__(self, key: Any) -> Any:
        """Return the value of a key that is no category. Raises NotProven."""
        if key is None or key != key:
            return self._proven(self._missing)
        if self._is_text:
            is_alike = type(key) is str
        else:
            is_alike = type(key) in (int, float) and abs(key) <= MAX_EXACT
        return self._proven(self._unknown if is_alike else None)

    def _proven(self, value: Any) -> Any:
        if value is None:
            raise NotProven("an unknown or a missing category")
        return value


def number(value: Any) -> Any:
    """Return a value that is a number. Raises NotProven for any other."""
    if type(value) is float or type(value) is int:
        return value
    raise NotProven("no number")


@dataclass(slots=True)
class RowSource:
    """Python that computes from a row: `names` hold the constants that its text uses."""

    names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Add the names that expressions use."""
        self.names |= {"nan": math.nan, "number": number}

    def constant(self, value: Any) -> str:
        """Return the name of a constant."""
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def scaled(self, block: Scaled) -> str:
        """Return the expression of a number."""
        value = f"x{int(block.place)}"
        text = f"number({value})" if block.is_checked else value
        missing = f"{value} is None or {value} != {value}"
        if block.fill is not None:
            text = f"({self.constant(block.fill)} if {missing} else {text})"
        elif block.null and (block.operations or block.is_checked):
            text = f"(nan if {missing} else {text})"
        for sign, operand in block.operations:
            text = f"({text} {_SIGNS[sign]} {self.constant(operand)})"
        return text

    def function(self, lines: Sequence[str]) -> Any:
        """Return the function `compiled` that these lines define."""
        exec("\n".join(lines), self.names)  # noqa: S102  made here, of numbers and places alone
        return self.names["compiled"]


def unpacked(encoding: Encoding) -> str:
    """Return the target of a loop over rows: a name for each value that is used."""
    used = {one.place for one in encoding.blocks}
    names = [f"x{place}" if place in used else "_" for place in range(encoding.count)]
    return ", ".join(names) + ("," if len(names) == 1 else "")


def encoder(encoding: Encoding) -> Any:
    """Return the function that makes of rows a list with the numbers of each, as a tuple."""
    source = RowSource()
    parts = []
    for block in encoding.blocks:
        if isinstance(block, Scaled):
            parts.append(source.scaled(block))
        else:
            table = CategoryTable(block, block.values, block.unknown, block.missing)
            parts.append(f"*{source.constant(table)}[x{int(block.place)}]")
    row = ", ".join(parts) + ("," if len(parts) == 1 else "")
    return source.function(
        ["def compiled(rows):", f"    return [({row}) for {unpacked(encoding)} in rows]"]
    )
