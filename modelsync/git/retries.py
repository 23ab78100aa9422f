"""Calls of the remote that are tried again after a transient failure."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from modelsync.backoff import Backoff
from modelsync.deadline import Deadline
from modelsync.errors import SyncError, SyncTimeout

ATTEMPTS = 5
"""Tries of one call to the remote, about 8 s together. The caller of the sync tries again later."""

RETRY = Backoff(first=0.7, most=6.0)
"""Seconds between these."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


def retried(deadline: Deadline, action: Callable[[], T]) -> T:
    """Call `action`, and again after a transient failure of the remote.

    Raises the last SyncError after `ATTEMPTS` tries, or if the deadline allows no more; a try that
    the deadline has cut short tells less than the one before it.
    """
    last: SyncError | None = None
    for failures in range(1, ATTEMPTS + 1):
        try:
            deadline.check()
            return action()
        except SyncTimeout as error:
            raise last or error from None
        except SyncError as error:
            last = error
            wait = RETRY.pause(failures, random.random())  # noqa: S311 - spreads replicas out
            if not error.transient or failures == ATTEMPTS or wait >= deadline.remaining():
                raise
            _log.info("the remote failed, trying again in %.1f s: %s", wait, error)
            time.sleep(wait)
    raise AssertionError("unreachable")
