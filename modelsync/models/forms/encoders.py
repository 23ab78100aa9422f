"""Reads an encoding off the transformers with which a pipeline begins.

What an encoder makes of each of its categories, of an unknown and of a missing one is found by
calling it: that is right for all its parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from modelsync.models.artefacts import gathering
from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.input_kinds import ENCODERS, columns_of
from modelsync.models.artefacts.rows import Scalar
from modelsync.models.artefacts.steps import is_known, steps_of
from modelsync.models.forms import encoded_values
from modelsync.models.forms.compiler import NotCompilable, Target
from modelsync.models.forms.encoded_values import Raw, State, Unread
from modelsync.models.forms.encoding import Block, Encoding, Lookup, Scaled

MAX_CATEGORIES = 20_000
"""Categories of a column, with more of which its table takes too long to make."""

UNKNOWN_TEXT = "modelsync: a category that no data has"
UNKNOWN_NUMBER = 6.02214076e23


def read(target: Target) -> tuple[Encoding, list[Any]]:
    """Return what the first steps make of a row, and the steps that are left; these take numbers.

    Raises NotCompilable, which names the step that takes other inputs than numbers.
    """
    reader = _Reader(target)
    state: State = [_value(place, kind) for place, kind in enumerate(target.kinds)]
    left = list(target.steps)
    fewest = 0 if target.output.kind == "transform" else 1
    while len(left) > fewest:
        try:
            state = reader.after(left[0], state)
        except Unread:
            break
        left = left[1:]
    if left and _is_columns(left[0]):
        state, rest = reader.parts_left(left[0], state)
        left = [rest, *left[1:]]
    blocks = tuple(block for block in state if not isinstance(block, Raw))
    if len(blocks) < len(state):
        raise NotCompilable(f"{_name(left[0])} takes texts, or columns of several types")
    return Encoding(len(target.names), blocks), left


def _value(place: int, kind: ColumnKind) -> Block | Raw:
    """Return the value of a column as it comes."""
    if kind.dtype in ("object", "category"):
        return Raw(place)
    return Scaled(place, null=kind.nullable, is_checked=kind.type is Scalar)


def _name(step: Any) -> str:
    return type(step).__name__


def _is_columns(step: Any) -> bool:
    return is_known(step) and _name(step) == "ColumnTransformer"


class _Reader:
    """Applies fitted steps to what has become of a row."""

    def __init__(self, target: Target) -> None:
        self._names, self._kinds = list(target.names), target.kinds

    def after(self, step: Any, state: State) -> State:
        """Return what a step makes of it. Raises Unread."""
        if isinstance(step, str):  # passthrough
            return state
        if not is_known(step):
            raise Unread
        if _is_columns(step):
            return [one for part in self._parts(step, state) for one in self._made(part)]
        if _name(step) in ENCODERS:
            return self._encoded(step, state)
        if _name(step) == "SimpleImputer":
            return encoded_values.filled(step, state)
        if hasattr(step, "get_support"):
            return encoded_values.selected(state, step.get_support().tolist())
        if (scales := encoded_values.SCALERS.get(_name(step))) is None:
            raise Unread
        return encoded_values.scaled(state, scales(step))

    def _made(self, part: tuple[str, Any, State]) -> State:
        _, step, state = part
        for inner in ["passthrough"] if isinstance(step, str) else steps_of(step):
            state = self.after(inner, state)
        return state

    def _parts(self, step: Any, state: State) -> Iterator[tuple[str, Any, State]]:
        """Yield the name of each part of a ColumnTransformer, its step, and what this takes."""
        if step.transformer_weights or any(encoded_values.width(one) != 1 for one in state):
            raise Unread
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

    def parts_left(self, step: Any, state: State) -> tuple[State, Any]:
        """Do what can be done of a ColumnTransformer; return it, and the transformer of the rest.

        Raises NotCompilable if a part that cannot be read takes no numbers.
        """
        made: State = []
        left: list[tuple[str, Any, list[int]]] = []
        try:
            parts = list(self._parts(step, state))
        except Unread:
            return state, step
        for part in parts:
            name, inner, taken = part
            try:
                taken, inner = self._made(part), "passthrough"
            except Unread:
                if any(isinstance(one, Raw) for one in taken):
                    text = f"{_name(inner)} takes texts, or columns of several types"
                    raise NotCompilable(f"{text} (the part {name!r} of its step)") from None
            start = sum(map(encoded_values.width, made))
            made += taken
            left.append((name, inner, list(range(start, sum(map(encoded_values.width, made))))))
        rest = copy.copy(step)
        rest.transformers_ = left
        rest.n_features_in_ = sum(map(encoded_values.width, made))
        vars(rest).pop("feature_names_in_", None)
        return made, rest

    # --- encoders ---

    def _encoded(self, step: Any, state: State) -> State:
        """Return the tables of an encoder: its columns are looked up one by one."""
        fills = []
        for one in state:
            if isinstance(one, Lookup) or (isinstance(one, Scaled) and one.operations):
                raise Unread
            fills.append(one.fill)
        kinds = [self._kinds[one.place] for one in state]
        transform = _transforming(step, kinds)
        known = [_known(values) for values in step.categories_]
        first = [values[0] if values else None for values in known]
        ends = _ends(step, len(state), len(transform([first])[0]))
        found: State = []
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
    """Return the categories that are not missing. Raises Unread if there are none, or too many."""
    found = [one for one in values.tolist() if not (one is None or one != one)]
    if not found or len(found) > MAX_CATEGORIES:
        raise Unread
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
        raise Unread
    return ends


def _or_none(made: Callable[[Sequence[Any]], Any], value: Any) -> tuple[float, ...] | None:
    """Return what an encoder makes of a value; None if it refuses it."""
    try:
        found: tuple[float, ...] = made([value])[0]
    except (ValueError, TypeError):
        return None
    return found
