"""The error for variables that do not fit, the same whichever validator has found it."""

from __future__ import annotations

from collections.abc import Sequence

from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.observability.redaction import redacted

MAX_FIELDS = 100
"""Wrong fields that an answer names."""

MAX_MESSAGE = 500
"""Characters of a field's name, and of what is wrong with it."""

Location = Sequence[int | str]
"""The keys and indexes that lead to a value."""


def invalid(found: Sequence[tuple[Location, str]], count: int = 0) -> VariablesInvalid:
    """Return the error for these places and messages, of which it names at most `MAX_FIELDS`.

    `count`: how many there are in all, if that is more.
    """
    fields = [
        InvalidField(_place(location), redacted(message, MAX_MESSAGE))
        for location, message in found[:MAX_FIELDS]
    ]
    if (count := max(count, len(found))) > MAX_FIELDS:
        fields.append(InvalidField("variables", f"{count - MAX_FIELDS} more values do not fit"))
    return VariablesInvalid(fields)


def too_many(count: int) -> VariablesInvalid:
    """Return the error for so many values that none is named."""
    return VariablesInvalid([InvalidField("variables", f"{count} values do not fit")])


def _place(location: Location) -> str:
    place = ".".join(map(str, location)) or "variables"
    return place if len(place) <= MAX_MESSAGE else f"{place[: MAX_MESSAGE - 1]}…"
