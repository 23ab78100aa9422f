"""Values of a JSON schema that JSON can hold, in types of Python's own.

Defaults, limits and examples in a schema come from the code of a model: numbers of numpy, NaN,
integers of any length, objects. An OpenAPI document with one of them could not be written.
"""

from __future__ import annotations

import math
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from modelsync.models import simpler_values

NOTHING: Final = object()
"""Stands for a value that JSON cannot hold."""

MAX_DEPTH = 100
"""Levels of nesting; deeper ones are left out."""

INTEGERS = range(-(2**63), 2**64)
"""Those that every parser of JSON reads as they are."""


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the values that JSON cannot hold; they only describe."""
    found: dict[str, Any] = of(schema)
    return found


def of(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it, NOTHING if it cannot hold it; what it contains alike."""
    if depth > MAX_DEPTH:
        return NOTHING
    match value:
        case None | bool():
            return value
        case Enum():
            return of(value.value, depth + 1)
        case str():
            return str.encode(value, "utf-8", "replace").decode()  # lone surrogates
        case int():
            return int(value) if value in INTEGERS else NOTHING
        case float() | Decimal():
            return float(value) if math.isfinite(value) else NOTHING
        case dict():
            found = {str(key): of(item, depth + 1) for key, item in value.items()}
            return {of(key): item for key, item in found.items() if item is not NOTHING}
        case list() | tuple():
            return [item for one in value if (item := of(one, depth + 1)) is not NOTHING]
    with suppress(Exception):  # conversions run code of the model
        return of(simpler_values.simpler(value), depth + 1)
    return NOTHING
