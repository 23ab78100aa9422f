"""Checks one value of a request by the rule of its column, and makes it what the model gets."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from modelsync.models.data_schema import ColumnRule
from modelsync.models.schemas import conversions
from modelsync.models.schemas.conversions import Unfit

Check = Callable[[Any], Any]
"""Returns a value, None for a missing one, as the model gets it. Raises Unfit."""


def check_of(rule: ColumnRule) -> Check:
    """Return the check of a column's values; most fit as they are, which one comparison tells."""
    check, kind = _converting(rule), conversions.python_type(rule)
    if kind is None or rule.pattern:
        return check
    if rule.allowed:
        allowed = _allowed(rule)
        return lambda value: value if type(value) is kind and value in allowed else check(value)
    if kind in (int, float):
        low, high = _limits(rule)
        return lambda value: value if type(value) is kind and low <= value <= high else check(value)
    return lambda value: value if type(value) is kind else check(value)


def _converting(rule: ColumnRule) -> Check:
    """Return the check that converts a value, and fills in for one that is missing.

    The fill value itself always fits: a client of an older server may send it for a missing one.
    """
    convert, fits = conversions.converter(rule), _fits(rule)
    fill, takes_missing = _fill(rule), rule.takes_missing

    def check(value: Any) -> Any:
        if value is not None:
            value = convert(value)
        if value is None:
            if takes_missing:
                return fill
            raise Unfit
        if fits is None or fits(value) or value == fill:
            return value
        if takes_missing and value == "":
            return fill
        raise Unfit

    return check


def _fits(rule: ColumnRule) -> Callable[[Any], Any] | None:
    """Return whether a value of the column's type is one that the column takes; None: all are."""
    tests: list[Callable[[Any], Any]] = []
    low, high = _limits(rule)
    if rule.allowed:
        tests.append(_allowed(rule).__contains__)
    if low is not None:
        tests.append(lambda value: low <= value)
    if high is not None:
        tests.append(lambda value: value <= high)
    if rule.pattern:
        matches = re.compile(rule.pattern).fullmatch
        tests.append(lambda value: matches(str(value)))
    return (lambda value: all(test(value) for test in tests)) if tests else None


def _fill(rule: ColumnRule) -> Any:
    """Return what takes the place of a missing value, as the model gets it."""
    if rule.type == "category" and rule.fill is not None and rule.allowed:
        return conversions.converter(rule)(rule.fill)
    return _typed(rule, rule.fill)


def _allowed(rule: ColumnRule) -> frozenset[Any]:
    if rule.type == "category":
        return frozenset(conversions.members(rule))
    return frozenset(_typed(rule, one) for one in rule.allowed)


def _limits(rule: ColumnRule) -> tuple[Any, Any]:
    """Return the least and the greatest value of a column; None if there is none."""
    low, high = _typed(rule, rule.minimum), _typed(rule, rule.maximum)
    if rule.type not in ("int", "float"):
        return low, high
    least, greatest = -sys.float_info.max, sys.float_info.max
    if rule.type == "int":
        least, greatest = conversions.LOWEST, conversions.HIGHEST
    return least if low is None else low, greatest if high is None else high


def _typed(rule: ColumnRule, value: Any) -> Any:
    """Return a value of the schema as the column's type; a fill of another type as it is."""
    if value is None:
        return None
    try:
        return conversions.iso(rule.type)(value)
    except Unfit:
        return value
