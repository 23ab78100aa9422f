"""JSON values without what is masked, and of bounded length, as they are kept or shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 1_000
"""Characters of a text; the rest is cut off."""


def masked(value: Any, mask: frozenset[str]) -> Any:
    """Return a value as JSON holds it, without masked members at any depth.

    `mask`: their names in lower case. Texts are cut off at `MAX_TEXT`.
    """
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if isinstance(value, Mapping):
        return {
            str(name): masked(item, mask)
            for name, item in value.items()
            if str(name).casefold() not in mask
        }
    if isinstance(value, list | tuple):
        return [masked(item, mask) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:MAX_TEXT]
