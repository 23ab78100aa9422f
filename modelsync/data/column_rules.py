"""The rules of `schema.yml` for the values of a column, in Arrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.typed_columns import typed
from modelsync.models.data_schema import ColumnRule
from modelsync.models.schemas import wording

FEW = 8
"""Numbers that are compared one by one, which is faster than to look them up."""

Mask = Callable[[pa.Array], pa.Array]
"""Returns which values of a column break a rule; for a dictionary without one, any such mask."""


class ValueRule(NamedTuple):
    """One rule: its key in `schema.yml`, what it expects in words, and what breaks it."""

    key: str
    expected: str
    broken: Mask


def value_rules(rule: ColumnRule) -> list[ValueRule]:
    """Return the rules for the values of a column that is in its type already."""
    found = [one._replace(broken=partial(_broken, one.broken, rule)) for one in _rules(rule)]
    if not rule.takes_missing:
        found.append(ValueRule("nullable", "a value in each row", pc.is_null))
    return found


def of_type(rule: ColumnRule) -> tuple[str, str]:
    """Return the key of the rule that a value breaks which is not of the column's type, and what
    that expects.
    """
    if rule.type == "category" and rule.allowed:
        return "allowed", wording.expected(replace(rule, fill=None, nullable=False, pattern=""))
    bare = ColumnRule(rule.name, rule.type, format=rule.format)
    return "format" if rule.format else "type", wording.expected(bare)


def absent(values: pa.Array, rule: ColumnRule) -> pa.Array | None:
    """Return which texts are empty in place of a missing value; None if no text is.

    They are where the column takes missing values, and its rules no empty text.
    """
    if rule.type not in ("str", "category") or not rule.takes_missing or rule.fill == "":
        return None
    if not (rule.pattern or (rule.allowed and rule.type == "str")):
        return None
    if not pa.types.is_string(values.type):
        return None
    empty = pc.fill_null(pc.equal(values, ""), False)
    if not pc.any(empty).as_py():
        return None
    one = pa.array([""])
    breaks = any(pc.any(found.broken(one)).as_py() for found in _rules(rule))
    return empty if breaks else None


def scalar(rule: ColumnRule, value: Any) -> pa.Scalar:
    """Return a value that `schema.yml` names, in the type of its column."""
    return _array(rule, [value])[0]


def _array(rule: ColumnRule, values: list[Any]) -> pa.Array:
    if rule.type == "category":
        return pa.array(values)
    return typed(pa.array(values), replace(rule, format="")).values  # in ISO 8601 there


# --- the rules ------------------------------------------------------------------------------------


def _rules(rule: ColumnRule) -> Iterator[ValueRule]:
    """Yield the rules that a value must keep, unless it is the fill value."""
    if rule.minimum is not None:
        low = _bound(rule, rule.minimum)
        yield ValueRule("min", f"at least {rule.minimum}", lambda column: pc.less(column, low))
    if rule.maximum is not None:
        high = _bound(rule, rule.maximum)
        yield ValueRule("max", f"at most {rule.maximum}", lambda column: pc.greater(column, high))
    if rule.allowed and rule.type != "category":  # else another value is not of the type
        known = _array(rule, list(rule.allowed))
        expected = wording.expected(ColumnRule(rule.name, rule.type, allowed=rule.allowed))
        yield ValueRule("allowed", expected, partial(_is_unknown, known))
    if rule.pattern:
        yield ValueRule("pattern", f"matches {rule.pattern}", Pattern(rule.pattern))


def _bound(rule: ColumnRule, value: Any) -> pa.Scalar:
    return pa.scalar(value) if rule.type in ("int", "float") else scalar(rule, value)


def _is_unknown(known: pa.Array, column: pa.Array) -> pa.Array:
    """Return which values are not known."""
    if len(known) <= FEW and not pa.types.is_string(column.type):
        return reduce(pc.and_, (pc.not_equal(column, one) for one in known))
    return pc.and_(pc.invert(pc.is_in(column, value_set=known)), pc.is_valid(column))


def _broken(mask: Mask, rule: ColumnRule, column: pa.Array) -> pa.Array:
    """Return which values break a rule, but for fill values and texts that stand for none."""
    if isinstance(column, pa.DictionaryArray):
        distinct = _broken(mask, rule, column.dictionary)
        if not pc.any(distinct).as_py():
            return distinct
        return pc.fill_null(distinct.take(column.indices), False)
    broken = mask(column)
    if not pc.any(broken).as_py():
        return broken
    broken = pc.fill_null(broken, False)
    if rule.fill is not None:
        fill = scalar(rule, rule.fill)
        broken = pc.and_(broken, pc.fill_null(pc.not_equal(column, fill), True))
    if rule.takes_missing and pa.types.is_string(column.type):
        broken = pc.and_(broken, pc.fill_null(pc.not_equal(column, ""), True))
    return broken


class Pattern:
    """Which texts a pattern does not match whole.

    RE2, of Arrow, matches in linear time, but knows neither look-around nor back-references, and
    its digits are those of ASCII: what it does not match is asked of Python's `re`, each distinct
    text once.
    """

    def __init__(self, pattern: str) -> None:
        self._matches = re.compile(pattern).fullmatch
        self._pattern = rf"\A(?:{pattern})\z"
        try:
            pc.match_substring_regex(pa.array([""]), self._pattern)
        except pa.ArrowInvalid:
            self._pattern = ""

    def __call__(self, column: pa.Array) -> pa.Array:
        """Return the mask of a column."""
        texts = column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
        broken = pc.is_valid(texts)
        if self._pattern:
            broken = pc.invert(pc.match_substring_regex(texts, self._pattern))
            if not pc.any(broken).as_py():
                return broken
        doubted = pc.unique(texts.filter(broken))
        wrong = [one for one in doubted.to_pylist() if one is not None and not self._matches(one)]
        return pc.is_in(texts, value_set=pa.array(wrong, pa.string()))
