"""A loop of the trainer: small steps, again and again, whatever happens in one of them."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from time import monotonic

from modelsync.backoff import Backoff
from modelsync.errors import ModelsyncError, StoreUnavailable
from modelsync.observability.logs import event
from modelsync.training.stop import Stop

log = logging.getLogger(__name__)

AWAY = Backoff(first=0.5, most=10.0)
"""Seconds between two steps while the store is away, or a step fails."""


class Loop:
    """Calls `step` with the monotonic time, `pause` seconds after its last end, until stopped.

    A store that goes away is logged once, and once when it is back.
    """

    def __init__(self, name: str, step: Callable[[float], None], pause: float) -> None:
        self.name = name
        self._step = step
        self._pause = pause
        self._failures = 0
        self._away = False

    def run(self, stop: Stop) -> None:
        """Run until `stop` is asked for."""
        while not stop.wait(self.turn(monotonic())):
            pass

    def start(self, stop: Stop) -> threading.Thread:
        """Run in a thread of its own, which does not keep the process alive."""
        thread = threading.Thread(target=self.run, args=(stop,), name=self.name, daemon=True)
        thread.start()
        return thread

    def turn(self, now: float) -> float:
        """Do one step; return the seconds to wait before the next."""
        try:
            self._step(now)
        except StoreUnavailable as error:
            if not self._away:
                self._log(logging.WARNING, f"the store is away: {error}")
            self._away = True
            return self._failed()
        except ModelsyncError as error:
            self._log(logging.ERROR, str(error))
            return self._failed()
        except Exception:  # the edge of a loop
            log.exception("%s: unexpected; the loop goes on", self.name)
            return self._failed()
        if self._away:
            self._log(logging.INFO, "the store is back")
        self._failures, self._away = 0, False
        return self._pause

    def _failed(self) -> float:
        self._failures += 1
        return AWAY.pause(self._failures, random.random())  # noqa: S311  spreads replicas out

    def _log(self, level: int, said: str) -> None:
        event(log, level, f"{self.name}: {said}", event="trainer", loop=self.name)
