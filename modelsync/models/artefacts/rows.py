"""Makes of `variables` a row of an artefact's inputs.

Types are compared first, which is cheap; pydantic validates only the variables that do not fit, and
names them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from modelsync.models.binding.constraints import Finite, Length
from modelsync.models.binding.typehints import Call, Schema, Variables
from modelsync.models.binding.validation import members

Number = Annotated[float, Finite()]
"""The type of an input of numbers; JSON has only finite ones."""

Scalar = bool | int | float | str | None
"""The type of an input of which nothing is known, for example a category."""

NUMBERS = frozenset({int, float})
_SCALARS = frozenset({bool, int, float, str, NoneType})
_PLAIN: Mapping[Any, frozenset[Any]] = {
    **dict.fromkeys((Number, Number | None), NUMBERS),
    **{kind: frozenset({kind}) for kind in (bool, int, str)},
    Scalar: _SCALARS,
}
"""The Python types whose values need no validation, by type of input."""


def named(types: Mapping[str, Any]) -> tuple[Call, Schema]:
    """Make rows that are tuples of the values of these names, in this order; others are dropped.

    Returns the function that makes one, and the JSON schema of `variables`. The function raises
    VariablesInvalid, which names each variable that is missing or of another type.
    """
    check, schema = members(dict(types))
    names = tuple(types)
    pick = (
        itemgetter(*names)
        if len(names) > 1
        else lambda values: tuple(values[name] for name in names)
    )
    plain = [_plain(kind) for kind in types.values()]
    if all(kinds is NUMBERS for kinds in plain):
        fits = NUMBERS.issuperset

        def numbers(variables: Variables) -> Any:
            try:
                row = pick(variables)
            except KeyError:
                row = ()
            return row if row and fits(map(type, row)) else pick(check(variables))

        return numbers, schema

    def mixed(variables: Variables) -> Any:
        try:
            row = pick(variables)
        except KeyError:
            return pick(check(variables))
        if all(type(value) in kinds for value, kinds in zip(row, plain, strict=True)):
            return row
        return pick(check(variables))

    return mixed, schema


def _plain(kind: Any) -> frozenset[Any]:
    """Return the types whose values need no validation for an input of this type."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) in (Union, UnionType):
        return frozenset().union(*map(_plain, get_args(kind)))
    return frozenset({kind}) if isinstance(kind, type) else frozenset()


def at_least(types: Mapping[str, Any]) -> tuple[Call, Schema]:
    """Make rows that are the `variables` themselves, among which these names must be."""
    check, schema = members(dict(types))

    def row(variables: Variables) -> Any:
        return {**variables, **check(variables)}

    return row, schema


def positional(count: int | None, kind: Any = Number) -> tuple[Call, Schema]:
    """Make rows that are the list `x`, of `count` values, or of any number if that is None."""
    check, schema = members({"x": Annotated[list[kind], Length(count)]})
    plain = _PLAIN.get(kind, frozenset())

    def row(variables: Variables) -> Any:
        x = variables.get("x")
        if (
            type(x) is list
            and (count is None or len(x) == count)
            and plain.issuperset(map(type, x))
        ):
            return x
        return check(variables)["x"]

    return row, schema


def by_place(kinds: Sequence[Any]) -> tuple[Call, Schema]:
    """Make rows that are the list `x`, each of whose values has a type of its own."""
    if len(set(kinds)) == 1:
        return positional(len(kinds), kinds[0])
    listed, schema = positional(len(kinds), Scalar)
    check, _ = members({f"x.{place}": kind for place, kind in enumerate(kinds)})

    def row(variables: Variables) -> Any:
        values = listed(variables)
        return list(check({f"x.{place}": value for place, value in enumerate(values)}).values())

    return row, schema


def whole(kind: Any) -> tuple[Call, Schema]:
    """Make rows that are the value `x`, of this type: str, or Any if the type is unknown."""
    check, schema = members({"x": kind})
    return (lambda variables: check(variables)["x"]), schema
