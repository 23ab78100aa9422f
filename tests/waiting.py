"""Waiting for a promise to come true, without sleeping for a guess.

Every limit of time in the tests goes through here: it is what a busy machine needs, and a slower
one sets MODELSYNC_TEST_PATIENCE to how many times slower it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("MODELSYNC_TEST_PATIENCE", "1"))
"""What all limits of time are multiplied by."""

ROOM = 3.0
"""What `until` multiplies its limit by besides: waiting long costs time only where a test fails."""


def patient(seconds: float) -> float:
    """A limit of time, as long as this machine needs it."""
    return seconds * PATIENCE


def setting(seconds: float) -> str:
    """The same as a setting of the service, which tells it in its messages as `told`."""
    return f"{patient(seconds):g}s"


def told(seconds: float) -> str:
    """A limit that was set with `setting`, as the service's messages name it."""
    return f"{patient(seconds):g} s"


def until(condition: Callable[[], T | None], timeout: float = 20.0, message: str = "") -> T:
    """Call `condition` until it returns something true and return that; AssertionError when
    `timeout` seconds, with room for a busy machine, have passed.

    An AssertionError or OSError inside `condition` counts as "not yet"; the last one is shown when
    time runs out.
    """
    limit = patient(timeout * ROOM)
    deadline = time.monotonic() + limit
    pause = 0.01  # more and more, because what is asked needs the processor for what is waited for
    last: object = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except (AssertionError, OSError) as error:
            last = error
        time.sleep(pause)
        pause = min(0.1, pause * 1.3)
    raise AssertionError(f"not within {limit:g} s: {message or condition}; last: {last!r}")
