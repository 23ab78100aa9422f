"""Requests for a sync: the pipe through which the workers ask the supervisor."""

from __future__ import annotations

import contextlib
import os

_PLAIN, _FORCED = b"s", b"f"


def request(pipe: int, force: bool) -> None:
    """Request a sync; `force`: whatever was recorded of the commit.

    A full pipe holds a request already.
    """
    with contextlib.suppress(BlockingIOError):
        os.write(pipe, _FORCED if force else _PLAIN)


def read(pipe: int) -> tuple[bool, bool]:
    """Return whether a sync has been requested, and whether by force; does not wait."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while requests := os.read(pipe, 4096):
            found += requests
    return bool(found), _FORCED in found
