"""What needs the store is done again and again while that is away."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from modelsync.backoff import Backoff
from modelsync.errors import StoreUnavailable
from modelsync.observability.logs import event
from modelsync.training.stop import Stop

log = logging.getLogger(__name__)

T = TypeVar("T")


def insist(
    action: Callable[[], T],
    stop: Stop,
    *,
    pauses: Backoff,
    patience: float,
    who: str,
    **facts: object,
) -> T:
    """Return what `action` does, tried again after `pauses` while the store is away.

    `who` waits is logged once, with `facts`. Raises StoreUnavailable after `patience` seconds, or
    when this process has to end.
    """
    failures, end = 0, monotonic() + patience
    while True:
        try:
            return action()
        except StoreUnavailable as error:
            failures += 1
            if failures == 1:
                event(log, logging.WARNING, f"{who} waits for the store: {error}", **facts)
            pause = pauses.pause(failures, random.random())  # noqa: S311  spreads replicas out
            if monotonic() > end or stop.wait(pause):
                raise
