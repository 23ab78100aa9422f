"""Examples of requests that a model rejects: the check wants exactly that status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.conftest import Write
from tests.models.test_check import results

ETLS = """
class Invalid(Exception):
    status_code = 409

class M:
    {kind} transform_predict(self, x: float):
        if x < 0:
            raise Invalid("x is negative")
        return {{"y": 1 / x}}
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("example", "message", "hint"),
    [
        ('{"variables": {"x": -1}, "status": 409}', "", ""),
        ('{"variables": {"x": "a"}, "status": 422}', "", ""),
        ('{"variables": {"x": 1}, "response": {"y": 1}}', "", ""),
        ('{"variables": {"x": 1}, "status": 409}', "must be rejected with 409", ""),
        ('{"variables": {"x": -1}, "status": 422}', "Invalid: x is negative", ""),
        ('{"variables": {"x": 0}, "status": 422}', "ZeroDivisionError", ""),
        ('{"variables": {"x": -1}}', "Invalid: x is negative", 'holds "status": 409'),
        ('{"variables": {"x": -1}, "status": 200}', "from 400 to 499", "is {"),
        ('{"variables": {}, "status": 422, "response": {}}', "both a response and a status", ""),
    ],
)
def test_an_example_says_that_a_request_is_rejected(
    root: Path, write: Write, kind: str, example: str, message: str, hint: str
) -> None:
    """Another status, an answer or another exception breaks the model; a hint tells of `status`."""
    write("M", ETLS.format(kind=kind), {"examples/a.json": example})
    fault = results(root)["M"].fault
    assert bool(fault) == bool(message), fault
    if fault:
        assert message in fault.message
        assert hint in (fault.hint or "")
