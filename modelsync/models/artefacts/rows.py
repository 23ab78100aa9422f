"""From `variables` to a row of a ready artefact's inputs: cheap where all is well, and then exact
about what is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Any

from pydantic import Field

from modelsync.models.loading import binding
from modelsync.models.loading.binding import Call, Schema, Variables

Number = Annotated[float, Field(allow_inf_nan=False)]
"""What an input of numbers takes; JSON has no others than finite ones."""

Scalar = bool | int | float | str | None
"""What an input takes of which nothing is known, a category for one."""

NUMBERS = frozenset({int, float})
_SCALARS = frozenset({bool, int, float, str, type(None)})
_PLAIN: Mapping[Any, frozenset[Any]] = {
    **dict.fromkeys((Number, Number | None), NUMBERS),
    **{kind: frozenset({kind}) for kind in (bool, int, str)},
    Scalar: _SCALARS,
}
"""Values of these types need no validation."""


def named(types: Mapping[str, Any]) -> tuple[Call, Schema]:
    """A row is a tuple of the values of these names, in this order; other variables are left out.

    The function raises VariablesInvalid naming each that is missing or of another type.
    """
    adapter = binding.members(dict(types))
    check, schema = binding.checked(adapter), binding.schema_of(adapter)
    names = tuple(types)
    pick = (
        itemgetter(*names)
        if len(names) > 1
        else lambda values: tuple(values[name] for name in names)
    )
    plain = [_PLAIN.get(kind, frozenset()) for kind in types.values()]
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


def positional(count: int | None, kind: Any = Number) -> tuple[Call, Schema]:
    """A row is the list `x`, of `count` values; None: of as many as there are."""
    values = Annotated[list[kind], Field(min_length=count, max_length=count)]
    adapter = binding.members({"x": values})
    check = binding.checked(adapter)
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

    return row, binding.schema_of(adapter)


def whole(kind: Any) -> tuple[Call, Schema]:
    """A row is the value `x`, of this type: a text, or something that only the model knows."""
    adapter = binding.members({"x": kind})
    check = binding.checked(adapter)
    return (lambda variables: check(variables)["x"]), binding.schema_of(adapter)
