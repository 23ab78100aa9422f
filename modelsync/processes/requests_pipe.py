"""The requests that a generation sends to the supervisor: one byte each, through a pipe."""

from __future__ import annotations

import contextlib
import os

SYNC = b"s"
"""Sync as soon as possible."""

FORCED = b"f"
"""Sync as soon as possible, whatever was recorded of the commit."""

PLACE_ANEW = b"p"
"""Replace the generation by one of the same release: a model is to run in another place."""


def send(pipe: int, request: bytes) -> None:
    """Send a request. A full pipe holds requests already."""
    with contextlib.suppress(BlockingIOError):
        os.write(pipe, request)


def read(pipe: int) -> bytes:
    """Return the requests in the pipe; does not wait."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while requests := os.read(pipe, 4096):
            found += requests
    return found
