"""Tells from the types of a signature how the numbers of a request have to be read.

The fast parser makes a double of an integer over 64 bits, and of every fraction. Where a parameter
is an `int`, the request is read again if the double does not fit; where any object is taken, and
for `Decimal`, nothing else would notice.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any, get_args, get_origin

from modelsync.models.binding.typehints import DICTS, is_structure
from modelsync.models.request_form import Digits

_ANYTHING = (Any, object, dict, list, tuple, set, frozenset, *DICTS)
"""Types whose values, or whose items, may be of any type."""

MOST = 1000
"""Types within types that are looked at."""


def of(hints: Iterable[Any]) -> Digits:
    """Return how numbers have to be read for values of these types."""
    found: Digits = "doubles"
    seen: list[Any] = []
    waiting = list(hints)
    while waiting and len(seen) < MOST:
        hint = waiting.pop()
        if any(hint is one for one in seen):
            continue
        seen.append(hint)
        if hint is Decimal:
            return "decimals"
        parts = get_args(hint)
        if (not parts and any(hint is one for one in _ANYTHING)) or _mixes(parts):
            found = "integers"
        waiting += parts
        waiting += _fields(get_origin(hint) or hint)
    return found


def _mixes(parts: tuple[Any, ...]) -> bool:
    """Return whether an integer has a choice: a double fits its union as well."""
    return int in parts and (float in parts or str in parts)


def _fields(kind: Any) -> list[Any]:
    """Return the types of the fields of a structure, none of another type."""
    if not isinstance(kind, type) or not (is_structure(kind) or dataclasses.is_dataclass(kind)):
        return []
    with suppress(Exception):  # names that only a type checker knows
        return list(typing.get_type_hints(kind, include_extras=True).values())
    return []
