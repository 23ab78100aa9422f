"""What scalers, imputers and selections do to the values of a row, as blocks of an encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelsync.models.forms.encoding import Block, Lookup, Scaled, Sign


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that is no number and is yet to be encoded. `fill`: what a missing one is."""

    place: int
    fill: Any = None


State = list[Block | Raw]


class Unread(Exception):
    """A step is none of those that are read here."""


def width(one: Block | Raw) -> int:
    """Return how many numbers a block gives."""
    return one.width if isinstance(one, Lookup) else 1


def filled(step: Any, state: State) -> State:
    """Return values of which the missing ones are filled in."""
    empty = step.missing_values
    if step.add_indicator or not (empty is None or empty != empty):
        raise Unread
    found: State = []
    for one, fill in zip(state, list(step.statistics_), strict=True):
        is_bare = isinstance(one, Raw) or (isinstance(one, Scaled) and not one.operations)
        if not is_bare or fill is None or fill != fill:
            raise Unread
        value = fill.item() if hasattr(fill, "item") else fill
        if isinstance(one, Scaled) and type(value) not in (int, float):
            raise Unread
        found.append(replace(one, fill=value))
    return found


def selected(state: State, mask: Sequence[bool]) -> State:
    """Return the numbers that a selection of features keeps.

    A value of which nothing is kept is still looked up: the steps before refuse some values.
    """
    found: State = []
    start = 0
    for one in state:
        kept = mask[start : start + width(one)]
        start += width(one)
        if isinstance(one, Lookup):
            rows = [_kept(values, kept) for values in one.values]
            unknown, missing = _kept(one.unknown, kept), _kept(one.missing, kept)
            found.append(replace(one, values=tuple(rows), unknown=unknown, missing=missing))
        else:
            found.append(one if kept[0] or isinstance(one, Raw) else _unused(one))
    return found


def _unused(one: Scaled) -> Lookup:
    """Return the block of a number that no step uses any more, of which nothing is made."""
    missing = () if one.null or one.fill is not None else None
    return Lookup(one.place, (0.0,), ((),), unknown=(), missing=missing)


def _kept(values: Any, mask: Sequence[bool]) -> Any:
    if values is None:
        return None
    return tuple(value for value, kept in zip(values, mask, strict=True) if kept)


Operations = Sequence[tuple[Sign, Any]]
"""What is done to all numbers one after the other: a sign, and an operand for each number."""


def _if(is_done: object, sign: Sign, operands: Any) -> Operations:
    return [(sign, operands)] if is_done else []


SCALERS: dict[str, Callable[[Any], Operations | None]] = {
    "FunctionTransformer": lambda step: [] if step.func is None else None,
    "StandardScaler": lambda step: [
        *_if(step.with_mean, "-", step.mean_),
        *_if(step.with_std, "/", step.scale_),
    ],
    "MinMaxScaler": lambda step: None if step.clip else [("*", step.scale_), ("+", step.min_)],
    "MaxAbsScaler": lambda step: None if getattr(step, "clip", False) else [("/", step.scale_)],
    "RobustScaler": lambda step: [
        *_if(step.with_centering, "-", step.center_),
        *_if(step.with_scaling, "/", step.scale_),
    ],
}
"""The arithmetic of scikit-learn's scalers, in its order; None with parameters for which it is
another.
"""


def scaled(state: State, operations: Operations | None) -> State:
    """Return numbers on each of which arithmetic is done."""
    if operations is None or any(isinstance(one, Raw) for one in state):
        raise Unread
    for sign, operands in operations:
        state = list(_done(state, sign, [float(value) for value in operands]))
    return state


def _done(state: State, sign: Sign, operands: Sequence[float]) -> Iterator[Block]:
    start = 0
    for one in state:
        used = operands[start : start + width(one)]
        start += width(one)
        if isinstance(one, Scaled):
            yield one.done(sign, used[0])
        elif isinstance(one, Lookup):
            yield replace(
                one,
                values=tuple(_computed(values, sign, used) for values in one.values),
                unknown=_computed(one.unknown, sign, used),
                missing=_computed(one.missing, sign, used),
            )


def _computed(values: Any, sign: Sign, operands: Sequence[float]) -> Any:
    """Return the same arithmetic on the numbers of a category, as it is done on a row."""
    if values is None:
        return None
    do: dict[str, Callable[[float, float], float]] = {
        "-": lambda a, b: a - b,
        "/": lambda a, b: a / b,
        "*": lambda a, b: a * b,
        "+": lambda a, b: a + b,
    }
    return tuple(do[sign](a, b) for a, b in zip(values, operands, strict=True))
