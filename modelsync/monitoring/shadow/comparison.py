"""Compares the candidate's answer with ours, and says in words where it differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import orjson

from modelsync.inference.masking import masked
from modelsync.models.check.comparison import BATCH, find_difference
from modelsync.monitoring.shadow.candidate import CandidateAnswer
from modelsync.monitoring.shadow.requests import ShadowRequest

Compared = Literal["equal", "different", "failed"]

OF_THE_SERVICE = frozenset({401, 403, 408, 429, 502, 503, 504})
"""Statuses that tell of the state of a service, not of its models: there is nothing to compare."""

LONGEST = 300
"""Characters of what is said of a difference."""

LARGEST = 8 * 1024
"""Bytes of a request, or an answer, that is shown; of a larger one only the difference is."""

_POSITIONAL = frozenset({"x", "data", "variables"})
"""Members of a request that may hold values without names: in lists, or in a text with JSON."""

_OF_PROBLEMS = ("title", "status", "error")
"""Members of a problem document that quote no value."""


def compare(
    request: ShadowRequest, found: CandidateAnswer, mask: frozenset[str]
) -> tuple[Compared, str]:
    """Return how an answer compares, and where it differs or why it cannot be compared.

    Numbers may differ by what a batch may differ from a single call. Of failures the statuses are
    compared alone. The text holds no value that is masked.
    """
    if found.status != request.status:
        said = f"status {request.status} here, {found.status} of the candidate"
        return ("failed" if found.status in OF_THE_SERVICE else "different"), said
    if request.status != 200 or (found.whole and found.body == request.answer):
        return "equal", ""
    if not found.whole:
        return "different", f"the candidate's answer has over {len(found.body)} bytes"
    try:
        ours, theirs = orjson.loads(request.answer), orjson.loads(found.body)
    except orjson.JSONDecodeError:
        return "different", "the answers are not both JSON"
    try:
        said = _difference(ours, theirs, mask)
    except RecursionError:
        said = "the answers have hundreds of levels"
    return ("different" if said else "equal"), said[:LONGEST]


def _difference(ours: Any, theirs: Any, mask: frozenset[str]) -> str:
    """Return where two answers differ, empty if they do not."""
    said = find_difference(ours, theirs, BATCH)
    if said and mask:
        said = find_difference(masked(ours, mask), masked(theirs, mask), BATCH)
        return said or "they differ in what is not shown"
    return said or ""


# --- what is shown of a request and of answers ----------------------------------------------------


def shown_request(body: bytes, mask: frozenset[str]) -> Any:
    """Return the body of a request without what is masked; with a mask, values without names go
    too, since nobody knows which of them is masked.
    """
    return _shown(body, mask, _named)


def shown_answer(status: int, body: bytes, mask: frozenset[str]) -> Any:
    """Return an answer without what is masked; with a mask, problems have no texts that may quote
    a value.
    """
    return _shown(body, mask, _result if status == 200 else _problem)


def _shown(body: bytes, mask: frozenset[str], without: Callable[[Any], Any]) -> Any:
    """Return what is shown of a body: with a mask, what `without` leaves of it. None if it is too
    large, nested too deep, or not JSON.
    """
    if len(body) > LARGEST:
        return None
    try:
        found = orjson.loads(body)
        return masked(without(found) if mask else found, mask)
    except (orjson.JSONDecodeError, RecursionError):
        return None


def _result(value: Any) -> Any:
    return value


def _problem(value: Any) -> Any:
    found = value if isinstance(value, dict) else {}
    return {key: found[key] for key in _OF_PROBLEMS if key in found}


def _named(value: Any, name: str = "variables") -> Any:
    """Return a request without the values that have no names, such as those of rows."""
    if isinstance(value, dict):
        return {key: _named(item, key) for key, item in value.items()}
    if isinstance(value, list):
        if all(isinstance(item, dict) for item in value):
            return [_named(item) for item in value]
        if name in _POSITIONAL or any(isinstance(item, list | dict) for item in value):
            return None
    return None if isinstance(value, str) and name in _POSITIONAL else value
