"""Labels: the one text for a value of a category, whoever has written it."""

from __future__ import annotations

from typing import Any

MAX_LABEL = 100
"""Characters of a label; longer texts that begin alike count as the same."""


def label_of(value: Any) -> str:
    """Return the text for a value: 1 and 1.0 are `1`, as is the text; true is `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)[:MAX_LABEL]
