"""Starts threads; the system may refuse one, which fails the request that needs it and no other."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from modelsync.errors import Overloaded

log = logging.getLogger(__name__)


def start_thread(target: Callable[[], object], name: str) -> None:
    """Start a daemon thread. Raises Overloaded if the system, or a limit of processes, refuses."""
    try:
        threading.Thread(target=target, name=name, daemon=True).start()
    except RuntimeError as error:
        log.error("the system starts no more threads (%s): %s", name, error)
        message = "the system starts no more threads: its memory or a limit of processes is used up"
        raise Overloaded(message, retry_after=1) from None
