"""Waiting for a promise to come true, without sleeping for a guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], timeout: float = 20.0, message: str = "") -> T:
    """Call `condition` until it returns something true and return that; AssertionError after
    `timeout` seconds.

    An AssertionError or OSError inside `condition` counts as "not yet"; the last one is shown when
    time runs out.
    """
    deadline = time.monotonic() + timeout
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
    raise AssertionError(f"not within {timeout} s: {message or condition}; last: {last!r}")
