"""Tells which errors of scikit-learn are about a value of a request.

Its functions that check input raise ValueError: for a category that an encoder has not met, for a
number that is too large. An artefact has no code of its own, so that the request is to blame.
"""

from __future__ import annotations

from modelsync.errors import InvalidField, VariablesInvalid

CHECKING = frozenset(
    {"sklearn.utils.validation", "sklearn.utils._encode", "sklearn.preprocessing._encoders"}
)
"""Modules of scikit-learn that raise ValueError for input which does not fit."""

MAX_TOLD = 300
"""Characters of its message."""


def of(error: ValueError) -> VariablesInvalid | None:
    """Return the refusal of a request that an error is; None for any other error."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or place.tb_frame.f_globals.get("__name__") not in CHECKING:
        return None
    return VariablesInvalid([InvalidField("variables", str(error).partition("\n")[0][:MAX_TOLD])])
