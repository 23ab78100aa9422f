"""Checks one value by its type, with the standard library alone: what `plain_types` is made of."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from modelsync.models.binding.constraints import Finite, Length, limits_of
from modelsync.models.binding.invalid import Location
from modelsync.models.binding.typehints import is_dict, is_typed_dict

Check = Callable[[Any, tuple[int | str, ...]], Any]
"""Returns a value as its type; raises `Wrong` with the place of what does not fit."""


class Wrong(Exception):
    """Values that do not fit: where they are, and why not."""

    def __init__(self, found: Sequence[tuple[Location, str]]) -> None:
        super().__init__()
        self.found = list(found)


class UnknownType(Exception):
    """A type that cannot be made of JSON here."""


def check_of(hint: Any) -> Check:
    """Return what checks a value of this type. Raises UnknownType."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Annotated, Required, NotRequired):
        return _constrained(check_of(parts[0]), parts[1:])
    if origin in (Union, types.UnionType):
        if type(None) in parts:
            return _optional(check_of(Union[tuple(one for one in parts if one is not type(None))]))  # noqa: UP007
        return _union([check_of(part) for part in parts])
    if origin is Literal:
        return _one_of({value: value for value in parts})
    if hint in _SCALARS:
        return _SCALARS[hint]
    if is_dict(hint):
        return _dict(*(check_of(part) for part in parts))
    kind = origin or hint
    if kind in LISTS:
        return _list(kind, check_of(parts[0]) if parts else _any, parts)
    return _class(hint)


def _class(hint: Any) -> Check:
    """Return what checks a value of a class: an enum, a TypedDict or a dataclass."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _one_of({member.value: member for member in hint})
    if is_typed_dict(hint):
        hints = typing.get_type_hints(hint)
        return fields_of(
            {name: check_of(part) for name, part in hints.items()}, hint.__required_keys__
        )
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint)
    raise UnknownType("of this type nothing is known")


def _dataclass(kind: type) -> Check:
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    missing = dataclasses.MISSING
    required = {
        field.name
        for field in fields
        if field.default is missing and field.default_factory is missing
    }
    check = fields_of({field.name: check_of(hints[field.name]) for field in fields}, required)

    def make(value: Any, place: tuple[int | str, ...]) -> Any:
        return value if isinstance(value, kind) else kind(**check(value, place))

    return make


def _any(value: Any, place: tuple[int | str, ...]) -> Any:
    return value


def _wrong(place: tuple[int | str, ...], message: str) -> Wrong:
    return Wrong([(place, message)])


def _float(value: Any, place: tuple[int | str, ...]) -> float:
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            message = "Input should be a valid number, unable to parse string as a number"
            raise _wrong(place, message) from None
    raise _wrong(place, "Input should be a valid number")


def _int(value: Any, place: tuple[int | str, ...]) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        if value.is_integer():
            return int(value)
        message = "Input should be a valid integer, got a number with a fractional part"
        raise _wrong(place, message)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            message = "Input should be a valid integer, unable to parse string as an integer"
            raise _wrong(place, message) from None
    raise _wrong(place, "Input should be a valid integer")


def _str(value: Any, place: tuple[int | str, ...]) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(place, "Input should be a valid string")


_BOOLS: dict[Any, bool] = {
    **dict.fromkeys((1, "1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys((0, "0", "false", "f", "no", "n", "off"), False),
}


def _bool(value: Any, place: tuple[int | str, ...]) -> bool:
    key = value.lower() if isinstance(value, str) else value
    if isinstance(key, str | int | float) and key in _BOOLS:
        return _BOOLS[key]
    raise _wrong(place, "Input should be a valid boolean")


def _none(value: Any, place: tuple[int | str, ...]) -> None:
    if value is not None:
        raise _wrong(place, "Input should be None")


_SCALARS: dict[Any, Check] = {
    Any: _any,
    object: _any,
    float: _float,
    int: _int,
    str: _str,
    bool: _bool,
    None: _none,
    type(None): _none,
}
_EXACT = (str, bool, int, float, type(None))


def _optional(check: Check) -> Check:
    def nullable(value: Any, place: tuple[int | str, ...]) -> Any:
        return None if value is None else check(value, place)

    return nullable


def _union(checks: list[Check]) -> Check:
    """Try each member: first whether one takes the value as it is, then whether one converts it."""

    def check(value: Any, place: tuple[int | str, ...]) -> Any:
        found, wrong = [], []
        for one in checks:
            try:
                found.append(one(value, place))
            except Wrong as error:
                wrong += error.found
        if not found:
            raise Wrong(wrong)
        same = [one for one in found if type(one) is type(value)]
        return (same or found)[0]

    return check


def _one_of(choices: Mapping[Any, Any]) -> Check:
    shown = " or ".join(filter(None, [", ".join(map(repr, list(choices)[:-1])), ""]))
    shown = f"{shown} or {list(choices)[-1]!r}" if shown else repr(list(choices)[-1])

    def check(value: Any, place: tuple[int | str, ...]) -> Any:
        if isinstance(value, _EXACT) and value in choices:
            return choices[value]
        raise _wrong(place, f"Input should be {shown}")

    return check


LISTS = (list, tuple, set, frozenset, Sequence)


def _list(kind: Any, item: Check, parts: tuple[Any, ...]) -> Check:
    """Return what makes a list, tuple or set of a list, and names each item that is wrong."""
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        raise UnknownType("of a tuple of certain items nothing is known")
    make = list if kind is Sequence else kind

    def check(value: Any, place: tuple[int | str, ...]) -> Any:
        if not isinstance(value, list):
            name = "list" if make is list else make.__name__
            raise _wrong(place, f"Input should be a valid {name}")
        found, wrong = [], []
        for index, one in enumerate(value):
            try:
                found.append(item(one, (*place, index)))
            except Wrong as error:
                wrong += error.found
        if wrong:
            raise Wrong(wrong)
        return found if make is list else make(found)

    return check


def _dict(key: Check = _any, item: Check = _any) -> Check:
    def check(value: Any, place: tuple[int | str, ...]) -> Any:
        if not isinstance(value, dict):
            raise _wrong(place, "Input should be a valid dictionary")
        return {key(name, (*place, name)): item(one, (*place, name)) for name, one in value.items()}

    return check


def fields_of(checks: Mapping[str, Check], required: Any, *, keep: bool = False) -> Check:
    """Return what checks an object with these keys; others are dropped, or with `keep` passed."""

    def check(value: Any, place: tuple[int | str, ...]) -> Any:
        """Name each key that is missing, or whose value is wrong."""
        if not isinstance(value, dict):
            raise _wrong(place, "Input should be a valid dictionary")
        found: dict[str, Any] = dict(value) if keep else {}
        wrong: list[tuple[Location, str]] = []
        for name, one in checks.items():
            if name not in value:
                if name in required:
                    wrong.append(((*place, name), "Field required"))
                continue
            try:
                found[name] = one(value[name], (*place, name))
            except Wrong as error:
                wrong += error.found
        if wrong:
            raise Wrong(wrong)
        return found

    return check


def _constrained(check: Check, demands: Sequence[Any]) -> Check:
    for demand in demands:
        if isinstance(demand, Finite):
            check = _finite(check)
        elif isinstance(demand, Length):
            check = check if demand.items is None else _long(check, demand.items)
        else:
            check = _limited(check, demand)
    return check


def _limited(check: Check, demand: Any) -> Check:
    if not (limits := limits_of(demand)):
        return check

    def limited(value: Any, place: tuple[int | str, ...]) -> Any:
        found = check(value, place)
        for fits, words, limit in limits:
            if found is not None and not fits(found, limit):
                raise _wrong(place, f"Input should be {words} {limit}")
        return found

    return limited


def _finite(check: Check) -> Check:
    def finite(value: Any, place: tuple[int | str, ...]) -> Any:
        if math.isfinite(found := check(value, place)):
            return found
        raise _wrong(place, "Input should be a finite number")

    return finite


def _long(check: Check, items: int) -> Check:
    def long(value: Any, place: tuple[int | str, ...]) -> Any:
        if len(found := check(value, place)) == items:
            return found
        raise _wrong(place, f"List should have {items} items, not {len(found)}")

    return long
