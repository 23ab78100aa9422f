"""The limit of open files, which is one of connections too."""

from __future__ import annotations

import resource
from contextlib import suppress

MOST = 1 << 20
"""Descriptors that are enough; some programs look at each up to the limit."""


def raise_limit() -> None:
    """Raise the soft limit of this process, and so of those that it starts, to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a limit of its own below the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
