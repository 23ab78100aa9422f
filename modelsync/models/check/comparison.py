"""Compares the answer to an example with the one that is expected."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from modelsync import json_text
from modelsync.models import single_precision


class Tolerance(NamedTuple):
    """How far two numbers may differ: relative to the greater one, and absolutely."""

    relative: float
    absolute: float = 0.0


RESPONSE = Tolerance(1e-9)
"""For the response that an example expects."""

BATCH = Tolerance(1e-4, 1e-6)
"""For a batch and a single call: many rows are summed up in another order, often in 32 bits."""

LONGEST_VALUE = 80
"""Characters of a value that a message shows."""


def find_difference(
    expected: Any, got: Any, tolerance: Tolerance = RESPONSE, path: str = ""
) -> str | None:
    """Describe the first place where two JSON values differ; None if they do not."""
    where = path or "the response"
    if isinstance(expected, dict) and isinstance(got, dict):
        if missing := [key for key in expected if key not in got]:
            return f"{where} has no {_short(missing[0])}"
        if unexpected := [key for key in got if key not in expected]:
            return f"{where} has {_short(unexpected[0])}, which is not expected"
        parts = [(f"{path}.{key}" if path else key, expected[key], got[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        parts = [(f"{path}[{index}]", one, other) for index, (one, other) in pairs]
    elif _is_same(expected, got, tolerance):
        return None
    else:
        return f"{where}: expected {_short(expected)}, got {_short(got)}"
    differences = (find_difference(one, other, tolerance, place) for place, one, other in parts)
    return next(filter(None, differences), None)


def _is_same(expected: Any, got: Any, tolerance: Tolerance) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        near = math.isclose(expected, got, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)
        return near or single_precision.is_same(expected, got)
    return bool(expected == got)


def _short(value: Any) -> str:
    text = json_text.dumps(value).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
