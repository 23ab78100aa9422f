"""Reads an encoding off the transformers with which a pipeline begins.

What an encoder makes of each of its categories, of an unknown and of a missing one is found by
calling it: that is right for all its parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelsync.models.artefacts import gathering
from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.input_kinds import ENCODERS, columns_of
from modelsync.models.artefacts.rows import Scalar
from modelsync.models.artefacts.steps import is_known, steps_of
from modelsync.models.compiled.compiler import NotCompilable, Target
from modelsync.models.compiled.encoding import Block, Encoding, Lookup, Scaled, Sign

MAX_CATEGORIES = 20_000
"""Categories of a column, with more of which its table takes too long to make."""

UNKNOWN_TEXT = "modelsync: a category that no data has"
UNKNOWN_NUMBER = 6.02214076e23


@dataclass(frozen=True, slots=True)
class _Raw:
    """A value that is no number and is yet to be encoded. `fill`: what a missing one is."""

    place: int
    fill: Any = None


_State = list[Block | _Raw]


class _Unread(Exception):
    """A step is none of those that are read here."""


def read(target: Target) -> tuple[Encoding, list[Any]]:
    """Return what the first steps make of a row, and the steps that are left; these take numbers.

    Raises NotCompilable, which names the step that takes other inputs than numbers.
    """
    reader = _Reader(target)
    state: _State = [_value(place, kind) for place, kind in enumerate(target.kinds)]
    left = list(target.steps)
    fewest = 0 if target.output.kind == "transform" else 1
    while len(left) > fewest:
        try:
            state = reader.after(left[0], state)
        except _Unread:
            break
        left = left[1:]
    if left and _is_columns(left[0]):
        state, rest = reader.parts_left(left[0], state)
        left = [rest, *left[1:]]
    blocks = tuple(block for block in state if not isinstance(block, _Raw))
    if len(blocks) < len(state):
        raise NotCompilable(f"{_name(left[0])} takes texts, or columns of several types")
    return Encoding(len(target.names), blocks), left


def _value(place: int, kind: ColumnKind) -> Block | _Raw:
    """Return the value of a column as it comes."""
    if kind.dtype in ("object", "category"):
        return _Raw(place)
    return Scaled(place, null=kind.nullable, is_checked=kind.type is Scalar)


def _name(step: Any) -> str:
    return type(step).__name__


def _is_columns(step: Any) -> bool:
    return is_known(step) and _name(step) == "ColumnTransformer"


class _Reader:
    """Applies fitted steps to what has become of a row."""

    def __init__(self, target: Target) -> None:
        self._names, self._kinds = list(target.names), target.kinds

    def after(self, step: Any, state: _State) -> _State:
        """Return what a step makes of it. Raises _Unread."""
        if isinstance(step, str):  # passthrough
            return state
        if not is_known(step):
            raise _Unread
        if _is_columns(step):
            return [one for part in self._parts(step, state) for one in self._made(part)]
        if _name(step) in ENCODERS:
            return self._encoded(step, state)
        if _name(step) == "SimpleImputer":
            return _filled(step, state)
        if hasattr(step, "get_support"):
            return _selected(state, step.get_support().tolist())
        if (scales := _SCALERS.get(_name(step))) is None:
            raise _Unread
        return _scaled(state, scales(step))

    def _made(self, part: tuple[str, Any, _State]) -> _State:
        _, step, state = part
        for inner in ["passthrough"] if isinstance(step, str) else steps_of(step):
            state = self.after(inner, state)
        return state

    def _parts(self, step: Any, state: _State) -> Iterator[tuple[str, Any, _State]]:
        """Yield the name of each part of a ColumnTransformer, its step, and what this takes."""
        if step.transformer_weights or any(_width(one) != 1 for one in state):
            raise _Unread
        of_state = [getattr(one, "place", None) for one in state]
        is_first = of_state == list(range(len(self._names)))
        names = [str(name) for name in getattr(step, "feature_names_in_", ())]
        names = names or list(map(str, range(step.n_features_in_)))
        known = dict(zip(self._names if is_first else names, state, strict=False))
        for name, made, columns in step.transformers_:
            if isinstance(made, str) and made == "drop":
                continue
            used = columns_of(columns, names)
            yield name, made, [known[one] for one in used]

    def parts_left(self, step: Any, state: _State) -> tuple[_State, Any]:
        """Do what can be done of a ColumnTransformer; return it, and the transformer of the rest.

        Raises NotCompilable if a part that cannot be read takes no numbers.
        """
        made: _State = []
        left: list[tuple[str, Any, list[int]]] = []
        try:
            parts = list(self._parts(step, state))
        except _Unread:
            return state, step
        for part in parts:
            name, inner, taken = part
            try:
                taken, inner = self._made(part), "passthrough"
            except _Unread:
                if any(isinstance(one, _Raw) for one in taken):
                    text = f"{_name(inner)} takes texts, or columns of several types"
                    raise NotCompilable(f"{text} (the part {name!r} of its step)") from None
            start = sum(map(_width, made))
            made += taken
            left.append((name, inner, list(range(start, sum(map(_width, made))))))
        rest = copy.copy(step)
        rest.transformers_ = left
        rest.n_features_in_ = sum(map(_width, made))
        vars(rest).pop("feature_names_in_", None)
        return made, rest

    # --- encoders ---

    def _encoded(self, step: Any, state: _State) -> _State:
        """Return the tables of an encoder: its columns are looked up one by one."""
        fills = []
        for one in state:
            if isinstance(one, Lookup) or (isinstance(one, Scaled) and one.operations):
                raise _Unread
            fills.append(one.fill)
        kinds = [self._kinds[one.place] for one in state]
        transform = _transforming(step, kinds)
        known = [_known(values) for values in step.categories_]
        first = [values[0] if values else None for values in known]
        ends = _ends(step, len(state), len(transform([first])[0]))
        found: _State = []
        for place, (one, keys, kind, fill) in enumerate(
            zip(state, known, kinds, fills, strict=True)
        ):
            part = slice(ends[place], ends[place + 1])

            def made(values: Sequence[Any], place: int = place, part: slice = part) -> Any:
                rows = [[*first[:place], value, *first[place + 1 :]] for value in values]
                return [tuple(row[part]) for row in transform(rows)]

            missing = fill if fill is not None else None
            unknown = UNKNOWN_TEXT if kind.dtype in ("object", "category") else UNKNOWN_NUMBER
            found.append(
                Lookup(
                    one.place,
                    tuple(keys),
                    tuple(made(keys)),
                    _or_none(made, unknown) if kind.dtype != "bool" else None,
                    _or_none(made, missing) if kind.nullable or fill is not None else None,
                )
            )
        return found


def _known(values: Any) -> list[Any]:
    """Return the categories that are not missing. Raises _Unread if there are none, or too many."""
    found = [one for one in values.tolist() if not (one is None or one != one)]
    if not found or len(found) > MAX_CATEGORIES:
        raise _Unread
    return found


def _transforming(step: Any, kinds: Sequence[ColumnKind]) -> Callable[[list[Any]], Any]:
    """Return the function that gives lists of the numbers an encoder makes of rows."""
    names = getattr(step, "feature_names_in_", None)
    gather = gathering.array(kinds)[0] if names is None else gathering.frame(list(names), kinds)

    def transform(rows: list[Any]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = step.transform(gather(rows))
        dense = found.toarray() if hasattr(found, "toarray") else found
        listed = dense.to_numpy() if hasattr(dense, "to_numpy") else dense
        return listed.astype("float64").tolist()

    return transform


def _ends(step: Any, columns: int, width: int) -> list[int]:
    """Return where the numbers of each column begin in a row, and where the last ones end."""
    widths = getattr(step, "_n_features_outs", None) or [1] * columns
    ends = [sum(map(int, widths[:place])) for place in range(columns + 1)]
    if ends[-1] != width:
        raise _Unread
    return ends


def _or_none(made: Callable[[Sequence[Any]], Any], value: Any) -> tuple[float, ...] | None:
    """Return what an encoder makes of a value; None if it refuses it."""
    try:
        found: tuple[float, ...] = made([value])[0]
    except (ValueError, TypeError):
        return None
    return found


# --- numbers --------------------------------------------------------------------------------------


def _width(one: Block | _Raw) -> int:
    return one.width if isinstance(one, Lookup) else 1


def _filled(step: Any, state: _State) -> _State:
    """Return values of which the missing ones are filled in."""
    empty = step.missing_values
    if step.add_indicator or not (empty is None or empty != empty):
        raise _Unread
    found: _State = []
    for one, fill in zip(state, list(step.statistics_), strict=True):
        is_bare = isinstance(one, _Raw) or (isinstance(one, Scaled) and not one.operations)
        if not is_bare or fill is None or fill != fill:
            raise _Unread
        value = fill.item() if hasattr(fill, "item") else fill
        if isinstance(one, Scaled) and type(value) not in (int, float):
            raise _Unread
        found.append(replace(one, fill=value))
    return found


def _selected(state: _State, mask: Sequence[bool]) -> _State:
    """Return the numbers that a selection of features keeps."""
    found: _State = []
    start = 0
    for one in state:
        kept = mask[start : start + _width(one)]
        start += _width(one)
        if isinstance(one, Lookup):
            rows = [_kept(values, kept) for values in one.values]
            unknown, missing = _kept(one.unknown, kept), _kept(one.missing, kept)
            if any(kept):
                found.append(replace(one, values=tuple(rows), unknown=unknown, missing=missing))
        elif kept[0]:
            found.append(one)
    return found


def _kept(values: Any, mask: Sequence[bool]) -> Any:
    if values is None:
        return None
    return tuple(value for value, kept in zip(values, mask, strict=True) if kept)


Operations = Sequence[tuple[Sign, Any]]
"""What is done to all numbers one after the other: a sign, and an operand for each number."""


def _if(is_done: object, sign: Sign, operands: Any) -> Operations:
    return [(sign, operands)] if is_done else []


_SCALERS: dict[str, Callable[[Any], Operations | None]] = {
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


def _scaled(state: _State, operations: Operations | None) -> _State:
    """Return numbers on each of which arithmetic is done."""
    if operations is None or any(isinstance(one, _Raw) for one in state):
        raise _Unread
    for sign, operands in operations:
        state = list(_done(state, sign, [float(value) for value in operands]))
    return state


def _done(state: _State, sign: Sign, operands: Sequence[float]) -> Iterator[Block]:
    start = 0
    for one in state:
        used = operands[start : start + _width(one)]
        start += _width(one)
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
