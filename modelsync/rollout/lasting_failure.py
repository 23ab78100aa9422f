"""A failure that lasts: it is logged when it begins, when it changes, and when it is over."""

from __future__ import annotations

import logging
import random

from modelsync.backoff import Backoff
from modelsync.clock import now
from modelsync.errors import ModelsyncError
from modelsync.observability.logs import event

log = logging.getLogger(__name__)


class LastingFailure:
    """Why something fails again and again, and how long to wait for it; empty while nothing does.

    `end` is what has happened once it is over. `reason` is that of the error, `since` is in ISO
    8601.
    """

    def __init__(self, end: str, backoff: Backoff) -> None:
        self.reason = self.message = self.since = ""
        self._end = end
        self._backoff = backoff
        self._failures = 0

    def begun(self, error: Exception) -> float:
        """Note a failure; returns the seconds until the next try.

        One that is no ModelsyncError is a bug, and logged with its traceback.
        """
        known = isinstance(error, ModelsyncError)
        reason = error.reason if isinstance(error, ModelsyncError) else "unexpected"
        message = str(error) if known else f"an unexpected {type(error).__name__}: see the log"
        if (reason, message) != (self.reason, self.message):
            self._tell(reason, message, None if known else error)
            self.reason, self.message = reason, message
        self.since = self.since or now()
        self._failures += 1
        return self._backoff.pause(self._failures, random.random())  # noqa: S311  no secret

    def _tell(self, reason: str, message: str, bug: Exception | None) -> None:
        fields = {"event": "rollout", "result": "retry", "reason": reason}
        if bug is not None:
            log.error("rollout: %s", message, exc_info=bug, extra={"fields": fields})
        else:
            event(log, logging.WARNING, f"rollout: {message}", **fields)

    def ended(self) -> None:
        """Note a success."""
        if not self._failures:
            return
        message = f"rollout: {self._end} again, after {self._failures} failures"
        event(log, logging.INFO, message, event="rollout", result="recovered", reason=self.reason)
        self.reason = self.message = self.since = ""
        self._failures = 0
