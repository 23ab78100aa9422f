"""Errors of a machine that has no more processes, threads, memory or descriptors."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelsync.errors import ResourcesExhausted

EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Error numbers for which no disk is to blame."""


@contextmanager
def starting(what: str) -> Iterator[None]:
    """Turn errors of starting a process or a thread, named `what`, into ResourcesExhausted."""
    try:
        yield
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
        reason = os.strerror(error.errno)
        raise ResourcesExhausted(f"{what} cannot be started: {reason}") from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        raise ResourcesExhausted(f"{what} cannot be started: {error}") from error
