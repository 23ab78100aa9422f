"""Tells a client that it has sent missing values to a model that takes none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelsync.errors import InvalidField, RequestError, VariablesInvalid

_SAYS_SO = re.compile(r"\b(nan|none|nonetype|null|na|missing)\b", re.IGNORECASE)
"""How libraries name a missing value in their errors."""


def explain(columns: Mapping[str, Sequence[Any]], error: Exception) -> None:
    """Raise VariablesInvalid if a model has failed for the null values in these columns.

    `columns`: those of the request, by the names of their fields; without those in which the model
    was fitted with missing values, which it can take.
    """
    message = str(error)[:2000]
    if isinstance(error, RequestError) or not _SAYS_SO.search(message):
        return
    said = f"{type(error).__name__}: {message.splitlines()[0]}"
    fields = [
        InvalidField(name, f"row {values.index(None)} is null; the model takes a value ({said})")
        for name, values in columns.items()
        if None in values
    ]
    if fields:
        raise VariablesInvalid(fields) from error
