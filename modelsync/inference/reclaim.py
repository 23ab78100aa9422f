"""Gives memory back to the system that a closed model has used."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def reclaim() -> None:
    """Free cycles of objects, then what the allocator keeps of them.

    glibc keeps freed memory of each thread that has loaded a version: some 100 MB after a few
    versions of 20 MB. Other C libraries have no `malloc_trim`.
    """
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
